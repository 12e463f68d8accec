"""What a file holds is told from its header, before anything is opened."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import CheckpointSummary, Provenance, inspect, save_generator
from renderer.errors import CheckpointError, LoadError
from renderer.formats.ply import PROFILES, read_ply, write_ply
from splatviz_app.inspection import checkpoint_facts, inspect_file, size_text
from tests.conftest import some_splats
from tests.models.small import small_generator


def inspected(path):
    """The result of the job, and where it said it stood."""
    work, steps = inspect_file(path), []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


def facts_of(path):
    return dict(inspected(path)[0].facts)


@pytest.mark.parametrize(("degree", "bases"), [(0, 1), (1, 4), (2, 9), (3, 16)])
def test_a_ply_says_how_many_splats_it_has_and_how_they_are_coloured(tmp_path, degree, bases):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats(1234, bases))

    facts = facts_of(path)

    assert facts["Splats"] == "1,234"
    assert facts["Colour"] == (
        f"Spherical harmonics, degree {degree}" if degree else "The same from all sides"
    )
    assert facts["File size"] == size_text(path.stat().st_size)
    assert "Saved for" not in facts


@pytest.mark.parametrize("key", [key for key, profile in PROFILES.items() if profile.frame])
def test_a_ply_of_ours_says_for_whom_it_was_saved(tmp_path, key):
    write_ply(tmp_path / "head.ply", some_splats(), PROFILES[key])

    assert facts_of(tmp_path / "head.ply")["Saved for"] == PROFILES[key].label


def test_a_profile_that_nobody_knows_is_not_shown(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats(), PROFILES["unity"])
    path.write_bytes(path.read_bytes().replace(b'"unity"', b'"vrmlx"'))

    assert "Saved for" not in facts_of(path)


def test_a_ply_as_it_is_was_saved_for_nobody(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats(), note={"made": "here"})

    assert b'"raw"' in path.read_bytes()
    assert "Saved for" not in facts_of(path)


def test_no_splat_is_read(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats(1234))
    path.write_bytes(path.read_bytes()[:600])  # the header, and no row

    assert facts_of(path)["Splats"] == "1,234"


def test_whatever_cannot_be_opened_is_refused_in_the_same_words(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats())
    path.write_bytes(path.read_bytes().replace(b"rot_3", b"spin3"))

    with pytest.raises(LoadError) as opening:
        read_ply(path)
    with pytest.raises(LoadError) as inspecting:
        inspected(path)

    assert str(inspecting.value) == str(opening.value)
    assert "'rot_3'" in str(opening.value)


def test_a_generator_says_what_it_is(tmp_path):
    path = tmp_path / "small.safetensors"
    generator = small_generator()
    save_generator(path, generator, Provenance(images_seen=25_000, licence="CC0"))

    facts = facts_of(path)

    parameters = sum(tensor.numel() for tensor in generator.state_dict().values())
    assert facts["Kind"] == "Splathead checkpoint"
    assert facts["Resolution"] == "64 px"
    assert facts["Splats"] == f"{33 * 21:,}"
    assert facts["Parameters"] == f"{parameters:,}"
    assert facts["Trained on"] == "25,000 pictures"
    assert facts["Licence"] == "CC0"
    assert not {"Missing", "Unexpected", "Misshapen"} & facts.keys()


def test_what_a_generator_does_not_say_is_not_invented(generator_file):
    facts = facts_of(generator_file)

    assert "Trained on" not in facts
    assert facts["Licence"] == "The file does not say"


def test_faults_are_listed_briefly(tmp_path, generator_file):
    from safetensors import safe_open

    state = load_file(generator_file)
    lost = sorted(state)[-3:]  # the last of all names, no layer that tells the configuration
    for name in lost:
        del state[name]
    state["stranger"] = torch.zeros(3)
    with safe_open(generator_file, framework="pt") as file:
        save_file(state, tmp_path / "faulty.safetensors", file.metadata())

    summary = inspect(tmp_path / "faulty.safetensors")
    facts = dict(checkpoint_facts(summary))

    assert isinstance(summary, CheckpointSummary)
    assert set(summary.missing) == set(lost)
    assert facts["Missing"] == f"3: {summary.missing[0]}, {summary.missing[1]}, …"
    assert facts["Unexpected"] == "1: stranger"


def test_it_says_what_it_does_and_keeps_the_path(head_ply):
    result, steps = inspected(str(head_ply))

    assert result.path == head_ply
    assert [step.message for step in steps] == ["Reading seven.ply"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("gone.ply", LoadError, "does not exist"),
        ("gone.pkl", CheckpointError, "does not exist"),
        ("head.obj", LoadError, "not a head this program can open"),
    ],
)
def test_what_is_not_there_or_not_ours_is_a_sentence(tmp_path, name, error, words):
    with pytest.raises(error, match=words):
        inspected(tmp_path / name)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.0 kB"), (1536, "1.5 kB"), (2**20, "1.0 MB"), (250 * 2**20, "250.0 MB")],
)
def test_sizes_are_easy_to_read(size, text):
    assert size_text(size) == text
