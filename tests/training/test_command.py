"""`python -m training`: what the command line trains, goes on with, and refuses in a sentence."""

import json

import pytest
import torch

from tests.training.heads import write_dataset
from training.__main__ import main
from training.config import PRESETS, TrainingConfig, TrainingError, read_json, write_json
from training.records import Records, read_log, rewind
from training.state import Checkpoints

SHORT = [
    "--resolution=16", "--points=24", "--width=16", "--first-blocks=1", "--discriminator-base=256",
    "--kimg=0.016", "--batch=8", "--views=2", "--metric-images=16", "--device=cpu",
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "heads")


@pytest.fixture(autouse=True)
def same_signals():
    """The command takes over signals; give them back."""
    import signal

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_goes_on_with_its_own_settings_and_data(data, tmp_path, capsys):
    out = tmp_path / "run"
    began = main(["train", "--preset=tiny", "--data", str(data), "--out", str(out), *SHORT])
    said = capsys.readouterr().out

    went_on = main(["train", "--out", str(out), "--kimg=0.032", "--device=cpu"])

    assert (began, went_on) == (0, 0)
    assert "12 pictures of 16 px with masks" in said
    assert "kimg" in said
    assert "Going on from 0.0 kimg" in capsys.readouterr().out
    assert {path.stem for path in Checkpoints(out / "checkpoints").paths()} >= {
        "000000032",
        "000000016",
    }
    settings = json.loads((out / "settings.json").read_text())
    assert settings["config"]["kimg"] == 0.032
    assert settings["config"]["points"] == 24


def test_a_run_that_has_no_checkpoint_yet_begins_as_it_was_told_to(data, tmp_path, capsys):
    out, first = tmp_path / "run", tmp_path / "first"
    main(["train", "--preset=tiny", "--data", str(data), "--out", str(first), *SHORT])
    start = str(first / "generator.safetensors")
    main(
        ["train", "--preset=tiny", "--data", str(data), "--out", str(out), "--start", start, *SHORT]
    )
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    capsys.readouterr()

    assert main(["train", "--out", str(out), "--device=cpu"]) == 0

    assert "Beginning with generator.safetensors: its generator" in capsys.readouterr().out


def test_another_preset_than_the_runs_is_refused(data, tmp_path, capsys):
    out = str(tmp_path / "run")
    main(["train", "--preset=tiny", "--data", str(data), "--out", out, *SHORT])

    assert main(["train", "--preset=256", "--out", out]) == 2
    assert "was begun with the preset tiny" in capsys.readouterr().err


def test_faults_in_the_data_are_told_before_the_first_step(data, tmp_path, capsys):
    (data / "mask" / "00003.png").unlink()

    status = main(["train", "--data", str(data), "--out", str(tmp_path / "run"), *SHORT])

    assert status == 2
    assert "1 without a mask: 16/00003.png" in capsys.readouterr().err
    assert not (tmp_path / "run" / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kimg=1"], "one thing to learn from"),
        (["--data=nowhere"], "nowhere does not exist"),
        (["--device=quantum"], "There is no device 'quantum'"),
    ],
)
def test_what_cannot_begin_is_refused_in_a_sentence(arguments, sentence, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_without_masks_one_trains_before_a_plain_background(data, tmp_path):
    for path in (data / "mask").iterdir():
        path.unlink()
    arguments = [
        "train",
        "--preset=tiny",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "run"),
        *SHORT,
    ]

    assert main(arguments) == 2
    assert main([*arguments, "--no-random-background"]) == 0


# ---- settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_together_and_survives_json(name, tmp_path):
    config = PRESETS[name]

    assert read_json(tmp_path, json.loads(json.dumps(write_json(config)))) == config
    if name.isdigit():
        assert config.resolution == int(name)
        assert config.generator_config().splats == {
            "256": 109_056, "512": 240_128, "1024": 502_272, "2048": 1_026_560,
        }[name]  # fmt: skip


def test_the_papers_settings_are_the_defaults():
    config = TrainingConfig()

    assert (config.generator_lr, config.discriminator_lr, config.betas) == (
        0.0025,
        0.002,
        (0, 0.99),
    )
    assert (config.r1_gamma, config.r1_interval, config.batch, config.views) == (1, 16, 32, 4)
    assert (config.neighbour_weight, config.neighbours, config.centre_weight) == (20, 64, 1)
    assert (config.blur_sigma, config.blur_kimg, config.ema_kimg) == (10, 200, 10)
    assert (config.generator_clip, config.discriminator_clip, config.w_avg_decay) == (20, 5, 0.998)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batch": 8, "views": 9}, "9 views need a batch of as many heads"),
        ({"batch": 12, "microbatch": 8}, "not worked off in parts of 8"),
        ({"resolution": 100}, "power of two"),
        ({"width": 65}, "no multiple of its heads"),
        ({"generator_lr": float("nan")}, "negative or not finite"),
        ({"r1_gamma": -1.0}, "negative or not finite"),
        ({"kimg": 0.0}, "kimg is 0"),
        ({"metrics": ()}, "no metric"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, sentence):
    with pytest.raises(TrainingError, match=sentence):
        TrainingConfig(**settings)


# ---- logs


def test_an_unfinished_line_of_a_log_is_passed_over_and_later_ones_are_dropped(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [{"kind": "status", "images": n} for n in (8, 16, 24)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "sta')

    assert read_log(log) == lines
    rewind(log, 16)
    assert read_log(log) == lines[:2]


def test_what_is_no_number_is_logged_as_null(tmp_path):
    records = Records(tmp_path, 0)

    records.write("status", 8, loss=float("nan"), text="said")
    records.picture("front", 8, torch.rand(3, 4, 6))
    records.close()

    status, grid = read_log(tmp_path / "log.jsonl")
    assert status["loss"] is None
    assert (tmp_path / grid["file"]).stat().st_size > 0


def test_who_does_not_write_leaves_nothing(tmp_path):
    records = Records(tmp_path, 0, is_writing=False)

    records.write("status", 8, loss=1.0)
    records.picture("front", 8, torch.rand(3, 4, 6))
    records.close()

    assert not list(tmp_path.iterdir())
