"""Every panel, drawn without a screen and used by a hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from imgui_bundle import imgui
from PIL import Image

from models.latents import LatentSettings
from renderer.camera import OrbitRig
from renderer.formats.ply import read_ply
from splatviz_app import controls, scenes
from splatviz_app.engine import JobState
from splatviz_app.pipeline import ViewSettings
from splatviz_app.preferences import Preferences
from splatviz_app.scenes import OpenedGenerator, PlyHead
from splatviz_app.session import new_session
from tests.widgets.hand import Hand, opened
from widgets import load
from widgets.bookmarks import BookmarksPanel
from widgets.camera import CameraPanel
from widgets.eval import EvalPanel
from widgets.latent import LatentPanel
from widgets.load import LoadPanel
from widgets.log import LogPanel
from widgets.performance import PerformancePanel
from widgets.render import RenderPanel
from widgets.save import SavePanel
from widgets.training import TrainingPanel

PANELS = (
    LoadPanel,
    BookmarksPanel,
    CameraPanel,
    EvalPanel,
    LatentPanel,
    RenderPanel,
    PerformancePanel,
    SavePanel,
    LogPanel,
    TrainingPanel,
)
HALF_TURN = torch.tensor([1.0, -1.0, -1.0])  # about x: from y up to y down


@pytest.fixture
def session(tmp_path):
    """A session with nothing open that saves into the test's folder."""
    folder = tmp_path / "saved"
    folder.mkdir()
    session = new_session(Preferences(backend="torch", save_folder=str(folder)))
    session.viewport = (40, 24)
    return session


@pytest.fixture
def with_ply(session, head_ply):
    """A session that shows seven splats."""
    return opened(session, head_ply)


@pytest.fixture
def with_generator(session, generator_file):
    """A session that shows a head of a small generator."""
    return opened(session, generator_file)


# ---- all of them


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("state", ["session", "with_ply", "with_generator"])
def test_every_panel_draws_and_changes_nothing_by_itself(panel, state, request):
    session = request.getfixturevalue(state)
    document, preferences = session.document, session.preferences
    with Hand(panel(), session) as hand:
        hand.frames(4)
        assert hand.texts
    assert session.document == document
    assert session.preferences == preferences
    assert not session.history.can_undo or state != "session"
    assert not session.banner


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_fits_a_narrow_column(panel, with_generator):
    with Hand(panel(), with_generator, size=(180, 300)) as hand:
        hand.frames(4)


def test_titles_are_unique_and_docks_exist():
    from splatviz_app.window import _DOCKS

    panels = [panel() for panel in PANELS]
    assert len({panel.title for panel in panels}) == len(panels)
    assert all(panel.dock in _DOCKS for panel in panels)


# ---- the camera


def test_dragging_yaw_turns_the_rig(with_ply):
    with Hand(CameraPanel(), with_ply) as hand:
        hand.drag("Yaw", 30)
    assert with_ply.rig.yaw > math.radians(5)
    assert replace(with_ply.rig, yaw=0.0) == OrbitRig()


def test_a_drag_is_one_step_of_undo(with_ply):
    before = with_ply.document
    with Hand(CameraPanel(), with_ply) as hand:
        hand.drag("Yaw", 30, steps=9)
        turned = with_ply.document
        assert turned != before
        with_ply.undo()
        assert with_ply.document == before
        with_ply.redo()
        assert with_ply.document == turned


def test_a_typed_angle_is_in_degrees(with_ply):
    with Hand(CameraPanel(), with_ply) as hand:
        hand.type("Pitch", "-12.5")
    assert with_ply.rig.pitch == pytest.approx(math.radians(-12.5))


def test_what_is_typed_beyond_the_range_is_brought_into_it(with_ply):
    with Hand(CameraPanel(), with_ply) as hand:
        hand.type("Distance", "1000")
        assert with_ply.rig.radius == controls.RADIUS_LIMITS[1]
        hand.type("Distance", "-3")
        assert with_ply.rig.radius == pytest.approx(controls.RADIUS_LIMITS[0])


def test_one_coordinate_of_the_target_is_typed_and_the_others_stay(with_ply):
    with_ply.rig = replace(OrbitRig(), target=(0.1, 0.2, 0.3))
    with Hand(CameraPanel(), with_ply) as hand:
        hand.type("Target", "0.5", at=(0.5, 0.5))
    assert with_ply.rig.target == (0.1, pytest.approx(0.5), 0.3)


@pytest.mark.parametrize("name", list(controls.VIEWS))
def test_a_view_is_chosen_by_its_name(name, with_ply):
    with_ply.rig = replace(OrbitRig(), yaw=1.0, pitch=0.3, radius=2.0)
    with Hand(CameraPanel(), with_ply) as hand:
        hand.click(name)
    assert (with_ply.rig.yaw, with_ply.rig.pitch) == pytest.approx(controls.VIEWS[name])
    assert with_ply.rig.radius == 2.0


def test_reset_is_one_right_click_away(with_ply):
    with_ply.rig = replace(OrbitRig(), yaw=1.0, radius=2.0)
    with Hand(CameraPanel(), with_ply) as hand:
        hand.reset("Yaw")
        assert with_ply.rig == replace(OrbitRig(), radius=2.0)
        hand.click("Reset")
    assert with_ply.rig == OrbitRig()


def test_framing_needs_a_head(session, head_ply):
    with Hand(CameraPanel(), session) as hand:
        assert not hand.can_use("Frame head")
        hand.hover("Frame head")
        assert hand.sees("no head to frame")
        opened(session, head_ply)
        hand.frames(2)
        hand.click("Frame head")
    summary = session.result.summary
    assert session.rig == controls.frame(OrbitRig(), summary.low, summary.high)


def test_a_pose_travels_over_the_clipboard(with_ply):
    pose = replace(OrbitRig(), yaw=0.7, target=(0.1, 0.0, -0.1))
    with_ply.rig = pose
    with Hand(CameraPanel(), with_ply) as hand:
        hand.click("Copy pose")
        assert len(json.loads(imgui.get_clipboard_text())["label"]) == 25
        with_ply.rig = OrbitRig()
        hand.click("Paste pose")
        assert with_ply.rig == pose


def test_a_clipboard_without_a_pose_is_explained(with_ply):
    with Hand(CameraPanel(), with_ply) as hand:
        imgui.set_clipboard_text("a recipe for bread")
        hand.click("Paste pose")
    assert "no camera pose" in with_ply.banner
    assert with_ply.rig == OrbitRig()


# ---- the latent


def test_a_click_on_the_pad_goes_there(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Pad", at=(0.75, 0.25))
    latent = with_generator.latent
    assert (latent.x, latent.y) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.5, abs=0.01))


def test_another_place_is_another_head(with_generator):
    before = with_generator.result.image
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Pad", at=(0.9, 0.1))
        hand.settle()
    assert np.abs(with_generator.result.image.astype(int) - before).max() > 3


def test_a_drag_leaves_the_pad_at_its_edge(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.drag("Pad", 5000, 20)
    assert with_generator.latent.x == 1.0
    assert -1 < with_generator.latent.y < 0


def test_shift_drags_ten_times_finer_from_where_it_is(with_generator):
    with_generator.latent = LatentSettings(x=0.3, y=-0.2)
    with Hand(LatentPanel(), with_generator) as hand:
        (left, _), (right, _) = hand.place("Pad", (0, 0)), hand.place("Pad", (1, 1))
        imgui.get_io().add_key_event(imgui.Key.mod_shift, True)
        hand.drag("Pad", 50, 0)
        imgui.get_io().add_key_event(imgui.Key.mod_shift, False)
    assert with_generator.latent.x == pytest.approx(0.3 + 50 * 0.1 * 2 / (right - left), abs=0.002)
    assert with_generator.latent.y == pytest.approx(-0.2, abs=0.002)


def test_arrows_nudge_when_the_pad_has_the_keyboard(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.press(imgui.Key.right_arrow)
        assert with_generator.latent == LatentSettings()
        hand.click("Pad")
        middle = with_generator.latent
        hand.press(imgui.Key.right_arrow)
        hand.press(imgui.Key.up_arrow)
        hand.press(imgui.Key.up_arrow)
    assert with_generator.latent.x == pytest.approx(middle.x + 0.01)
    assert with_generator.latent.y == pytest.approx(middle.y + 0.02)


def test_a_walk_with_the_arrows_is_one_step_of_undo(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Pad")
        with_generator.history.settle(with_generator.document, hand_is_busy=False)
        before = with_generator.latent
        for _ in range(5):
            hand.press(imgui.Key.left_arrow)
        with_generator.undo()
    assert with_generator.latent == before


def test_psi_slides_and_is_typed(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.drag("Truncation ψ", 40, at=(0.6, 0.5))
        assert with_generator.latent.psi > 0.8
        hand.type("Truncation ψ", "-0.25")
        assert with_generator.latent.psi == -0.25
        hand.reset("Truncation ψ")
        assert with_generator.latent.psi == LatentSettings().psi


def test_the_seed_goes_up_and_down_and_is_typed(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Seed", at=(0.98, 0.5))
        hand.click("Seed", at=(0.98, 0.5))
        assert with_generator.latent.seed == 2
        hand.click("Seed", at=(0.86, 0.5))
        assert with_generator.latent.seed == 1
        hand.type("Seed", "-5", at=(0.3, 0.5))
        assert with_generator.latent.seed == 0
        hand.type("Seed", "4711", at=(0.3, 0.5))
    assert with_generator.latent.seed == 4711


def test_a_seed_beyond_what_the_field_can_show_is_kept(with_generator):
    with_generator.latent = LatentSettings(seed=2**32 - 1)
    with Hand(LatentPanel(), with_generator) as hand:
        hand.frames(3)
    assert with_generator.latent.seed == 2**32 - 1


def test_random_buttons_change_only_what_they_say(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Random place")
        latent = with_generator.latent
        assert (latent.x, latent.y) != (0, 0)
        assert latent.seed == 0
        hand.click("Random seed")
    assert with_generator.latent == replace(latent, seed=with_generator.latent.seed)
    assert with_generator.latent.seed != 0


def test_the_space_is_chosen(with_generator):
    with Hand(LatentPanel(), with_generator) as hand:
        hand.click("Z")
        assert with_generator.latent == LatentSettings(space="Z")
        hand.click("W")
    assert with_generator.latent == LatentSettings()


def test_camera_conditioning_says_why_it_cannot_be_used(with_generator):
    assert isinstance(with_generator.opened, OpenedGenerator)
    assert not with_generator.opened.loaded.generator.conditions_on_camera
    with Hand(LatentPanel(), with_generator) as hand:
        assert not hand.can_use("Conditioning")
        hand.hover("Conditioning")
        assert hand.sees("ignores the camera")


def test_a_ply_has_no_latent_space(with_ply):
    with Hand(LatentPanel(), with_ply) as hand:
        assert hand.sees("A .ply file holds one head")
        assert not hand.finds("Pad")


# ---- the view


def test_a_mode_is_shown_and_enables_its_colour_map(with_ply):
    with Hand(RenderPanel(), with_ply) as hand:
        assert not hand.can_use("Colour map")
        hand.click("Depth")
        assert with_ply.view.mode == "depth"
        hand.choose("Colour map", "Viridis")
        hand.click("Invert", at=(0.1, 0.5))
    assert with_ply.view == ViewSettings(mode="depth", colormap="viridis", invert=True)


def test_the_background_is_a_colour_or_a_checker(with_ply):
    with Hand(RenderPanel(), with_ply) as hand:
        hand.click("Black")
        hand.settle()
        assert with_ply.view.background == (0, 0, 0)
        assert with_ply.result.image[0, 0, :3].max() == 0
        hand.click("Checker")
        hand.settle()
        assert with_ply.view.checker
        assert with_ply.result.image[0, 0, :3].min() > 100
        hand.click("Plain")
    assert with_ply.view == ViewSettings(background=(0.0, 0.0, 0.0))


def test_larger_splats_cover_more(with_ply):
    with Hand(RenderPanel(), with_ply) as hand:
        hand.type("Splat scale", "3")
        before = np.isfinite(with_ply.result.depth).mean()
        hand.settle()
    assert np.isfinite(with_ply.result.depth).mean() > before


def test_a_resolution_keeps_the_window_s_shape(with_ply):
    with Hand(RenderPanel(), with_ply) as hand:
        hand.choose("Resolution", "256 px high")
    assert with_ply.view.resolution == 256
    assert with_ply.full_size == (round(256 * 40 / 24), 256)


def test_rasterizer_and_precision_are_the_machine_s(with_ply):
    document = with_ply.document
    with Hand(RenderPanel(), with_ply) as hand:
        hand.choose("Rasterizer", "cpu (compiled)")
        hand.choose("Precision", "Exact")
    assert (with_ply.preferences.backend, with_ply.preferences.precision) == ("cpu", "float32")
    assert with_ply.document == document


def test_a_rasterizer_that_cannot_run_here_cannot_be_chosen(with_ply, monkeypatch):
    import widgets.render

    missing = {"torch": None, "cpu": None, "gsplat": "gsplat needs an NVIDIA GPU."}
    monkeypatch.setattr(widgets.render, "available_backends", lambda: missing)
    with Hand(RenderPanel(), with_ply) as hand:
        hand.choose("Rasterizer", "gsplat (CUDA)")
        assert with_ply.preferences.backend == "torch"
        hand.hover("gsplat (CUDA)")
        assert hand.sees("needs an NVIDIA GPU")


def test_a_right_click_takes_any_choice_back(with_ply):
    with_ply.view = ViewSettings(mode="depth", colormap="magma", resolution=512)
    with Hand(RenderPanel(), with_ply) as hand:
        for label in ("Colour map", "Resolution", "Depth"):
            hand.reset(label)
    assert with_ply.view == ViewSettings()


# ---- saving


def test_the_picture_button_writes_what_is_shown(with_ply, tmp_path):
    with_ply.view = ViewSettings(background=(0.0, 0.0, 1.0))
    with Hand(SavePanel(), with_ply) as hand:
        hand.choose("Size", "Custom")
        hand.type("Width", "48", at=(0.3, 0.5))
        hand.type("Height", "30", at=(0.3, 0.5))
        hand.type("Picture name", "face")
        assert hand.sees("Writes face.png")
        hand.click("Save picture")
        hand.settle()
        assert "face.png" in with_ply.toast
    with Image.open(tmp_path / "saved" / "face.png") as image:
        assert (image.size, image.mode) == ((48, 30), "RGB")
        assert image.getpixel((0, 0)) == (0, 0, 255)


def test_a_transparent_picture_has_no_background(with_ply, tmp_path):
    with Hand(SavePanel(), with_ply) as hand:
        hand.choose("Size", "As the viewport")
        hand.click("2x")
        hand.click("Transparent", at=(0.1, 0.5))
        hand.click("Save picture")
        hand.settle()
    with Image.open(tmp_path / "saved" / "head.png") as image:
        assert (image.size, image.mode) == ((40, 24), "RGBA")
        assert image.getpixel((0, 0))[3] == 0


def test_nothing_is_overwritten_and_the_next_name_is_shown(with_ply, tmp_path):
    taken = tmp_path / "saved" / "head.ply"
    taken.write_text("precious")
    with Hand(SavePanel(), with_ply) as hand:
        assert hand.sees("Writes head-2.ply")
        hand.click("Save .ply")
        hand.settle()
    assert taken.read_text() == "precious"
    assert read_ply(tmp_path / "saved" / "head-2.ply").count == 7


def test_a_head_is_saved_for_the_program_that_was_chosen(with_ply, tmp_path):
    with Hand(SavePanel(), with_ply) as hand:
        hand.choose("For", "SuperSplat")
        hand.click("Save .ply")
        hand.settle()
    written = read_ply(tmp_path / "saved" / "head.ply", frame="").means
    assert torch.equal(written, with_ply.opened.gaussians.means * HALF_TURN)


def test_a_saving_can_be_cancelled_and_leaves_nothing(with_ply, tmp_path):
    with Hand(SavePanel(), with_ply) as hand:
        hand.click("Save picture")
        job = with_ply.engine.jobs[0]
        while job.progress is None:  # a picture may come before it
            assert with_ply.engine.step()
        hand.frames(2)
        assert hand.sees("Making the head")
        hand.click("Cancel")
        hand.settle()
    assert job.state is JobState.CANCELLED
    assert list((tmp_path / "saved").iterdir()) == []


def test_without_a_head_saving_says_what_is_missing(session):
    with Hand(SavePanel(), session) as hand:
        assert not hand.can_use("Save picture")
        assert not hand.can_use("Save .ply")
        hand.click("Save picture")
        assert hand.sees("open a head first")
    assert session.engine.jobs == ()


def test_a_name_that_is_a_path_is_refused(with_ply):
    with Hand(SavePanel(), with_ply) as hand:
        hand.type("Head name", "../evil")
        assert not hand.can_use("Save .ply")
        assert hand.can_use("Save picture")


# ---- opening


def test_an_empty_session_says_what_to_do(session):
    with Hand(LoadPanel(), session) as hand:
        assert hand.sees("Nothing is open.")
        assert hand.can_use("Open…")


def test_a_file_s_facts_are_shown(with_ply):
    with Hand(LoadPanel(), with_ply) as hand:
        assert hand.sees("seven.ply")
        assert "7" in hand.texts


def test_a_right_click_copies_a_fact(with_ply):
    with Hand(LoadPanel(), with_ply) as hand:
        hand.click("7", button=1)
        hand.frames(2)
        hand.click("Copy")
        assert imgui.get_clipboard_text() == "7"


def test_a_generator_s_facts_are_shown(with_generator, generator_file):
    splats = with_generator.result.summary.splats
    with Hand(LoadPanel(), with_generator) as hand:
        assert hand.sees(generator_file.name)
        assert f"{splats:,}" in hand.texts
        assert not hand.finds("Axes")


def test_other_axes_turn_the_head_over(with_ply):
    before = with_ply.opened.gaussians.means
    with Hand(LoadPanel(), with_ply) as hand:
        hand.choose("Axes", "SuperSplat / COLMAP (y down)")
        hand.settle()
        assert isinstance(with_ply.scene, PlyHead)
        assert torch.equal(with_ply.opened.gaussians.means, before * HALF_TURN)
        with_ply.undo()
        hand.settle()
    assert torch.equal(with_ply.opened.gaussians.means, before)


def test_what_comes_with_the_program_is_listed_opens_and_is_not_remembered(
    session, head_ply, generator_file, monkeypatch
):
    built_in = {"Demo generator": Path(generator_file), "Sample head": Path(head_ply)}
    monkeypatch.setattr(scenes, "BUILT_IN", built_in)
    monkeypatch.setattr(load, "BUILT_IN", built_in)
    with Hand(LoadPanel(), session) as hand:
        hand.click("Demo generator")
        hand.settle()
        assert isinstance(session.opened, OpenedGenerator)
        hand.click("Sample head")
        hand.settle()
    assert session.result.summary.splats == 7
    assert session.preferences.recent == ()
    assert session.log.last.message == "Opened Sample head"


def test_what_is_missing_of_it_is_not_listed(session, head_ply, tmp_path, monkeypatch):
    built_in = {"Demo generator": tmp_path / "none.safetensors", "Sample head": Path(head_ply)}
    monkeypatch.setattr(load, "BUILT_IN", built_in)
    with Hand(LoadPanel(), session) as hand:
        assert not hand.finds("Demo generator")
        assert hand.finds("Sample head")


def test_a_recent_file_opens_again_and_a_missing_one_can_be_removed(session, head_ply, tmp_path):
    gone = str(tmp_path / "gone.pkl")
    session.preferences = replace(session.preferences, recent=(gone, str(head_ply)))
    with Hand(LoadPanel(), session) as hand:
        hand.click("gone.pkl")
        assert session.opening is None
        hand.click("Remove gone.pkl")
        assert session.preferences.recent == (str(head_ply),)
        hand.frames(2)
        hand.click("seven.ply")
        hand.settle()
    assert session.result.summary.splats == 7


def test_opening_shows_its_progress_and_can_be_cancelled(session, head_ply):
    session.open(head_ply)
    with Hand(LoadPanel(), session) as hand:
        assert session.engine.step()
        hand.frames(2)
        assert not hand.sees("Reading seven.ply"), "a short opening lets nothing jump"
        hand.frames(30)
        assert hand.sees("Reading seven.ply")
        hand.click("Cancel")
        hand.settle()
        assert hand.sees("Nothing is open.")
    assert session.scene is None


@pytest.mark.parametrize("file", ["head_ply", "generator_file"])
def test_a_file_is_looked_into_before_it_is_opened(file, session, request):
    path = request.getfixturevalue(file)
    panel = LoadPanel()
    panel.inspect(session, path)
    with Hand(panel, session) as hand:
        hand.settle()
        assert hand.sees(path.name)
        assert session.scene is None
        hand.click("Open this")
        hand.settle()
    assert session.opened is not None


def test_a_file_that_is_none_is_explained_and_not_opened(session, tmp_path):
    path = tmp_path / "broken.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nend_header\n")
    panel = LoadPanel()
    panel.inspect(session, path)
    with Hand(panel, session) as hand:
        hand.settle()
        assert not hand.finds("Open this")
    assert "broken.ply" in session.banner


# ---- the log


def test_the_log_is_filtered_opened_and_copied(session):
    session.log.add("info", "all is well")
    session.log.add("error", "it broke", "Traceback: line 3")
    with Hand(LogPanel(), session) as hand:
        assert hand.finds("all is well")
        hand.click("Errors")
        assert not hand.finds("all is well")
        hand.click("it broke …")
        assert hand.finds("Details")
        hand.click("Copy")
        assert "Traceback: line 3" in imgui.get_clipboard_text()
        hand.click("All")
        hand.click("Copy all")
        copied = imgui.get_clipboard_text()
        assert "all is well" in copied
        assert "it broke" in copied
        hand.click("Clear")
    assert not session.log.entries


# ---- performance


def test_performance_lists_the_stages_of_the_newest_picture(with_ply):
    with Hand(PerformancePanel(), with_ply) as hand:
        with_ply.rig = replace(OrbitRig(), yaw=0.3)
        hand.settle()
        hand.frames(2)
        shown = dict(zip(hand.texts, hand.texts[1:], strict=False))
        assert shown["Activate"] == "kept"
        assert shown["Rasterize"] == f"{1000 * with_ply.result.seconds['rasterize']:.1f} ms"
        assert hand.sees("torch")
