"""Preferences: kept between sessions, whatever has happened to the file."""

import json
import os
from pathlib import Path

import pytest

from inversion.prepare import PrepareSettings
from inversion.settings import LossWeights, ProjectorSettings, TuningSettings
from renderer.errors import SaveError
from splatviz_app.preferences import (
    Preferences,
    config_folder,
    load_preferences,
    save_preferences,
)

SOME = Preferences(
    recent=("/heads/ä.ply", "/models/b.pkl"),
    backend="torch",
    precision="fast",
    save_folder="/somewhere",
    runs_folder="/runs",
    head_model="/heads/model.npz",
    asked=("gs.count", "a = 1\na"),
    pinned=(),
)


def test_what_is_saved_is_loaded(tmp_path):
    save_preferences(SOME, tmp_path / "new" / "folder")

    assert load_preferences(tmp_path / "new" / "folder") == SOME


def test_without_a_file_there_are_the_defaults(tmp_path):
    assert load_preferences(tmp_path) == Preferences()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"null", b'"text"', b"\xff\xfe\x00", b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "text", "not utf-8", "deep"],
)
def test_a_damaged_file_gives_the_defaults(tmp_path, content):
    (tmp_path / "preferences.json").write_bytes(content)

    assert load_preferences(tmp_path) == Preferences()


@pytest.mark.parametrize(
    "wrong",
    [
        {"recent": "head.ply"},
        {"recent": {"a": 1}},
        {"backend": "voodoo"},
        {"backend": ["cpu"]},
        {"precision": 16},
        {"precision": None},
        {"save_folder": 3},
        {"runs_folder": ["a"]},
        {"asked": "gs"},
        {"pinned": 7},
        {"of the future": {"x": 1}},
    ],
)
def test_a_field_of_the_wrong_kind_gets_its_default_and_the_rest_is_kept(tmp_path, wrong):
    good = {"recent": ["a.ply"], "backend": "cpu", "precision": "fast", "save_folder": "/x"}
    (tmp_path / "preferences.json").write_text(json.dumps(good | wrong))

    loaded = load_preferences(tmp_path)

    plain = Preferences()
    for name, value in good.items():
        kept = tuple(value) if isinstance(value, list) else value
        assert getattr(loaded, name) == (getattr(plain, name) if name in wrong else kept), name


def test_an_expression_is_remembered_once_and_pinned_once():
    preferences = Preferences(pinned=()).with_asked("a").with_asked("b").with_asked("a")

    assert preferences.asked == ("a", "b")
    pinned = preferences.with_pinned("a").with_pinned("b").with_pinned("a")
    assert pinned.pinned == ("a", "b")
    assert pinned.without_pinned("a").pinned == ("b",)


def test_recent_files_that_are_not_names_are_left_out(tmp_path):
    (tmp_path / "preferences.json").write_text('{"recent": ["a.ply", 3, null, "b.ply"]}')

    assert load_preferences(tmp_path).recent == ("a.ply", "b.ply")


def test_a_recent_file_moves_to_the_top_and_stands_there_once():
    preferences = Preferences(recent=("a", "b", "c"))

    assert preferences.with_recent("b").recent == ("b", "a", "c")
    assert preferences.with_recent("d").recent == ("d", "a", "b", "c")


def test_the_list_of_recent_files_ends():
    preferences = Preferences()
    for number in range(40):
        preferences = preferences.with_recent(str(number))

    assert preferences.recent == tuple(str(number) for number in range(39, 27, -1))


def test_saving_again_leaves_one_whole_file_and_no_other(tmp_path):
    save_preferences(Preferences(recent=("x" * 5000,)), tmp_path)
    save_preferences(SOME, tmp_path)

    assert os.listdir(tmp_path) == ["preferences.json"]
    assert load_preferences(tmp_path) == SOME


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    save_preferences(SOME, tmp_path)

    def full_disk(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SaveError, match="the disk is full"):
        save_preferences(Preferences(), tmp_path)

    assert os.listdir(tmp_path) == ["preferences.json"]
    assert load_preferences(tmp_path) == SOME


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(SaveError, match="preferences are not kept"):
        save_preferences(SOME, tmp_path / "file" / "config")


def test_the_folder_can_be_chosen_from_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLATHEAD_CONFIG", str(tmp_path))

    save_preferences(SOME)

    assert config_folder() == tmp_path
    assert (tmp_path / "preferences.json").exists()
    assert load_preferences() == SOME


def test_files_are_saved_to_the_chosen_folder_or_the_users_pictures():
    assert str(SOME.folder) == "/somewhere"
    assert Preferences().folder.is_absolute()
    assert Preferences(save_folder="~/heads").folder.is_absolute()


def test_runs_are_kept_among_the_documents_unless_the_user_says_otherwise(strange_home):
    assert Preferences().runs.name == "Splathead runs"
    assert Preferences(runs_folder="/runs").runs == Path("/runs")


# ---- settings of inversion


def test_settings_of_inversion_are_kept(tmp_path):
    preferences = Preferences(
        prepare=PrepareSettings(recipe="ffhq", matte="grabcut", at_once=False),
        projector=ProjectorSettings(steps=7, start="average", weights=LossWeights(mse=0.5)),
        tuner=TuningSettings(locality=0.25, last_levels=2),
        perception="stand-in",
    )
    save_preferences(preferences, tmp_path)

    assert load_preferences(tmp_path) == preferences


def test_each_setting_of_inversion_that_cannot_be_gets_its_default(tmp_path):
    projector = {
        "steps": 0, "learning_rate": -1.0, "resolution": "large", "start": "nowhere", "noise": 1e99,
        "per_block": True, "unknown": 3, "weights": {"mse": [1], "identity": 0.5}, "seed": 2**40,
    }  # fmt: skip
    stored = {"projector": projector, "tuner": "none", "prepare": 3, "perception": "magic"}
    (tmp_path / "preferences.json").write_text(json.dumps(stored))

    read = load_preferences(tmp_path)

    assert read == Preferences(
        projector=ProjectorSettings(per_block=True, weights=LossWeights(identity=0.5))
    )
