"""Edits in the document and the picture: when they run, what undo brings back, what may run at all."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from renderer.formats.ply import read_ply
from renderer.rasterize import activate
from splatviz_app import export
from splatviz_app import pipeline as pipeline_module
from splatviz_app.edits.code_history import CodeHistory
from splatviz_app.edits.desk import EditDesk
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.stack import EditStack
from splatviz_app.edits.tools import DeleteLevels, Exposure, Scale
from splatviz_app.edits.values import Animation, CodeEdit, Slider
from splatviz_app.engine import JobState
from splatviz_app.pipeline import Pipeline
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.steps import settle


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLATHEAD_CONFIG", str(tmp_path / "config"))
    session = new_session(
        Preferences(backend="torch", save_folder=str(tmp_path), script_seconds=20)
    )
    session.viewport = (40, 24)
    return session


@pytest.fixture
def shown(session, head_ply):
    session.open(head_ply)
    return settle(session)


@pytest.fixture
def generated(session, generator_file):
    session.open(generator_file)
    return settle(session)


def script(session, code):
    """Type a script, as the panel does."""
    session.editing.history.agree(code)
    session.edits = EditStack().added(CodeEdit(code=code))
    return settle(session)


# ---- the picture


def test_an_edit_changes_the_picture_and_undo_brings_the_old_one_back(shown):
    before = shown.result.image

    shown.edits = shown.edits.added(Exposure(stops=-2))
    settle(shown)

    assert not np.array_equal(shown.result.image, before)
    assert "edit" in shown.result.seconds
    shown.undo()
    settle(shown)
    assert shown.edits == EditStack()
    assert np.array_equal(shown.result.image, before)


def test_a_camera_move_does_not_run_a_script_again_unless_it_looks_at_the_camera(shown):
    script(shown, "gs._xyz += 0.01")

    shown.rig = replace(shown.rig, yaw=0.3)
    settle(shown)
    assert "edit" not in shown.result.seconds

    script(shown, "gs.keep(gs._xyz @ camera.eye > 0)")
    shown.rig = replace(shown.rig, yaw=0.6)
    settle(shown)
    assert "edit" in shown.result.seconds


def test_what_does_not_show_draws_nothing(shown):
    stack = shown.edits.added(Scale(factor=2)).with_slider(Slider("unused"))
    shown.edits = stack
    settle(shown)
    drawn = shown.engine.frames_drawn

    shown.edits = stack.added(Exposure(stops=1, enabled=False)).with_slider(Slider("unused", 0.7))
    settle(shown)

    assert shown.engine.frames_drawn == drawn


@pytest.mark.parametrize(
    "then",
    [
        "gs.rgb = 1 - gs.rgb",
        "gs._xyz[:, 0] += 0.1",
        "gs._scaling += 0.5",
        "gs._rotation = gs._rotation.roll(1, 1)",
        "gs._opacity -= 2",
        "gs.keep(gs._xyz[:, 1] > 0)",
    ],
)
def test_after_an_edit_of_colour_any_other_gives_the_picture_it_gives_alone(shown, then):
    script(shown, "gs.rgb *= 0.5")
    script(shown, then)
    after = shown.pipeline(shown.request())

    alone = Pipeline(shown.library)(shown.request())
    assert np.array_equal(after.image, alone.image)
    assert after.summary == alone.summary


def test_an_edit_of_colour_activates_nothing_again(shown, monkeypatch):
    def refuse(gaussians):
        raise AssertionError("activated again")

    monkeypatch.setattr(pipeline_module, "activate", refuse)
    before = shown.result.image
    script(shown, "gs.rgb *= 0.5")
    assert shown.engine.failure is None
    assert not np.array_equal(shown.result.image, before)


def test_an_edit_of_colour_at_another_splat_scale_has_that_scale(shown):
    script(shown, "gs.rgb *= 0.5")
    shown.view = replace(shown.view, splat_scale=0.5)
    script(shown, "gs.rgb *= 0.25")

    alone = Pipeline(shown.library)(shown.request())
    assert np.array_equal(shown.result.image, alone.image)


def test_a_slider_moves_what_a_script_does_with_it(shown):
    script(shown, "gs._xyz[:, 0] += slider.shift")
    assert "slider 'shift'" in str(shown.engine.failure.error)

    shown.edits = shown.edits.with_slider(Slider("shift", 0.2))
    settle(shown)

    assert shown.engine.failure is None
    assert shown.banner == ""


def test_the_levels_of_a_generated_head_are_those_of_its_generator(generated):
    sizes = generated.opened.loaded.generator.config.level_sizes
    assert generated.result.summary.splats == sum(sizes)

    generated.edits = generated.edits.added(DeleteLevels(levels=(1,)))
    settle(generated)

    assert generated.result.summary.splats == sum(sizes) - sizes[1]


def test_an_edit_belongs_to_every_head_of_the_generator_and_never_compounds(generated):
    script(generated, "gs._xyz *= 0.5")
    first = generated.result.image
    place = generated.latent

    generated.latent = replace(place, x=0.4)
    settle(generated)
    generated.latent = place
    settle(generated)

    assert np.array_equal(generated.result.image, first)


# ---- errors


def test_a_failing_script_keeps_the_last_picture_and_its_line_is_told(shown):
    before = shown.result

    script(shown, "x = 1\ngs._xyz += nonsense")

    assert shown.result is before
    assert "line 2" in shown.banner
    assert "nonsense" in shown.banner
    assert isinstance(shown.engine.failure.error, EditError)


def test_a_failing_script_is_not_run_again_for_a_camera_move(shown, monkeypatch):
    runs = []
    run = shown.pipeline.scripts.run
    monkeypatch.setattr(shown.pipeline.scripts, "run", lambda work: runs.append(1) or run(work))
    script(shown, "gs._xyz += nonsense")

    shown.rig = replace(shown.rig, yaw=0.3)
    settle(shown)
    assert len(runs) == 1

    shown.pipeline.try_again()
    shown.rig = replace(shown.rig, yaw=0.4)
    settle(shown)
    assert len(runs) == 2


def test_while_the_hand_types_an_error_is_no_banner(shown):
    shown.hold(60)
    script(shown, "gs._xyz += nonsense")
    assert shown.banner == ""

    shown.busy_until = 0.0
    shown.update(0.01)

    assert "nonsense" in shown.banner
    assert [entry.level for entry in shown.log.entries].count("error") == 1


def test_an_endless_script_ends_after_the_users_limit(shown):
    shown.preferences = replace(shown.preferences, script_seconds=0.1)
    shown.update(0.01)

    script(shown, "while True: pass")

    assert "more than 0.1 s" in shown.banner


# ---- saving


def test_what_is_saved_is_what_is_seen(shown, head, tmp_path):
    script(shown, "gs.keep([1, 2, 5])\ngs._xyz[:, 1] += 0.125")
    request = shown.request()

    job = shown.start_job(
        "Save", export.save_head(shown.pipeline, request, tmp_path / "a.ply", "raw")
    )
    shown.engine.drain()

    assert job.state is JobState.DONE
    saved = read_ply(tmp_path / "a.ply")
    expected = head.means[[1, 2, 5]] + torch.tensor([0, 0.125, 0])
    torch.testing.assert_close(activate(saved).means, expected)


def test_a_saved_picture_has_the_edits(shown, tmp_path):
    from PIL import Image

    script(shown, "gs.keep(torch.zeros(gs.count, dtype=torch.bool))")
    options = export.PictureOptions(size=(30, 20))

    shown.start_job(
        "Save", export.save_picture(shown.pipeline, shown.request(), tmp_path / "a.png", options)
    )
    shown.engine.drain()

    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (pixels == 255).all()  # nothing is left but the background


# ---- time


def test_a_script_that_uses_time_moves_and_one_that_does_not_rests(shown):
    script(shown, "gs._xyz[:, 1] += 0.1 * t")
    assert shown.moves_by_itself
    drawn, first = shown.engine.frames_drawn, shown.result

    for _ in range(3):
        shown.update(0.05)
        shown.engine.drain()

    assert shown.engine.frames_drawn == drawn + 3
    assert shown.result.request.time > first.request.time
    assert shown.is_settled  # a screenshot of it can be taken
    shown.editing.playing = False
    settle(shown)
    drawn = shown.engine.frames_drawn
    shown.update(0.05)
    shown.engine.drain()
    assert shown.engine.frames_drawn == drawn


def test_a_moving_slider_moves_the_head_and_is_no_step_of_undo(shown):
    shown.edits = EditStack(sliders=(Slider("x", animation=Animation()),))
    script_ = CodeEdit(code="gs._xyz[:, 0] += slider.x")
    shown.editing.history.agree(script_.code)
    shown.edits = shown.edits.added(script_)
    settle(shown)
    steps = shown.history.can_redo, shown.document

    shown.update(0.05)
    shown.engine.drain()

    assert shown.moves_by_itself
    assert (shown.history.can_redo, shown.document) == steps
    assert shown.history.present == shown.document


# ---- which code may run


def test_code_from_elsewhere_does_not_run_until_the_user_agrees(shown):
    drawn = shown.engine.frames_drawn
    code = "gs._xyz += 0.25"

    shown.edits = EditStack().added(Scale(factor=1.5)).added(CodeEdit(code=code))
    settle(shown)

    assert [edit.code for edit in shown.editing.waiting(shown.edits)] == [code]
    assert "before you agree" in shown.toast
    assert len(shown.result.request.edits.edits) == 1  # the other one is applied
    assert shown.engine.frames_drawn == drawn + 1
    shown.editing.history.agree(code)
    settle(shown)
    assert shown.editing.waiting(shown.edits) == ()
    assert len(shown.result.request.edits.edits) == 2


def test_code_that_ran_here_is_known_the_next_day(tmp_path):
    code = "gs.rgb *= 0.5  # für später"
    CodeHistory(tmp_path).add("Darker", code)

    desk = EditDesk(tmp_path)
    history = desk.history

    assert history.knows(code)
    assert desk.waiting(EditStack((CodeEdit(code=code),))) == ()
    (entry,) = history.entries
    assert (entry.name, entry.code) == ("Darker", code)
    assert abs(entry.when - time.time()) < 100


def test_the_history_finds_words_in_names_and_code_newest_first(tmp_path):
    history = CodeHistory(tmp_path)
    for name, code in (("Warm", "gs.rgb *= 2"), ("Cold", "gs.rgb *= 3"), ("Big", "gs.scales *= 2")):
        history.add(name, code)
    history.add("Big", "gs.scales *= 2")  # again: no other version

    assert len(history.entries) == 3
    assert [entry.name for entry in history.find("rgb")] == ["Cold", "Warm"]
    assert [entry.name for entry in history.find("WARM rgb")] == ["Warm"]
    assert [entry.name for entry in history.find("")] == ["Big", "Cold", "Warm"]


def test_a_damaged_history_loses_only_its_damaged_lines(tmp_path):
    CodeHistory(tmp_path).add("First", "x = 1")
    path = tmp_path / "scripts.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"when": 3, "name"\n[1, 2]\n{"when": "x", "name": 1, "code": 2}\n')
        file.write(json.dumps({"when": 3, "name": 5, "code": "y"}) + "\n\n")
    CodeHistory(tmp_path).add("Last", "x = 2")

    assert [entry.name for entry in CodeHistory(tmp_path).entries] == ["First", "Last"]


def test_a_history_without_a_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    history = CodeHistory(None)

    history.add("Mine", "x = 1")

    assert history.knows("x = 1")
    assert list(tmp_path.iterdir()) == []
