"""Presets: kept in files, brought in from elsewhere, put into a stack; and the ones we ship."""

from __future__ import annotations

import json

import pytest
import torch

from renderer.camera import OrbitRig
from renderer.errors import LoadError
from splatviz_app.edits.apply import apply_edits
from splatviz_app.edits.built_in import BUILT_IN
from splatviz_app.edits.completion import complete
from splatviz_app.edits.presets import Preset, PresetFolder, added_preset, preset_of, read_presets
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.stack import KINDS, EditStack
from splatviz_app.edits.tools import CropBox, DeleteLevels, Hue
from splatviz_app.edits.values import Animation, CodeEdit, EditContext, Slider
from tests.conftest import some_splats

ALL_KINDS = Preset("Everything", "One of each.", tuple(kind() for kind in KINDS))
MINE = Preset(
    "Mine",
    "Does it – ünicode, \u2028 and all.",
    (
        CodeEdit(code="gs.rgb *= slider.x\n", name="One"),
        CropBox(center=(0.1, -0.2, 0.3), outside=True),
        DeleteLevels(levels=(0, 2)),
    ),
    (
        Slider("x", 2.5, -1, 10),
        Slider("n", 3, 0, 5, "int"),
        Slider("on", True, kind="bool"),
        Slider("tint", (0.1, 0.2, 0.3), kind="color", animation=Animation("loop", 2.5, False)),
    ),
)


@pytest.fixture
def folder(tmp_path):
    return PresetFolder(tmp_path / "presets")


# ---- files


@pytest.mark.parametrize("preset", [MINE, ALL_KINDS, *BUILT_IN], ids=lambda preset: preset.name)
def test_what_is_kept_is_read_back(folder, tmp_path, preset):
    folder.save(preset)

    (again,) = PresetFolder(tmp_path / "presets").presets

    assert [slider.at(0.3) for slider in again.sliders] == [s.at(0.3) for s in preset.sliders]
    assert again == preset


def test_presets_are_renamed_and_deleted_and_the_files_follow(folder, tmp_path):
    folder.save(MINE)
    other = folder.save(Preset("Other", edits=(Hue(angle=1.0),)))

    renamed = folder.rename(other, "  A better   name ")
    assert renamed.name == "A better name"
    assert PresetFolder(tmp_path / "presets").presets == (renamed, MINE)

    folder.delete(renamed)
    assert PresetFolder(tmp_path / "presets").presets == folder.presets == (MINE,)


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(folder):
    for _ in range(3):
        folder.save(MINE)
    folder.save(Preset("", edits=(Hue(),)))

    assert [preset.name for preset in folder.presets] == ["Mine", "Mine 2", "Mine 3", "Preset"]


def test_names_that_no_file_can_have_are_kept_all_the_same(folder, tmp_path):
    names = {"a/b:c*?", "../../up", ".", "CON", "日本", "x" * 70}
    for name in names:
        folder.save(Preset(name, edits=(Hue(),)))

    assert {preset.name for preset in PresetFolder(tmp_path / "presets").presets} == names
    assert [path.name for path in tmp_path.iterdir()] == ["presets"]


def test_files_of_another_kind_in_the_folder_are_passed_over(folder, tmp_path):
    folder.save(MINE)
    (tmp_path / "presets" / "notes.json").write_text("[1, 2, 3]")
    (tmp_path / "presets" / "broken.json").write_text('{"splathead_preset": 1, "name"')

    assert PresetFolder(tmp_path / "presets").presets == (MINE,)


def test_without_a_folder_presets_live_as_long_as_the_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = PresetFolder(None)

    first, second = folder.save(MINE), folder.save(MINE)
    folder.rename(first, "Ours")
    folder.delete(second)

    assert [preset.name for preset in folder.presets] == ["Ours"]
    assert list(tmp_path.iterdir()) == []


# ---- from elsewhere

REFERENCE = {
    "Default": {"edit_text": "gs._xyz = gs._xyz\r\n", "slider": [
        {"key": "x", "value": 1, "min_value": 0, "max_value": 10, "_id": "8a4f"}]},
    "Odd": {"edit_text": "if slider.a > 0:\n\tgs._opacity += slider.a", "slider": [
        {"key": "a", "value": 50, "min_value": 10, "max_value": -10, "_id": 1,
         "show layers": {"edit_text": "", "slider": []}},
        {"key": "not a name", "value": 1, "min_value": 0, "max_value": 10},
        {"key": "b", "value": "much", "min_value": 0, "max_value": 10},
        {"key": "a", "value": 2, "min_value": 0, "max_value": 4},
        17,
    ]},
    "No text": {"slider": []},
    "No sliders": {"edit_text": "gs._scaling += 1"},
}  # fmt: skip


def test_presets_of_the_reference_tool_are_brought_in(folder, tmp_path):
    path = tmp_path / "presets.json"
    path.write_text(json.dumps(REFERENCE))

    added = folder.add_from(path)

    assert [preset.name for preset in added] == ["Default", "Odd", "No sliders"]
    default, odd, plain = added
    assert default.sliders == (Slider("x", 1.0, 0.0, 10.0),)
    assert default.codes == ("gs._xyz = gs._xyz\n",)
    assert odd.sliders == (Slider("a", 2.0, 0.0, 4.0),)
    assert odd.codes == ("if slider.a > 0:\n    gs._opacity += slider.a",)
    assert plain.sliders == ()
    assert set(folder.presets) == set(added)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        b'{"a": 3}',
        b"[" * 100_000,
        b'{"splathead_preset": 2, "name": "x"}',
        b'{"splathead_preset": 1, "name": "x", "edits": [{"$type": "System"}]}',
        b'{"splathead_preset": 1, "name": "x", "edits": [{"$type": "Hue", "angle": "NaN"}]}',
        b" " * (2**22 + 1),
    ],
)
def test_a_file_that_holds_no_presets_is_a_sentence(folder, tmp_path, content):
    path = tmp_path / "some.json"
    path.write_bytes(content)

    with pytest.raises(LoadError, match=r"some\.json"):
        folder.add_from(path)
    with pytest.raises(LoadError, match=r"none\.json"):
        read_presets(tmp_path / "none.json")
    assert folder.presets == ()


# ---- in a stack


def test_a_preset_is_one_edit_with_the_sliders_that_it_uses():
    stack = EditStack(sliders=(Slider("x"), Slider("y"))).added(Hue())
    stack = stack.added(CodeEdit(code="gs.rgb *= slider.y", name="Old", enabled=False))

    preset = preset_of(stack, stack.edits[1].key, "New")

    assert preset == Preset(
        "New", "", (CodeEdit(code="gs.rgb *= slider.y", name="New"),), (Slider("y"),)
    )


def test_a_preset_used_twice_has_sliders_of_its_own_each_time():
    once = added_preset(EditStack(), MINE)
    twice = added_preset(once, MINE)

    assert [slider.name for slider in twice.sliders][4:] == ["x_2", "n_2", "on_2", "tint_2"]
    assert twice.edits[3].code == "gs.rgb *= slider.x_2\n"
    assert len({edit.key for edit in twice.edits}) == 6
    assert twice.edits[:3] == once.edits
    assert [edit.shown_name for edit in once.edits] == ["One", "Mine", "Mine"]


# ---- the ones we ship


@pytest.mark.parametrize("bases", [1, 9])
@pytest.mark.parametrize("preset", BUILT_IN, ids=lambda preset: preset.name)
def test_every_preset_that_comes_with_the_program_runs_and_does_something(preset, bases):
    head = some_splats(60, bases)
    stack = preset.stack()
    context = EditContext(
        ScriptRunner(20), OrbitRig().camera(), time=1.0, sliders=stack.slider_values(1.0)
    )

    after = apply_edits(head, (4, 16, 40), stack, context)

    assert after.count > 0
    assert after.gaussians.is_finite()
    pairs = zip(
        (head.means, head.log_scales, head.opacity_logits, head.sh),
        (after.gaussians.means, after.gaussians.log_scales, after.gaussians.opacity_logits,
         after.gaussians.sh),
        strict=True,
    )  # fmt: skip
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in pairs)
    assert preset.about.endswith(".")
    assert all(slider.at(0) == slider.value for slider in preset.sliders)  # it is in its range


def test_presets_that_come_with_the_program_have_names_of_their_own():
    assert len({preset.name for preset in BUILT_IN}) == len(BUILT_IN) >= 6


# ---- words that may come next


@pytest.mark.parametrize(
    ("before", "typed", "first"),
    [
        ("gs.", "", ["_xyz", "_rotation", "_scaling", "_opacity"]),
        ("gs._f", "_f", ["_features_dc", "_features_rest"]),
        ("gs.xy", "xy", ["_xyz"]),
        ("x = 2 * gs.KEE", "KEE", ["keep"]),
        ("y = slider.h", "h", ["hue"]),
        ("camera.", "", ["eye", "cam_to_world", "focal"]),
        ("torch.zer", "zer", ["zeros", "zeros_like"]),
        ("sli", "sli", ["slider"]),
        ("stren", "stren", ["strength"]),
        ("gs.rgb.", "", []),
        ("f(x).y", "y", []),
        ("# gs.", "", []),
        ("s = 'gs.", "", []),
        ("s = 'gs' + gs.co", "co", ["count"]),
        ("3.", "", []),
    ],
)
def test_the_words_that_may_come_next_fit_what_stands_before(before, typed, first):
    found = complete(before, f"strength = 3\n{before}", ("size", "hue"))

    words = [word for word, _ in found.words if word not in ("zero_",)]
    assert words[: len(first)] == first
    assert bool(words) == bool(first)
    if first:
        assert found.typed == typed


def test_a_word_that_stands_there_already_needs_no_list():
    assert complete("gs.rgb", "gs.rgb").is_done
    assert not complete("gs.rg", "gs.rg").is_done
