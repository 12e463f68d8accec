"""Checkpoints: bit for bit back, checked before building, each fault one sentence."""

import hashlib
import json
import math
import struct
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from models import checkpoint
from models.__main__ import main
from models.checkpoint import (
    Provenance,
    convert,
    inspect,
    load_generator,
    load_steps,
    save_generator,
)
from models.generator import CgsConfig, CgsGenerator
from models.points import ACCUMULATED
from renderer.camera import OrbitRig
from renderer.errors import CheckpointError, SaveError
from renderer.rasterize import rasterize
from tests.models.published import write_published
from tests.models.small import random_z, small_config, small_generator

PROVENANCE = Provenance(
    images_seen=12_345, licence="CC0-1.0", source="a test", extra={"run": ["α", 1]}
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "head ö.safetensors"
    save_generator(path, small_generator(), PROVENANCE)
    return path


@pytest.fixture
def published(tmp_path):
    """A small generator in the published layout."""
    path = tmp_path / "published.pkl"
    config = replace(small_config(), heads=1)  # as many as the shapes imply
    generator = small_generator(config=config)
    write_published(path, generator.state_dict(), ["mapping_network.w_avg"], {"img_resolution": 64})
    return path


def rewrite(path, state=None, header=None):
    """Write the file again with other tensors or another header."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        old = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if header is not None:
        metadata = {"splathead": header if isinstance(header, str) else json.dumps(header)}
    safetensors.torch.save_file(old if state is None else state(old), path, metadata)


def header_of(path):
    with safetensors.safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["splathead"])


def sentence_of(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.rstrip().endswith(".")
    return text


def test_what_is_saved_is_loaded_bit_for_bit(saved):
    original = small_generator()
    loaded = load_generator(saved)
    assert loaded.generator.config == original.config
    found, expected = loaded.generator.state_dict(), original.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert loaded.digest == hashlib.sha256(saved.read_bytes()).hexdigest()
    z = random_z(original)
    assert torch.equal(loaded.generator.map(z), original.map(z))


def test_loaded_weights_ask_for_no_gradient_but_w_may(saved):
    generator = load_generator(saved).generator
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    w = generator.map(random_z(generator)).requires_grad_()
    generator.synthesize(w).means.sum().backward()
    assert w.grad.abs().sum() > 0


def test_the_summary_says_what_is_in_the_file(saved):
    summary = inspect(saved)
    config = small_config()
    assert (summary.kind, summary.architecture) == (checkpoint.OURS, "cgs")
    assert (summary.resolution, summary.splats) == (64, 33 * (1 + 4 + 16))
    assert summary.config == config
    tensors = small_generator().state_dict().values()
    assert summary.parameters == sum(tensor.numel() for tensor in tensors)
    assert summary.size == saved.stat().st_size
    assert summary.provenance == PROVENANCE
    assert (summary.missing, summary.unexpected, summary.misshapen) == ((), (), ())


def test_loading_says_where_it_stands_and_can_be_left(saved):
    steps = list(load_steps(saved))
    assert all(step.done <= step.total == 2 * saved.stat().st_size for step in steps)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total
    half = load_steps(saved)
    next(half)
    half.close()
    with pytest.raises(StopIteration):
        next(half)


def test_a_file_replaced_after_loading_changes_nothing(saved):
    generator = load_generator(saved).generator
    before = generator.w_avg.clone()
    size = saved.stat().st_size
    with open(saved, "r+b") as file:
        file.write(b"\xff" * size)
    assert torch.equal(generator.w_avg, before)


@pytest.mark.parametrize("percent", [0, 0.001, 0.01, 1, 5, 20, 40, 60, 80, 99, 99.999])
def test_a_truncated_file_ends_in_one_sentence(saved, percent):
    content = saved.read_bytes()
    saved.write_bytes(content[: min(int(len(content) * percent / 100), len(content) - 1)])
    for read in (inspect, load_generator):
        with pytest.raises(CheckpointError) as error:
            read(saved)
        assert saved.name in sentence_of(error)


def test_a_header_length_that_lies_ends_in_one_sentence(saved):
    content = saved.read_bytes()
    for length in (0, 7, 2**31, 2**63, 2**64 - 1):
        saved.write_bytes(struct.pack("<Q", length) + content[8:])
        with pytest.raises(CheckpointError) as error:
            load_generator(saved)
        sentence_of(error)


@pytest.mark.parametrize(
    "change",
    [
        "no json",
        "[" * 20_000,
        "[]",
        "{}",
        {"format": "1"},
        {"format": 0},
        {"architecture": "gghead"},
        {"architecture": ["cgs"]},
        {"config": []},
        {"config": {"points": 33}},
        {"config.points": 1e99},
        {"config.points": 2**40},
        {"config.first_blocks": 10**9},
        {"config.features": "abc"},
        {"config.features": []},
        {"config.heads": 0},
        {"config.heads": True},
        {"config.split_ratio": 0},
        {"config.split_ratio": 10**400},
        {"config.mapping_lr": math.nan},
        {"config.colour": 3},
    ],
)
def test_a_header_that_makes_no_sense_ends_in_one_sentence(saved, change):
    header = change
    if isinstance(change, dict):
        header = header_of(saved)
        for name, value in change.items():
            where, _, inner = name.partition(".")
            if inner:
                header[where][inner] = value
            else:
                header[where] = value
    rewrite(saved, header=header)
    for read in (inspect, load_generator):
        with pytest.raises(CheckpointError) as error:
            read(saved)
        sentence_of(error)


def test_a_later_format_asks_for_an_update(saved):
    rewrite(saved, header=header_of(saved) | {"format": 2})
    with pytest.raises(CheckpointError, match="later version"):
        inspect(saved)


def test_missing_unexpected_and_misshapen_tensors_are_named(saved):
    def change(state):
        del state["point_gen._xyz"]
        state["point_gen.extra"] = torch.zeros(3)
        state["mapping_network.w_avg"] = torch.zeros(15)
        return state

    rewrite(saved, change)
    summary = inspect(saved)
    assert summary.missing == ("point_gen._xyz",)
    assert summary.unexpected == ("point_gen.extra",)
    assert summary.misshapen == ("mapping_network.w_avg (15,) instead of (14,)",)
    with pytest.raises(CheckpointError, match=r"lacks point_gen\._xyz"):
        load_generator(saved)


@pytest.mark.parametrize("fault", ["unexpected", "misshapen"])
def test_each_fault_alone_is_refused(saved, fault):
    def change(state):
        if fault == "unexpected":
            return state | {"point_gen.extra": torch.zeros(3)}
        return state | {"mapping_network.w_avg": torch.zeros(15)}

    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=r"extra|w_avg \(15,\) instead of \(14,\)"):
        load_generator(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_numbers_are_counted_and_refused(saved, value):
    def change(state):
        state["mapping_network.w_avg"][3:5] = value
        state["point_gen._xyz"][7, 1] = value
        return state

    rewrite(saved, change)
    with pytest.raises(CheckpointError, match="3 weights that are not numbers") as error:
        load_generator(saved)
    assert "diverged" in sentence_of(error)


def test_half_precision_files_load_as_float32(saved):
    rewrite(saved, lambda state: {name: tensor.half() for name, tensor in state.items()})
    generator = load_generator(saved).generator
    assert generator.w_avg.dtype == torch.float32
    torch.testing.assert_close(generator.w_avg, small_generator().w_avg, atol=1e-3, rtol=0)


def test_a_failed_save_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("renderer.files.os.fsync", full)
    with pytest.raises(SaveError) as error:
        save_generator(saved, small_generator(seed=1))
    sentence_of(error)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_bare_safetensors_is_known_by_its_names(saved, tmp_path):
    bare = tmp_path / "bare.safetensors"
    generator = small_generator(config=replace(small_config(), heads=1))
    safetensors.torch.save_file(generator.state_dict(), bare)
    loaded = load_generator(bare)
    assert loaded.summary.kind == checkpoint.BARE
    assert loaded.generator.config == generator.config


def test_a_published_file_makes_the_same_heads(published):
    loaded = load_generator(published)
    original = small_generator(config=loaded.generator.config)
    assert loaded.summary.kind == checkpoint.PUBLISHED
    assert loaded.summary.resolution == 64
    w = original.map(random_z(original))
    assert torch.equal(loaded.generator.map(random_z(original)), w)
    assert torch.equal(loaded.generator.synthesize(w).means, original.synthesize(w).means)


def test_constants_of_a_published_file_win_over_formulas(tmp_path):
    path = tmp_path / "constants.pkl"
    config = replace(small_config(), heads=1)
    state = small_generator(config=config).state_dict()
    state |= {"point_gen.split_ratio": torch.tensor(2.5)}
    write_published(
        path,
        state,
        ["mapping_network.w_avg", "point_gen.split_ratio"],
        {"img_resolution": 128, "generator": {"percent_dense": 0.03}},
        attributes={"point_gen.scale_threshold": -2.25},
        extra={"cur_nimg": 7000},
    )
    summary = inspect(path)
    assert summary.resolution == 128
    assert summary.images_seen == 7000
    assert summary.config.placement == (-2.25, 0.03, 2.5)
    assert summary.unexpected == ("point_gen.split_ratio",)
    assert load_generator(path).generator.config == summary.config


def test_a_published_file_with_a_part_too_many_is_another_network(tmp_path):
    path = tmp_path / "other.pkl"
    state = small_generator(config=replace(small_config(), heads=1)).state_dict()
    write_published(path, state | {"superresolution.weight": torch.zeros(3)})
    assert load_generator(path).summary.unexpected == ("superresolution.weight",)
    write_published(path, state | {"point_gen.transformer.more.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="no use for"):
        load_generator(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"point_gen._xyz": torch.zeros(0, 3)}, "and 0 points"),
        ({"point_gen.upsample_layers.8.subpixel.weight": torch.zeros(8, 8)}, "9 levels"),
        ({"point_gen.percent_dense": torch.tensor(math.nan)}, "not numbers"),
    ],
)
def test_a_published_file_of_impossible_sizes_ends_in_one_sentence(tmp_path, change, words):
    path = tmp_path / "impossible.pkl"
    state = small_generator(config=replace(small_config(), heads=1)).state_dict()
    write_published(path, state | change, ["mapping_network.w_avg", "point_gen.percent_dense"])

    for read in (inspect, load_generator):
        with pytest.raises(CheckpointError, match=words) as error:
            read(path)
        assert ".." not in sentence_of(error)


def test_a_complex_number_in_a_published_file_is_no_constant(tmp_path):
    path = tmp_path / "complex.pkl"
    config = replace(small_config(), heads=1)
    state = small_generator(config=config).state_dict()
    write_published(path, state | {"point_gen.split_ratio": torch.tensor(1 + 2j)})

    assert inspect(path).config.split_ratio == config.split_ratio


@pytest.mark.parametrize(
    ("resolution", "last"), [(256, 16), (512, 16), (1024, 16), (2048, 8), (2048, 16)]
)
def test_a_published_file_of_every_size_is_converted_to_the_same_picture(
    tmp_path, resolution, last
):
    published, ours = tmp_path / "published.pkl", tmp_path / "ours.safetensors"
    config = CgsConfig.for_resolution(resolution, points=7, width=64)
    config = replace(config, features=(*config.features[:-1], last))
    generator = small_generator(config=config)
    buffers = ["mapping_network.w_avg"]
    write_published(published, generator.state_dict(), buffers, {"img_resolution": resolution})

    summary = convert(published, ours)

    assert summary.config == config
    assert summary.splats == 7 * sum(ACCUMULATED[: config.levels])
    assert not summary.missing
    assert not summary.unexpected
    w = generator.map(random_z(generator, batch=1))
    heads = [model.synthesize(w)[0] for model in (generator, load_generator(ours).generator)]
    with torch.no_grad():
        one, other = (rasterize(head, OrbitRig(yaw=0.5).camera(), (45, 29)) for head in heads)
    assert float(one.alpha.max()) > 0.5
    assert torch.equal(one.color, other.color)


def test_files_are_known_by_content_not_by_name(saved, published):
    disguised = published.with_suffix(".safetensors")
    published.rename(disguised)
    assert inspect(disguised).kind == checkpoint.PUBLISHED
    renamed = saved.with_suffix(".pkl")
    saved.rename(renamed)
    assert inspect(renamed).kind == checkpoint.OURS


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"PK\x03\x04" + bytes(40), b"\x80", b"ply\nformat"]
)
@pytest.mark.parametrize("suffix", [".pkl", ".safetensors"])
def test_other_files_end_in_one_sentence(tmp_path, content, suffix):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_generator(path)
    sentence_of(error)


def test_no_file_and_a_folder_end_in_one_sentence(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        for read in (inspect, load_generator):
            with pytest.raises(CheckpointError) as error:
                read(path)
            sentence_of(error)


def test_a_converted_file_holds_the_same_weights_and_says_where_from(published, tmp_path):
    target = tmp_path / "ours.safetensors"
    summary = convert(published, target)
    assert summary.kind == checkpoint.OURS
    assert summary.provenance.source == "published.pkl"
    assert "CGS-GAN" in summary.licence
    first, second = load_generator(published).generator, load_generator(target).generator
    assert first.config == second.config
    states = first.state_dict(), second.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_command_line_converts_and_tells(published, tmp_path, capsys):
    target = tmp_path / "ours.safetensors"
    assert main(["convert", str(published), str(target)]) == 0
    assert main(["info", str(target)]) == 0
    told = capsys.readouterr().out
    assert "64 px" in told
    assert "693" in told
    assert main(["convert", str(published), str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["convert", str(published), str(target), "--overwrite"]) == 0
    assert main(["info", str(tmp_path / "none.pkl")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_summary_builds_nothing(saved, monkeypatch):
    def refuse(self, config):
        if torch.empty(0).device.type != "meta":
            raise AssertionError("a network was built")
        build(self, config)

    build = CgsGenerator.__init__
    monkeypatch.setattr(CgsGenerator, "__init__", refuse)
    assert inspect(saved).splats == 693
