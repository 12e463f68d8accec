"""The Edit panel, used by a hand: the stack, scripts as they are typed, sliders, presets, history."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from imgui_bundle import imgui

from renderer.camera import OrbitRig
from splatviz_app.edits.built_in import BUILT_IN
from splatviz_app.edits.completion import Completion, complete
from splatviz_app.edits.stack import KINDS, EditStack
from splatviz_app.edits.tools import (
    CropBox,
    CropSphere,
    DeleteLevels,
    Exposure,
    Hue,
    Saturation,
    Scale,
)
from splatviz_app.edits.values import Animation, CodeEdit, Slider
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.widgets.hand import Hand, opened
from widgets.code_editor import CodeEditor
from widgets.edit import EditPanel
from widgets.edit_presets import PresetPage
from widgets.edit_shapes import _box, _project, _sphere

SIZE = (380, 1400)  # px: tall enough that nothing must be scrolled to


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLATHEAD_CONFIG", str(tmp_path / "config"))
    session = new_session(
        Preferences(backend="torch", save_folder=str(tmp_path), script_seconds=30.0)
    )
    session.viewport = (40, 24)
    return session


@pytest.fixture
def shown(session, head_ply):
    return opened(session, head_ply)


@pytest.fixture
def generated(session, generator_file):
    return opened(session, generator_file)


def at(session):
    """The panel before a session whose stack holds these edits."""
    return Hand(EditPanel(), session, SIZE)


def write(hand, text):
    """Type into the editor, which has the keyboard."""
    for letter in text:
        if letter == "\n":
            hand.press(imgui.Key.enter)
        else:
            imgui.get_io().add_input_character(ord(letter))
            hand.frames()
    hand.frames(2)


def begin_script(hand, text=""):
    """Add a script and give its editor the keyboard."""
    hand.click("Add edit")
    hand.frames(2)
    hand.click("Script")
    hand.frames(2)
    hand.panel._scripts.focus(hand.session.edits.edits[-1].key)
    hand.frames(2)
    write(hand, text)


def codes(session):
    return [edit.code for edit in session.edits.edits if isinstance(edit, CodeEdit)]


# ---- all of it


@pytest.mark.parametrize("state", ["session", "shown", "generated"])
def test_the_panel_draws_and_changes_nothing_by_itself(state, request):
    session = request.getfixturevalue(state)
    before, preferences = session.document, session.preferences
    with at(session) as hand:
        hand.frames(4)
        assert hand.texts
    assert session.document == before
    assert session.preferences == preferences


def test_every_kind_of_edit_draws_in_a_narrow_column_and_changes_nothing_by_itself(generated):
    stack = EditStack(
        sliders=(
            Slider("x"),
            Slider("n", 3, 0, 5, "int"),
            Slider("on", True, kind="bool"),
            Slider("tint", (0.1, 0.2, 0.3), kind="color"),
            Slider("m", animation=Animation()),
        )
    )
    for kind in KINDS:
        stack = stack.added(kind())
    generated.edits = stack
    panel = EditPanel()
    with Hand(panel, generated, (180, 300)) as hand:
        for edit in stack.edits:
            panel._selected = edit.key
            hand.frames(3)

    assert generated.edits == stack


# ---- the stack


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.title != "Delete splats"])
def test_an_edit_is_added_from_the_menu(shown, kind):
    with at(shown) as hand:
        hand.click("Add edit")
        hand.frames(2)
        hand.click(kind.title)
        hand.settle()
        assert hand.sees(kind.title)

    assert shown.edits == EditStack((kind(key=1),))
    shown.undo()
    assert shown.edits == EditStack()


def test_a_control_changes_the_head_and_a_drag_of_it_is_one_step_of_undo(shown):
    shown.edits = shown.edits.added(Exposure())
    with at(shown) as hand:
        hand.settle()
        before = shown.result.image
        hand.drag("Exposure", -40, steps=7)
        hand.settle()
        assert shown.edits.edits[0].stops < -0.3
        assert (shown.result.image != before).any()
        shown.undo()
        assert shown.edits.edits[0].stops == 0
        hand.reset("Exposure")
        assert shown.edits.edits[0].stops == 0


def test_an_edit_is_switched_off_and_removed(shown):
    shown.edits = shown.edits.added(Hue(angle=1.0)).added(Scale(factor=2.0))
    with at(shown) as hand:
        hand.click("Use Hue")
        hand.settle()
        assert [edit.enabled for edit in shown.edits.edits] == [False, True]
        assert len(shown.result.request.edits.edits) == 1
        hand.click("Remove Splat size")
        hand.settle()

    assert [type(edit) for edit in shown.edits.edits] == [Hue]
    assert shown.result.request.edits == EditStack()


def test_a_row_is_dragged_to_another_place_as_one_step_of_undo(shown):
    for edit in (Hue(), Scale(), Saturation()):
        shown.edits = shown.edits.added(edit)
    with at(shown) as hand:
        hand.settle()
        rows = [hand.place(edit.title)[1] for edit in shown.edits.edits]
        hand.drag("Saturation", 0, rows[0] - rows[2] - 4, steps=12)
        assert [edit.title for edit in shown.edits.edits] == ["Saturation", "Hue", "Splat size"]
        shown.undo()

    assert [edit.title for edit in shown.edits.edits] == ["Hue", "Splat size", "Saturation"]


def test_an_edit_is_renamed_by_a_double_click_and_from_its_menu(shown):
    shown.edits = shown.edits.added(Hue())
    with at(shown) as hand:
        hand.click("Hue", times=2)
        hand.frames(3)
        hand.press(imgui.Key.a, imgui.Key.mod_ctrl)
        write(hand, "Sunset")
        hand.press(imgui.Key.enter)
        hand.frames(3)
        assert shown.edits.edits[0].name == "Sunset"
        hand.click("Sunset", button=1)
        hand.frames(2)
        hand.click("Rename")
        hand.frames(3)
        write(hand, "Dawn")
        hand.press(imgui.Key.escape)
        hand.frames(3)

    assert shown.edits.edits[0].name == "Sunset"


def test_the_menu_of_an_edit_duplicates_and_moves(shown):
    shown.edits = shown.edits.added(Hue(angle=1.0)).added(Scale())
    with at(shown) as hand:
        for item in ("Duplicate", "Move down"):
            hand.click("Hue", button=1)
            hand.frames(2)
            hand.click(item)
            hand.frames(2)

    assert [edit.title for edit in shown.edits.edits] in (
        ["Hue", "Splat size", "Hue"],
        ["Splat size", "Hue", "Hue"],
    )
    assert len({edit.key for edit in shown.edits.edits}) == 3
    assert sum(edit == replace(edit, name="") for edit in shown.edits.edits) == 3


def test_levels_are_chosen_one_by_one_and_a_head_from_a_file_has_none(generated, head_ply):
    sizes = generated.result.splats.level_sizes
    assert len(sizes) > 1
    generated.edits = generated.edits.added(DeleteLevels())
    with at(generated) as hand:
        hand.click("Level 2")
        hand.settle()
        assert generated.edits.edits[0].levels == (1,)
        assert generated.result.summary.splats == sum(sizes) - sizes[1]
        opened(generated, head_ply)
        hand.settle()
        assert hand.sees("only one level")


# ---- a script as it is typed


def test_code_runs_as_it_is_typed_and_only_when_it_is_python(shown):
    with at(shown) as hand:
        begin_script(hand, "gs._xyz += 0.25")
        hand.settle()
        drawn, before = shown.engine.frames_drawn, shown.result
        write(hand, "*(1")
        hand.settle()
        assert codes(shown) == ["gs._xyz += 0.25"]
        assert shown.result is before
        assert shown.engine.frames_drawn == drawn
        assert hand.sees("Not finished yet")
        write(hand, ")")
        hand.settle()
        assert not hand.sees("Not finished yet")

    assert codes(shown) == ["gs._xyz += 0.25*(1)"]
    assert shown.engine.frames_drawn > drawn
    assert shown.banner == ""


def test_lines_are_typed_and_indented(shown):
    with at(shown) as hand:
        begin_script(hand, "for i in range(3):\nx = i\n")

    assert codes(shown) == ["for i in range(3):\n    x = i\n    "]


def test_a_burst_of_typing_is_one_step_of_undo_and_undo_shows_the_old_text(shown):
    with at(shown) as hand:
        begin_script(hand, "gs.rgb *= 2")
        hand.settle()
        write(hand, "5")
        write(hand, "0")
        hand.settle()
        assert codes(shown) == ["gs.rgb *= 250"]

        shown.undo()
        hand.settle()
        assert codes(shown) == ["gs.rgb *= 2"]
        editor = hand.panel._scripts._editors[shown.edits.edits[0].key].editor
        assert editor.text == "gs.rgb *= 2"
        shown.redo()
        hand.settle()
        assert editor.text == "gs.rgb *= 250"


def test_the_editor_has_an_undo_of_its_own_while_it_is_typed_in(shown):
    with at(shown) as hand:
        begin_script(hand, "x = 1")
        hand.settle()
        write(hand, "2")
        hand.settle()
        assert codes(shown) == ["x = 12"]
        hand.press(imgui.Key.z, imgui.Key.mod_ctrl)
        hand.settle()

    assert codes(shown) == ["x = 1"]
    assert shown.history.can_undo  # the document's history went on, it did not go back
    assert not shown.history.can_redo


def test_an_error_is_shown_with_its_line_once_the_hand_rests(shown):
    with at(shown) as hand:
        begin_script(hand, "y = 2 * wrong")
        hand.frames(3)
        shown.engine.drain()
        hand.frames(3)
        assert not hand.sees("wrong")
        hand.settle()
        assert hand.sees("Line 1: name 'wrong' is not defined")
        editor = hand.panel._scripts._editors[shown.edits.edits[0].key].editor
        assert editor._editor.has_markers()
        assert editor._editor.has_squiggles()
        assert "wrong" in shown.banner
        hand.panel._scripts.focus(shown.edits.edits[0].key)
        hand.press(imgui.Key.end)
        for _ in "wrong":
            hand.press(imgui.Key.backspace)
        write(hand, "3")
        hand.settle()
        assert not editor._editor.has_markers()

    assert shown.banner == ""
    assert codes(shown) == ["y = 2 * 3"]


def test_text_that_is_wrong_is_marked_and_the_code_before_goes_on(shown):
    with at(shown) as hand:
        begin_script(hand, "x = 1")
        hand.settle()
        write(hand, " )")
        hand.settle()
        assert hand.sees("Line 1: unmatched ')'")

    assert codes(shown) == ["x = 1 "]
    assert shown.banner == ""


def test_what_is_typed_of_one_script_stays_while_another_is_looked_at(shown):
    with at(shown) as hand:
        begin_script(hand, "x = (1")
        shown.edits = shown.edits.added(Hue())
        hand.frames(2)
        hand.click("Hue")
        assert hand.sees("Angle")
        hand.click("Script")
        hand.settle()
        key = shown.edits.edits[0].key
        assert hand.panel._scripts._editors[key].editor.text == "x = (1"


def test_an_endless_script_is_stopped_and_can_be_run_again(shown):
    shown.preferences = replace(shown.preferences, script_seconds=0.2)
    with at(shown) as hand:
        begin_script(hand, "while True: pass")
        hand.settle()
        assert hand.sees("more than 0.2 s")
        hand.drag("Time limit", 40)
        assert shown.preferences.script_seconds > 0.2
        failure = shown.engine.failure
        shown.preferences = replace(shown.preferences, script_seconds=0.3)
        hand.click("Run again")
        hand.settle()
        assert hand.sees("more than 0.3 s")

    assert shown.engine.failure is not failure


def test_what_a_script_prints_is_shown_below_it(shown):
    code = "print('splats', gs.count)"
    shown.editing.history.agree(code)
    shown.edits = shown.edits.added(CodeEdit(code=code))
    with at(shown) as hand:
        hand.settle()
        assert hand.finds("Printed")

    assert shown.result.splats.printed == "splats 7\n"


# ---- the list of words


def test_the_list_offers_what_gs_has_and_tab_takes_the_chosen_word(shown):
    with at(shown) as hand:
        begin_script(hand, "c = gs.")
        editor = hand.panel._scripts._editors[shown.edits.edits[0].key].editor
        assert editor.lists_words
        assert hand.finds("_xyz")
        write(hand, "_fea")
        hand.press(imgui.Key.down_arrow)
        hand.press(imgui.Key.tab)
        hand.frames(3)
        assert not editor.lists_words
        write(hand, "[0]")
        hand.settle()

    assert codes(shown) == ["c = gs._features_rest[0]"]


def test_enter_takes_a_word_and_escape_closes_the_list(shown):
    with at(shown) as hand:
        begin_script(hand, "c = gs.op")
        hand.press(imgui.Key.enter)
        write(hand, " + 1\nd = gs.r")
        hand.press(imgui.Key.escape)
        hand.frames(2)
        editor = hand.panel._scripts._editors[shown.edits.edits[0].key].editor
        assert not editor.lists_words
        hand.press(imgui.Key.enter)
        hand.frames(2)
        assert editor.text == "c = gs.opacities + 1\nd = gs.r\n"


def test_ctrl_space_opens_the_list_and_the_mouse_takes_a_word(shown):
    with at(shown) as hand:
        begin_script(hand, "x = gs.")
        hand.click("_opacity")
        hand.settle()
        assert codes(shown)[-1] == "x = gs._opacity"
        hand.panel._scripts.focus(shown.edits.edits[0].key)
        write(hand, " + ")
        editor = hand.panel._scripts._editors[shown.edits.edits[0].key].editor
        assert not editor.lists_words
        hand.press(imgui.Key.space, imgui.Key.mod_ctrl)
        hand.frames(2)
        assert editor.lists_words


def test_a_taken_word_is_one_step_of_the_editors_undo():
    class Alone:
        title, dock = "Alone", "right"

        def __init__(self):
            self.editor = CodeEditor("")

        def draw(self, session):
            self.editor.draw("##it", (300, 200), lambda b, t: complete(b, t))

    session = new_session(Preferences(backend="torch"))
    with Hand(Alone(), session) as hand:
        hand.panel.editor.focus()
        hand.frames(2)
        write(hand, "gs.opac")
        hand.press(imgui.Key.tab)
        hand.frames(2)
        assert hand.panel.editor.text == "gs.opacities"
        hand.press(imgui.Key.z, imgui.Key.mod_ctrl)
        assert hand.panel.editor.text == "gs.opac"


def test_an_editor_that_is_only_read_takes_no_letters():
    class Read:
        title, dock = "Read", "right"

        def __init__(self):
            self.editor = CodeEditor("x = 1")
            self.changes = 0

        def draw(self, session):
            none = lambda b, t: Completion("")  # noqa: E731
            self.changes += self.editor.draw("##it", (300, 200), none, read_only=True)

    with Hand(Read(), new_session(Preferences(backend="torch"))) as hand:
        hand.panel.editor.focus()
        hand.frames(2)
        write(hand, "abc")
        assert hand.panel.editor.text == "x = 1"
        assert hand.panel.changes == 0


# ---- sliders


def test_a_slider_that_a_script_reads_is_added_with_one_click_and_moves_the_head(shown):
    with at(shown) as hand:
        begin_script(hand, "gs._xyz[:, 0] += slider.shift")
        hand.settle()
        assert hand.sees("slider 'shift'")
        hand.click("Add slider.shift")
        hand.settle()
        assert shown.edits.sliders == (Slider("shift", 0.5),)
        assert shown.banner == ""
        before = shown.result.image
        hand.drag("shift", 40, at=(0.5, 0.5))
        hand.settle()

    assert shown.edits.sliders[0].value > 0.5
    assert (shown.result.image != before).any()


def test_a_slider_gets_another_name_range_and_kind_and_scripts_follow(shown):
    code = "gs._xyz[:, 0] += slider.x"
    shown.editing.history.agree(code)
    shown.edits = EditStack(sliders=(Slider("x", 0.5),)).added(CodeEdit(code=code))
    with at(shown) as hand:
        hand.click("menu of x")
        hand.frames(3)
        hand.type("Slider name", "shift")
        hand.settle()
        assert shown.edits.sliders[0].name == "shift"
        assert codes(shown) == ["gs._xyz[:, 0] += slider.shift"]
        assert shown.editing.waiting(shown.edits) == ()
        hand.click("menu of shift")
        hand.frames(3)
        hand.type("To", "8")
        hand.choose("Kind", "Whole number")
        hand.click("Loop")
        hand.frames(2)

    (slider,) = shown.edits.sliders
    assert (slider.kind, slider.low, slider.high) == ("int", 0, 8)
    assert slider.animation == Animation("loop")
    assert shown.moves_by_itself


def test_a_name_that_code_cannot_write_is_refused_with_a_sentence(shown):
    shown.edits = EditStack(sliders=(Slider("x"), Slider("y"))).added(CodeEdit())
    with at(shown) as hand:
        for name in ("2 go", "y", "for"):
            hand.click("menu of x")
            hand.frames(3)
            hand.type("Slider name", name)
            hand.frames(3)
            assert hand.sees("cannot be a name") or hand.sees("already")
            hand.press(imgui.Key.escape)
            hand.press(imgui.Key.escape)
            hand.frames(2)

    assert [slider.name for slider in shown.edits.sliders] == ["x", "y"]


def test_sliders_are_added_and_removed(shown):
    shown.edits = EditStack().added(CodeEdit())
    with at(shown) as hand:
        hand.click("Add slider")
        hand.click("Add slider")
        assert [slider.name for slider in shown.edits.sliders] == ["x", "y"]
        hand.click("menu of x")
        hand.frames(3)
        hand.click("Remove slider.x")
        hand.frames(3)

    assert [slider.name for slider in shown.edits.sliders] == ["y"]


def test_what_moves_can_be_paused(shown):
    code = "gs._xyz[:, 0] += 0.1 * t"
    shown.editing.history.agree(code)
    shown.edits = EditStack().added(CodeEdit(code=code))
    with at(shown) as hand:
        assert shown.moves_by_itself
        hand.click("Pause")
        assert not shown.moves_by_itself
        hand.click("Play")

    assert shown.moves_by_itself


# ---- code from elsewhere


def test_code_from_elsewhere_is_asked_about_before_it_runs(shown):
    code = "gs._xyz += 0.5"
    shown.edits = EditStack().added(CodeEdit(code=code))
    with at(shown) as hand:
        hand.settle()
        drawn = shown.engine.frames_drawn
        assert hand.sees("came from elsewhere")
        hand.panel._scripts.focus(1)
        write(hand, "x")
        assert codes(shown) == [code]  # not even a letter can be typed into it
        hand.click("Run it")
        hand.settle()
        assert not hand.sees("came from elsewhere")
        assert shown.engine.frames_drawn == drawn + 1

    assert len(shown.result.request.edits.edits) == 1


def test_code_from_elsewhere_can_be_refused(shown):
    shown.edits = EditStack().added(CodeEdit(code="gs._xyz += 0.5"))
    with at(shown) as hand:
        hand.click("Remove it")
        hand.settle()

    assert shown.edits == EditStack()
    assert shown.result.request.edits == EditStack()


# ---- presets


def test_a_preset_is_pictured_over_the_head_and_added_by_a_double_click(shown):
    with at(shown) as hand:
        hand.click("Presets")
        hand.settle()
        page = hand.panel._presets
        pictures = [page._sheet.picture(preset) for preset in BUILT_IN]
        assert all(picture is not None for picture in pictures)
        assert len({picture.tobytes() for picture in pictures}) > 3
        hand.click("Wave", times=2)
        hand.settle()
        assert hand.sees("Wave")  # the stack is shown again

    wave = next(preset for preset in BUILT_IN if preset.name == "Wave")
    assert tuple(codes(shown)) == wave.codes
    assert shown.edits.sliders == wave.sliders
    assert shown.moves_by_itself  # what comes with the program need not be asked about


def test_an_edit_is_saved_as_a_preset_renamed_and_deleted(shown):
    shown.edits = shown.edits.added(CropBox(name="My crop", outside=True))
    with at(shown) as hand:
        hand.click("My crop", button=1)
        hand.frames(2)
        hand.click("Save as preset")
        hand.settle()
        assert [preset.name for preset in shown.editing.presets.presets] == ["My crop"]
        hand.type("Preset name", "Hole")
        hand.settle()
        assert [preset.name for preset in shown.editing.presets.presets] == ["Hole"]
        hand.click("Add to stack")
        hand.settle()
        assert [edit.shown_name for edit in shown.edits.edits] == ["My crop", "My crop"]
        hand.click("Presets")
        hand.settle()
        hand.click("Delete")
        hand.frames(2)
        hand.click("Delete it")
        hand.settle()

    assert shown.editing.presets.presets == ()


def test_presets_of_the_reference_tool_are_imported_and_their_code_waits(
    shown, tmp_path, monkeypatch
):
    path = tmp_path / "presets.json"
    row = {"key": "x", "value": 2, "min_value": 0, "max_value": 5, "_id": "1"}
    path.write_text(json.dumps({"Grow": {"edit_text": "gs._scaling += slider.x", "slider": [row]}}))
    with at(shown) as hand:
        hand.click("Presets")
        monkeypatch.setattr(hand.panel._presets._dialog, "poll", lambda: path)
        hand.panel.poll_dialogs(shown)
        monkeypatch.undo()
        hand.settle()
        grow = shown.editing.presets.presets[0]
        assert (
            hand.panel._presets._sheet.picture(grow) is None
        )  # its code has not run for a picture
        hand.click("Add to stack")
        hand.settle()
        assert hand.sees("came from elsewhere")
        assert shown.result.request.edits == EditStack()
        hand.click("Run it")
        hand.settle()

    assert shown.edits.sliders == (Slider("x", 2.0, 0.0, 5.0),)
    assert len(shown.result.request.edits.edits) == 1


def test_a_file_without_presets_is_a_sentence(shown, tmp_path, monkeypatch):
    path = tmp_path / "notes.json"
    path.write_text("[]")
    page = PresetPage()
    monkeypatch.setattr(page._dialog, "poll", lambda: path)

    page.poll_dialogs(shown)

    assert "notes.json" in shown.banner


# ---- history


def test_code_that_ran_is_found_in_the_history_and_used_again(shown):
    with at(shown) as hand:
        begin_script(hand, "gs.rgb *= 2")
        hand.settle()
        write(hand, "5")
        hand.settle()
        hand.click("History")
        hand.frames(3)
        assert hand.sees("gs.rgb *= 25")
        assert hand.sees("gs.rgb *= 2")
        hand.type("Search", "25")
        assert not any(text == "gs.rgb *= 2" for text in hand.texts)
        hand.type("Search", "rgb")
        hand.click("As a new edit")
        hand.settle()

    assert codes(shown) == ["gs.rgb *= 25", "gs.rgb *= 25"]
    assert [entry.code for entry in shown.editing.history.entries] == [
        "gs.rgb *= 2",
        "gs.rgb *= 25",
    ]


def test_a_version_replaces_the_code_of_the_selected_script(shown):
    history = shown.editing.history
    history.add("Old", "gs.rgb *= 0.5")
    shown.edits = shown.edits.added(CodeEdit(name="Mine"))
    with at(shown) as hand:
        hand.click("Mine")
        hand.click("History")
        hand.frames(2)
        hand.click("Into the script")
        hand.settle()

    assert [(edit.name, edit.code) for edit in shown.edits.edits] == [("Mine", "gs.rgb *= 0.5")]


def test_an_empty_history_says_what_it_is_for(shown):
    with at(shown) as hand:
        hand.click("History")
        hand.frames(2)
        assert hand.sees("Nothing has run yet.")


# ---- over the picture


def test_a_crop_is_drawn_where_the_camera_sees_it():
    rig = OrbitRig(yaw=0.4, pitch=-0.2, radius=2.1, target=(0.1, 0.05, -0.1))
    camera, (width, height), point = rig.camera(), (300.0, 200.0), (0.2, -0.15, 0.3)

    place = _project(rig, point, imgui.ImVec2(10, 20), imgui.ImVec2(width, height))

    x, y, z = (camera.world_to_cam @ torch.tensor([*point, 1.0]))[:3].tolist()
    focal = float(camera.focal) * height
    assert place.x == pytest.approx(10 + width / 2 + focal * x / z, abs=1e-2)
    assert place.y == pytest.approx(20 + height / 2 + focal * y / z, abs=1e-2)
    behind = tuple(2 * e - p for e, p in zip(rig.eye, rig.target, strict=True))
    assert _project(rig, behind, imgui.ImVec2(0, 0), imgui.ImVec2(width, height)) is None


def test_a_box_has_twelve_edges_of_its_size_and_a_sphere_lies_on_its_radius():
    box = CropBox(center=(0.1, 0.2, 0.3), size=(0.4, 0.6, 1.0))
    lengths = sorted(round(math.dist(a, b), 5) for a, b in _box(box))
    assert lengths == [0.4] * 4 + [0.6] * 4 + [1.0] * 4

    sphere = CropSphere(center=(0.1, 0.2, 0.3), radius=0.25)
    assert all(math.dist(a, sphere.center) == pytest.approx(0.25) for a, _ in _sphere(sphere))


def test_only_a_panel_that_is_seen_points_at_a_crop(shown):
    shown.edits = shown.edits.added(CropBox())
    with at(shown) as hand:
        assert shown.editing.pointed == shown.edits.edits[0].key
        shown.editing.pointed = 0
        hand.click("History")
        shown.editing.pointed = 0
        hand.frames(2)
        assert shown.editing.pointed == 0
