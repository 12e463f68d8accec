"""A run that is being thought of: its settings, and what keeps it from beginning."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from renderer.errors import LoadError
from splatviz_app.training_draft import (
    Draft,
    FoundData,
    Known,
    check_dataset,
    free_name,
    look_at_start,
    plan_of,
    problems,
    setting_help,
)
from splatviz_app.training_folder import Machine
from tests.steps import result_of
from tests.training.heads import SMALL, write_dataset
from training.config import PRESETS, TrainingConfig
from training.data import DiskImages

FOUND = FoundData(("12 pictures",), is_sound=True, resolution=64, has_masks=True, digest="abc")
DRAFT = Draft(name="first", data="/heads")


def known(tmp_path, **values):
    return Known(tmp_path, **{"data": FOUND} | values)


def sentences(draft, world):
    return [problem.sentence for problem in problems(draft, world)]


# ---- settings


def test_a_setting_as_in_the_preset_is_none_that_was_changed():
    draft = Draft(preset="256").with_setting("batch", 16).with_setting("seed", 3)
    assert draft.config() == replace(PRESETS["256"], batch=16, seed=3)

    assert draft.with_setting("batch", 32).changed == (("seed", 3),)
    assert draft.with_preset("tiny") == Draft(preset="tiny")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_settings_of_a_run_are_found_again(preset):
    config = replace(PRESETS[preset], seed=5, betas=(0.1, 0.9))

    assert Draft.of_config(config, preset).config() == config
    assert Draft.of_config(SMALL, "of the future").config() == SMALL


def test_every_setting_is_explained_by_its_comment():
    said = setting_help()

    assert set(said) == {entry.name for entry in dataclasses.fields(TrainingConfig)}
    assert said["seed"] == "Decides all random numbers of the run."
    assert "Inception's weights" in said["metrics"], "a comment may have two lines"


# ---- what keeps it from beginning


def test_a_draft_that_fits_has_no_problems_and_becomes_a_plan(tmp_path):
    draft = replace(DRAFT, name=" first ", index="list.json", machine=Machine(cpu_processes=2))

    assert problems(draft, known(tmp_path)) == []
    plan = plan_of(draft, known(tmp_path))
    assert plan.folder == tmp_path / "first"
    assert (plan.data, plan.index, plan.head_model) == (Path("/heads"), Path("list.json"), None)
    assert (plan.config, plan.preset, plan.checked) == (PRESETS["tiny"], "tiny", "abc")


def test_synthetic_heads_need_a_head_model_and_no_dataset(tmp_path):
    draft = replace(DRAFT, is_synthetic=True)
    assert "Name the head model" in sentences(draft, Known(tmp_path))[0]
    draft = replace(draft, head_model="/model.npz")
    assert "There is no head model" in sentences(draft, Known(tmp_path))[0]

    world = Known(tmp_path, has_head_model=True)

    assert problems(draft, world) == []
    plan = plan_of(draft, world)
    assert (plan.data, plan.head_model, plan.checked) == (None, Path("/model.npz"), "")


@pytest.mark.parametrize(
    ("changes", "world", "sentence"),
    [
        ({"name": " "}, {}, "Give the run a name"),
        ({"name": ".."}, {}, "Give the run a name"),
        ({"name": "a/b"}, {}, "cannot hold /"),
        ({"data": ""}, {"data": None}, "Choose a dataset"),
        ({}, {"data": None}, "has not been checked"),
        ({}, {"data": replace(FOUND, is_sound=False)}, "has faults"),
        ({"changed": (("batch", 12),)}, {}, "not worked off in parts of 8"),
        ({"machine": Machine(cpu_processes=3)}, {}, "cannot be shared evenly among 3"),
    ],
)
def test_what_only_the_user_can_mend(tmp_path, changes, world, sentence):
    found = problems(replace(DRAFT, **changes), known(tmp_path, **world))

    assert sentence in found[0].sentence
    assert found[0].mended is None


@pytest.mark.parametrize(
    ("draft", "world", "sentence", "remedy"),
    [
        (DRAFT, {"taken": frozenset({"first", "run-1"})}, "There is a run first", "Call it run-2"),
        (DRAFT, {"data": replace(FOUND, resolution=512)}, "are 512 px, and the settings say 64",
         "Take the preset 512"),
        (DRAFT, {"data": replace(FOUND, resolution=32)}, "are 32 px", "Train at 32 px"),
        (DRAFT, {"data": replace(FOUND, has_masks=False)}, "need masks", "Use a plain background"),
        (replace(DRAFT, preset="256"), {"data": replace(FOUND, resolution=256), "why_no_fid": "No weights."},
         "No weights.", "Measure with the stand-in"),
        (replace(DRAFT, start="g.pkl"), {"start_resolution": 128}, "of 128 px", "Train at 128 px"),
    ],
)  # fmt: skip
def test_what_one_press_mends(tmp_path, draft, world, sentence, remedy):
    (problem,) = problems(draft, known(tmp_path, **world))

    assert sentence in problem.sentence
    assert problem.remedy == remedy
    assert problem.mended is not None
    left = problems(problem.mended, known(tmp_path, **world))
    assert problem.sentence not in [one.sentence for one in left]


def test_mending_the_size_keeps_what_was_changed(tmp_path):
    draft = DRAFT.with_setting("seed", 7)

    (problem,) = problems(draft, known(tmp_path, data=replace(FOUND, resolution=512)))

    assert problem.mended.value("seed") == 7
    assert problem.mended.value("resolution") == 512


def test_the_first_free_name():
    assert free_name(frozenset()) == "run-1"
    assert free_name(frozenset({"run-1", "run-2", "run-4"})) == "run-3"


# ---- what is looked up


def test_a_dataset_is_checked_as_training_checks_it(tmp_path):
    data = write_dataset(tmp_path / "heads")

    found = result_of(check_dataset(data, None, 64))

    assert found.is_sound
    assert (found.resolution, found.has_masks) == (16, True)
    assert found.digest == DiskImages(data, None, 16).digest, "training need not check it again"
    (data / "mask" / "00003.png").unlink()
    found = result_of(check_dataset(data, None, 64))
    assert not found.is_sound
    assert "1 without a mask: 16/00003.png." in found.sentences
    with pytest.raises(LoadError):
        result_of(check_dataset(tmp_path / "none", None, 64))


def test_the_size_of_a_start_is_looked_up(generator_file):
    from models.checkpoint import inspect

    assert result_of(look_at_start(generator_file)) == inspect(generator_file).resolution
