"""The training loop as a whole: it learns, and stopped and resumed equals never stopped."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from models.checkpoint import inspect, load_generator
from renderer.errors import CheckpointError, SaveError
from tests.training.heads import SMALL, PaintedHeads, write_dataset
from training.config import TrainingError
from training.launch import Processes
from training.loop import BEST, NEWEST, PROCESS, STOP, Start, running_process, train
from training.records import read_log
from training.state import Checkpoints, TrainingState, read

ROOT = Path(__file__).resolve().parents[2]
ALONE = Processes(0, 1, torch.device("cpu"))


def run(folder, config=SMALL, source=None, **options):
    steps = train(folder, config, source or PaintedHeads(), ALONE, cache=folder, **options)
    return to_its_end(steps)


def to_its_end(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def weights(folder, images):
    return read(Checkpoints(folder / "checkpoints").path_at(images))[1]


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def after(steps):
    """Ask to stop when so many more steps were done."""
    count = iter(range(10**6))
    return lambda: next(count) >= steps


# ---- it runs


def test_a_run_goes_to_its_end_and_leaves_what_it_promised(tmp_path):
    last, steps = run(tmp_path)

    assert (last.done, last.total, last.is_stopped) == (80, 80, False)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} >= {
        "000000064.safetensors",
        "000000080.safetensors",
    }
    assert inspect(tmp_path / NEWEST).images_seen == 80
    assert load_generator(tmp_path / BEST).generator.config == SMALL.generator_config()
    kinds = [line["kind"] for line in read_log(tmp_path / "log.jsonl")]
    assert kinds[0] == "begin"
    assert kinds[-1] == "end"
    assert {"status", "metric", "grid", "checkpoint"} <= set(kinds)
    assert len(list((tmp_path / "grids").glob("*.png"))) == 5
    assert list((tmp_path / "tensorboard").iterdir())
    assert not (tmp_path / PROCESS).exists()


def test_what_is_exported_is_the_average_and_not_the_generator(tmp_path):
    run(tmp_path)

    exported = load_generator(tmp_path / NEWEST).generator.state_dict()
    saved = weights(tmp_path, 80)
    assert all(torch.equal(exported[name], saved[f"average.{name}"]) for name in exported)
    assert any(not torch.equal(exported[name], saved[f"generator.{name}"]) for name in exported)


def test_the_status_says_speed_memory_and_time_left(tmp_path):
    _, steps = run(tmp_path)

    line = next(line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "status")
    assert line["s_per_kimg"] > 0
    assert line["memory_gb"] > 0
    assert line["eta_s"] > 0
    assert line["r1_penalty"] >= 0
    said = {step.message for step in steps}
    assert any("s/kimg" in text and "left" in text and "GB" in text for text in said)


def test_only_the_newest_and_the_best_checkpoints_are_kept(tmp_path):
    run(tmp_path, dataclasses.replace(SMALL, kimg=0.16, checkpoint_kimg=0.016, keep=2))

    best = read_log(tmp_path / "log.jsonl")
    best = min((line for line in best if line["kind"] == "metric"), key=lambda x: x["stand-in"])
    kept = {int(path.stem) for path in (tmp_path / "checkpoints").glob("*.safetensors")}
    assert {144, 160} <= kept
    assert kept - {144, 160} <= {best["images"]}


# ---- it learns


def test_ten_steps_lower_the_discriminators_loss(tmp_path):
    config = dataclasses.replace(
        SMALL, kimg=0.12, generator_lr=1e-5, discriminator_lr=0.01, status_kimg=0.008, blur_sigma=0.0
    )  # fmt: skip

    run(tmp_path, config)

    losses = [
        line["discriminator_loss"]
        for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "status"
    ]  # fmt: skip
    assert sum(losses[10:]) / 5 < 0.8 * losses[0]


# ---- stopped and resumed


@pytest.mark.parametrize("ways", [{}, {"bfloat16": True, "channels_last": True}])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, ways):
    config = dataclasses.replace(SMALL, kimg=0.08, **ways)
    run(tmp_path / "whole", config)

    first, _ = run(tmp_path / "parts", config, should_stop=after(2))
    second, _ = run(tmp_path / "parts", config, should_stop=after(3))
    third, _ = run(tmp_path / "parts", config)

    assert (first.done, second.done, third.done) == (24, 56, 80)
    assert (first.is_stopped, third.is_stopped) == (True, False)
    whole, parts = weights(tmp_path / "whole", 80), weights(tmp_path / "parts", 80)
    assert any(name.startswith("discriminator_optimizer.exp_avg_sq.") for name in whole)
    assert any(name.startswith("generator_optimizer.exp_avg_sq.") for name in whole)
    assert_same(whole, parts)


def test_a_run_that_went_on_logs_each_moment_once(tmp_path):
    config = dataclasses.replace(SMALL, checkpoint_kimg=0.016)
    run(tmp_path, config)
    for path in Checkpoints(tmp_path / "checkpoints").paths()[:1]:
        path.unlink()  # as if the last steps had been lost with the power

    run(tmp_path, config)

    lines = read_log(tmp_path / "log.jsonl")
    seen = [line["images"] for line in lines if line["kind"] == "status"]
    assert seen == sorted(set(seen))
    assert lines[-1]["kind"] == "end"


def test_another_seed_is_another_run(tmp_path):
    config = dataclasses.replace(SMALL, kimg=0.008)
    run(tmp_path / "a", config)
    run(tmp_path / "b", dataclasses.replace(config, seed=1))

    a, b = weights(tmp_path / "a", 8), weights(tmp_path / "b", 8)
    assert not torch.equal(a["generator.point_gen._xyz"], b["generator.point_gen._xyz"])


def start(folder, data, *more):
    """Start a real training process on a dataset."""
    settings = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in dataclasses.asdict(SMALL).items()
        if not isinstance(value, bool | tuple) and name != "kimg"
    ]
    command = [sys.executable, "-m", "training", "train", "--out", str(folder), "--device", "cpu"]
    command += ["--metrics", "stand-in"]
    return subprocess.Popen(
        [*command, *(["--data", str(data), *settings] if data else []), *more],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"},
    )  # fmt: skip


def wait_until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_real_process_stopped_by_sigterm_goes_on_bit_for_bit(tmp_path):
    data = write_dataset(tmp_path / "heads")
    parts = tmp_path / "parts"
    long = start(parts, data, "--kimg=100")
    wait_until(lambda: "status" in _kinds(parts), long)

    long.send_signal(signal.SIGTERM)
    said, _ = long.communicate(timeout=120)
    (newest, *_) = Checkpoints(parts / "checkpoints").paths()
    stopped_at = int(newest.stem)

    assert long.returncode == 0, said
    assert read_log(parts / "log.jsonl")[-1]["is_stopped"] is True
    goal = f"--kimg={(stopped_at + 24) / 1000}"
    for process in (start(parts, None, goal), start(tmp_path / "whole", data, goal)):
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    assert_same(weights(parts, stopped_at + 24), weights(tmp_path / "whole", stopped_at + 24))


def test_a_file_named_stop_ends_a_run_cleanly(tmp_path):
    steps = train(tmp_path, SMALL, PaintedHeads(), ALONE, cache=tmp_path)
    while next(steps).done == 0:
        pass
    (tmp_path / STOP).touch()

    last, _ = to_its_end(steps)

    assert last.is_stopped
    assert last.done < 80
    assert Checkpoints(tmp_path / "checkpoints").path_at(last.done).exists()
    assert not (tmp_path / STOP).exists()


def _kinds(folder):
    return {line["kind"] for line in read_log(folder / "log.jsonl")}


# ---- nothing good is ever lost


def test_kill_9_during_a_checkpoint_keeps_the_last_good_one(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, ".")
from tests.training.test_loop import run, SMALL
count = 0
import training.state as state
from contextlib import contextmanager
whole = state.atomic_write
@contextmanager
def dying(path):
    with whole(path) as file:
        global count
        count += "checkpoints" in str(path)
        if count == 2:
            file.write(b"x" * 5000); file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        yield file
state.atomic_write = dying
run(Path(sys.argv[1]))
"""
    folder = tmp_path / "run"
    died = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}, timeout=240,
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list((folder / "checkpoints").glob(".*.part"))
    (good,) = Checkpoints(folder / "checkpoints").paths()
    read(good)  # it is intact

    last, _ = run(folder)

    assert last.done == 80
    assert not list((folder / "checkpoints").glob(".*.part"))


@pytest.mark.parametrize("damage", ["cut", "bits", "empty"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    run(tmp_path)
    newest, before = Checkpoints(tmp_path / "checkpoints").paths()[:2]
    content = bytearray(newest.read_bytes())
    if damage == "bits":
        content[-100] ^= 1
    newest.write_bytes({"cut": content[:-50], "bits": content, "empty": b""}[damage])

    found, damaged = Checkpoints(tmp_path / "checkpoints").load_newest(SMALL, ALONE.device)

    assert found.images == int(before.stem)
    assert [error.path for error in damaged] == [str(newest)]


def test_with_no_intact_checkpoint_a_run_does_not_silently_begin_again(tmp_path):
    run(tmp_path)
    for path in Checkpoints(tmp_path / "checkpoints").paths():
        path.write_bytes(b"gone")

    with pytest.raises(CheckpointError, match="no intact checkpoint"):
        run(tmp_path)


def test_other_settings_than_the_runs_are_refused(tmp_path):
    run(tmp_path)

    with pytest.raises(CheckpointError, match="other settings of the networks"):
        run(tmp_path, dataclasses.replace(SMALL, width=24, kimg=0.1))


def test_a_full_disk_keeps_the_last_good_checkpoint_and_the_run_goes_on(tmp_path, monkeypatch):
    import training.state

    written, whole = [], training.state.Checkpoints.save

    def save(self, state, config):
        written.append(state.images)
        if len(written) == 2:
            raise SaveError("x", "could not be saved: the disk is full. Free some space.")
        return whole(self, state, config)

    monkeypatch.setattr(training.state.Checkpoints, "save", save)

    last, _ = run(tmp_path, dataclasses.replace(SMALL, keep=9))

    assert last.done == 80
    assert "warning" in _kinds(tmp_path)
    kept = {int(path.stem) for path in Checkpoints(tmp_path / "checkpoints").paths()}
    assert kept == set(written) - {written[1]}


# ---- what cannot begin


def test_pictures_of_another_size_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="pictures are 32 px but the settings say 16"):
        run(tmp_path, source=PaintedHeads(resolution=32))


def test_random_backgrounds_without_masks_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="need masks"):
        run(tmp_path, source=PaintedHeads(has_alphas=False))


def test_two_runs_in_one_folder_are_refused(tmp_path):
    import psutil

    parent = psutil.Process(os.getppid())
    import socket

    values = {"pid": parent.pid, "host": socket.gethostname(), "born": parent.create_time()}
    (tmp_path / PROCESS).write_text(json.dumps(values))

    assert running_process(tmp_path) == parent.pid
    with pytest.raises(TrainingError, match=r"trains in .* already"):
        run(tmp_path)
    (tmp_path / PROCESS).write_text(json.dumps(values | {"born": 5.0}))  # the id was used again
    assert running_process(tmp_path) is None


def test_weights_that_are_no_numbers_end_the_run_and_are_not_saved(tmp_path):
    def poisoned(config, device):
        state = TrainingState.fresh(config, device)
        with torch.no_grad():
            state.discriminator.b4.fc.weight[0, 0] = torch.nan
        return state, "all of it"

    with pytest.raises(TrainingError, match="has diverged"):
        run(tmp_path, start=Start(poisoned, "poison"))

    assert not Checkpoints(tmp_path / "checkpoints").paths()
    assert read_log(tmp_path / "log.jsonl")[-1]["kind"] == "failure"
