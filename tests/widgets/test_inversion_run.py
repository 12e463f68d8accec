"""Steps 3 and 4 of the Inversion panel, used by a hand on a small generator and on photos of its heads."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from imgui_bundle import imgui, implot
from PIL import Image

from inversion import weights
from inversion.errors import InversionError
from inversion.photo import Photo
from inversion.prepare import PrepareSettings
from inversion.settings import ProjectorSettings, TuningSettings
from inversion.steps import LossValues, Quality
from inversion.weights import WeightsFile
from models.checkpoint import save_generator
from models.latents import LatentSettings
from models.zoo import DEMO_GENERATOR
from splatviz_app.inversion import jobs
from splatviz_app.inversion.comparison import difference, over_white
from splatviz_app.inversion.phases import Report
from splatviz_app.preferences import Preferences
from splatviz_app.session import Session, new_session
from tests.app.photos import photo_of_head, visible_generator
from tests.steps import settle
from tests.widgets.hand import Hand, opened
from widgets import inversion_run
from widgets.inversion_compare import TITLE as COMPARE
from widgets.inversion_curves import _ticks
from widgets.inversion_report import report_text
from widgets.inversion_run import RunSections
from widgets.inversion_settings import PRESETS, shown_settings

STEPS = 6
PROJECTOR = ProjectorSettings(steps=STEPS, resolution=32, candidates=4, noise=0.0, patience=0)
TUNER = TuningSettings(steps=STEPS, resolution=32, learning_rate=0.002)


class Sections:
    """One of the steps as a panel of its own, polled in every frame as the window does."""

    title = "Inversion"
    dock = "left_low"

    def __init__(self, *steps: str) -> None:
        self.run, self.steps = RunSections(), steps

    def visible(self, session: Session) -> bool:
        return True

    def draw(self, session: Session) -> None:
        if "latent" in self.steps:
            self.run.draw_inversion(session)
        if "tuning" in self.steps:
            self.run.draw_tuning(session)
        self.run.poll(session)


class RunHand(Hand):
    """A hand before one of the steps, which sees nodes of trees and whole-number bars as well."""

    def __init__(self, session: Session, *steps: str, height: float = 1600) -> None:
        super().__init__(Sections(*steps), session, (320, height))

    def __enter__(self) -> RunHand:
        super().__enter__()
        self._watch("tree_node_ex", self._note_item)
        self._watch("slider_int", self._note_item)
        self.frames(2)
        return self

    def work_until(self, happens, limit: int = 400) -> None:
        """Let frames go by, one unit of the engine's work each, until something happens."""
        for _ in range(limit):
            self.frames()
            if happens():
                self.frames()
                return
            self.session.engine.step()
        raise AssertionError("it never happens")

    def run(self, phase: str) -> None:
        """Press the button and wait for the end."""
        self.click({"latent": "Start inversion", "tuning": "Start tuning"}[phase])
        assert self.session.inversion.phase == phase
        self.settle()
        self.frames(3)
        assert self.session.inversion.phase == "", self.session.banner


@pytest.fixture(scope="module")
def visible_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "visible.safetensors"
    save_generator(path, visible_generator())
    return path


@pytest.fixture(scope="module")
def photos():
    return (photo_of_head(0.4), photo_of_head(-0.2, name="ben.jpg"))


@pytest.fixture
def session(visible_file, tmp_path, monkeypatch):
    """A session with an open generator, and no weights of other networks anywhere."""
    monkeypatch.setenv("SPLATHEAD_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    session = new_session(
        Preferences(
            backend="torch",
            projector=PROJECTOR,
            tuner=TUNER,
            prepare=PrepareSettings(at_once=False),
        )
    )
    session.viewport = (48, 32)
    yield opened(session, visible_file)
    session.engine.stop()


@pytest.fixture
def ready(session, photos):
    """The same with two photos, and the hand somewhere on the map."""
    session.inversion.photos = photos
    session.latent = LatentSettings(seed=5, x=0.3, psi=0.8)
    settle(session)
    return session


def picture_of(session) -> np.ndarray:
    return session.result.image


# ---- before it starts


def test_it_says_what_is_missing_before_it_can_start(session, photos):
    empty = new_session(Preferences(backend="torch"))
    with RunHand(empty, "latent") as hand:
        assert not hand.can_use("Start inversion")
        assert hand.sees("Open a generator first")
    with RunHand(session, "latent") as hand:
        assert not hand.can_use("Start inversion")
        assert hand.sees("Add a photo first.")
        session.inversion.photos = (Photo("raw.jpg", photos[0].content),)
        hand.frames(2)
        assert hand.sees("Prepare raw.jpg first")
        session.inversion.photos = photos
        hand.frames(2)
        assert hand.can_use("Start inversion")


def test_tuning_says_how_much_memory_it_needs(ready):
    with RunHand(ready, "tuning") as hand:
        assert hand.sees("Needs about")
        ready.inversion.photos = ()
        hand.frames(2)
        assert not hand.can_use("Start tuning")
        assert hand.sees("Add a photo first.")


@pytest.mark.parametrize(
    ("phase", "kind"), [("latent", ProjectorSettings), ("tuning", TuningSettings)]
)
def test_every_setting_has_a_control_and_says_what_it_is(ready, phase, kind):
    names = {entry.name for entry in dataclasses.fields(kind)}
    assert set(shown_settings(kind)) == names
    shown = {
        "steps": "Steps",
        "resolution": "Picture size",
        "start": "Begin at",
        "candidates": "Tried heads",
        "per_block": "One per block",
        "batch_size": f"{phase} Batch size",
        "learning_rate": f"{phase} Learning rate start",
        "last_learning_rate": f"{phase} Learning rate end",
        "weights": f"{phase} MSE start",
        "last_weights": f"{phase} MSE end",
    }
    with RunHand(ready, phase) as hand:
        hand.click("More settings")
        for name in names:
            label = shown.get(name, name.replace("_", " ").capitalize())
            assert hand.finds(label), name


def test_start_and_end_of_a_number_are_set_one_by_one(ready):
    desk = ready.inversion
    with RunHand(ready, "latent") as hand:
        hand.type("latent MSE start", "0.5")
        hand.type("latent Learning rate end", "0.00123")
        hand.drag("latent Perceptual end", right=-30)
    settings = desk.projector
    assert settings.weights == replace(PROJECTOR.weights, mse=0.5)
    assert settings.last_weights.mse == PROJECTOR.last_weights.mse
    assert settings.last_weights.perceptual < PROJECTOR.last_weights.perceptual
    assert settings.last_learning_rate == 0.00123
    assert settings.learning_rate == PROJECTOR.learning_rate
    assert desk.tuner == TUNER


def test_a_preset_changes_the_work_and_defaults_bring_back_everything(ready):
    desk = ready.inversion
    with RunHand(ready, "tuning") as hand:
        hand.type("tuning MSE start", "0.5")
        hand.click("Quick")
        for name, value in PRESETS[TuningSettings]["Quick"].items():
            assert getattr(desk.tuner, name) == value
        assert desk.tuner.weights.mse == 0.5
        assert desk.tuner.learning_rate == TUNER.learning_rate
        hand.click("Defaults")
    assert desk.tuner == TuningSettings()


def test_one_photo_leaves_nothing_to_choose_of_a_batch(ready, photos):
    with RunHand(ready, "latent") as hand:
        assert hand.can_use("latent Batch size")
        ready.inversion.photos = photos[:1]
        hand.frames(2)
        assert not hand.can_use("latent Batch size")


# ---- latent inversion


def test_an_inversion_shows_where_it_stands_and_undo_takes_it_back_in_one_step(ready):
    before, image = ready.document, picture_of(ready)
    desk = ready.inversion
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: len(desk.curve) == 3)
        assert hand.sees("a step ·")
        assert hand.sees("Loss ")
        assert hand.finds("Wipe")
        assert ready.document == before, "what is shown meanwhile is no part of the document"
        assert ready.preview is not None
        hand.settle()
        hand.frames(2)
        assert hand.sees("Step ")
        assert hand.sees("ada.jpg")
        assert hand.sees("ben.jpg")
        assert hand.sees(f"{desk.report.after[0].psnr:.1f} dB")
    assert ready.latent.kept is not None
    assert ready.latent.psi == 1.0
    assert not np.array_equal(picture_of(ready), image)
    ready.undo()
    assert ready.document == before


def test_a_pause_really_pauses(ready):
    desk = ready.inversion
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: len(desk.curve) == 2)
        hand.click("Pause")
        done = len(desk.curve)
        ready.engine.drain()
        hand.frames(5)
        ready.engine.drain()
        assert len(desk.curve) == done < STEPS
        assert hand.sees("It rests.")
        hand.click("Resume")
        hand.settle()
    assert len(desk.curve) == STEPS
    assert desk.report is not None


def test_stop_at_best_keeps_the_best_step(ready):
    desk = ready.inversion
    # So fast that the loss goes up and down.
    desk.projector = replace(PROJECTOR, steps=50, learning_rate=0.6, last_learning_rate=0.6)
    found = {}  # w of each step, by its place in the curve

    def has_done(steps):
        if desk.curve:
            seen = (desk.run.preview.latent.kept, desk.run.pictures[0])
            found[len(desk.curve) - 1] = seen
        return len(desk.curve) >= steps

    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: has_done(9))
        hand.click("Stop at best")
        hand.work_until(lambda: has_done(1) and not desk.phase)
        hand.settle()
        assert hand.sees(f"Step {desk.report.best + 1} of {desk.report.steps} is kept.")
    totals = [losses.total for losses in desk.curve]
    assert len(totals) == desk.report.steps < 50
    assert desk.report.best == int(np.argmin(totals)) < len(totals) - 1
    w, picture = found[desk.report.best]
    np.testing.assert_allclose(ready.latent.kept.array(), w.array(), atol=1e-6)
    np.testing.assert_array_equal(desk.view_pictures[0], picture)


def test_cancel_leaves_the_document_as_it_was(ready):
    desk, before = ready.inversion, ready.document
    past = len(ready.history._values)
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: len(desk.curve) == 3)
        hand.click("Cancel")
        hand.settle()
        hand.frames(2)
        assert hand.can_use("Start inversion")
        assert hand.sees("It was stopped before its end")
    assert ready.document is before
    assert len(ready.history._values) == past
    assert ready.preview is None
    assert desk.report is None


def test_start_over_begins_at_the_first_step_with_the_settings_of_now(ready):
    desk, before = ready.inversion, ready.document
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: len(desk.curve) == 4)
        first = desk.run
        desk.projector = replace(PROJECTOR, steps=3)
        hand.click("Start over")
        hand.work_until(lambda: desk.run is not first and len(desk.curve) == 1)
        assert ready.document == before
        hand.settle()
    assert len(desk.curve) == 3
    assert desk.report.steps == 3


def test_the_viewport_can_be_left_alone_while_it_runs(ready):
    desk = ready.inversion
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.work_until(lambda: ready.preview is not None)
        hand.click("Show it in the viewport")
        hand.work_until(lambda: len(desk.curve) >= 4)
        assert ready.preview is None
        assert desk.phase == "latent"
        hand.settle()


def test_the_best_head_before_a_failure_can_be_kept(ready, monkeypatch):
    project = jobs.project

    def failing(*args, **kwargs):
        work = project(*args, **kwargs)
        for step in work:
            yield step
            if step.done == 4:
                raise InversionError("The search ran away.")

    monkeypatch.setattr(jobs, "project", failing)
    before = ready.document
    with RunHand(ready, "latent") as hand:
        hand.click("Start inversion")
        hand.settle()
        hand.frames(2)
        assert ready.banner == "The search ran away."
        assert ready.document == before
        assert hand.sees("the best head before that is still there")
        hand.click("Keep the best head")
        hand.settle()
        assert not hand.finds("Keep the best head")
    assert ready.latent.kept is not None


# ---- the comparison


@pytest.fixture
def inverted(ready):
    """A session whose photos were inverted."""
    ready.inversion.start_inversion()
    settle(ready)
    assert ready.inversion.report is not None
    return ready


def test_the_divider_follows_the_hand(inverted):
    with RunHand(inverted, "latent") as hand:
        width = hand.place("Picture panel", (1, 0))[0] - hand.place("Picture panel", (0, 0))[0]
        hand.drag("Picture panel", right=-width / 4)
        assert hand.panel.run._comparison._wipe == pytest.approx(0.25, abs=0.01)
        hand.drag("Picture panel", right=-width, at=(0.25, 0.5))
        assert hand.panel.run._comparison._wipe == 0.0


def test_the_viewport_looks_from_where_a_photo_was_taken(inverted, photos):
    with RunHand(inverted, "latent") as hand:
        hand.click("Look from its camera")
        assert inverted.rig.yaw == pytest.approx(photos[0].alignment.yaw, abs=0.1)
        hand.click("View 2")
        hand.click("Look from its camera")
    assert inverted.rig.yaw == pytest.approx(photos[1].alignment.yaw, abs=0.1)


def test_what_is_compared_is_the_photo_and_the_head_and_how_they_differ(inverted):
    asked = []
    with RunHand(inverted, "latent") as hand:
        textures = inverted.textures
        original = type(textures).of

        def watched(self, pixels):
            asked.append(pixels)
            return original(self, pixels)

        type(textures).of = watched
        try:
            hand.click("Difference")
            asked.clear()
            hand.frames()
        finally:
            type(textures).of = original
    target = over_white(inverted.inversion.targets[0])
    result = inverted.inversion.view_pictures[0]
    assert any(np.array_equal(pixels, difference(target, result)) for pixels in asked)


def test_the_comparison_has_a_larger_window(inverted):
    with RunHand(inverted, "latent") as hand:
        assert not hand.finds("All")
        hand.click("Larger")
        hand.frames(2)
        assert hand.finds("All")
        assert all(
            hand.finds(f"Picture large {part}") for part in ("Target", "Result", "Difference")
        )
        assert imgui.internal.find_window_by_name(COMPARE) is not None


def test_a_difference_is_black_where_nothing_differs_and_bright_where_it_does():
    one = np.zeros((2, 3, 4), np.uint8)
    other = one.copy()
    other[0, 1] = (10, 0, 200, 255)
    shown = difference(one, other)
    assert shown[0, 1].tolist() == [40, 0, 255, 255]
    assert shown[1, 2].tolist() == [0, 0, 0, 255]
    np.testing.assert_array_equal(difference(other, one), shown)


def test_what_is_clear_lies_over_white():
    picture = np.zeros((1, 3, 4), np.uint8)
    picture[0, :, :3] = (200, 100, 0)
    picture[0, :, 3] = (255, 0, 51)
    shown = over_white(picture)
    assert shown[0].tolist() == [[200, 100, 0, 255], [255] * 4, [244, 224, 204, 255]]


# ---- curves and report


def test_the_axis_of_the_losses_bears_round_numbers_in_their_range():
    for low, high in ((0.31, 0.44), (0.3101, 0.3102), (1e-5, 2.0), (1e-9, 2.0), (0.07, 0.5)):
        ticks = _ticks([np.array([low, high, np.nan])])
        assert 2 <= len(ticks) <= 6
        assert all(low <= tick <= high for tick in ticks)


def test_the_curves_of_both_phases_are_drawn_with_the_best_step(inverted, monkeypatch):
    drawn = []
    with RunHand(inverted, "latent", "tuning") as hand:
        for phase, curves in hand.panel.run._curves.items():
            monkeypatch.setattr(
                curves, "draw", lambda *args, phase=phase: drawn.append((phase, *args[1:3]))
            )
        inverted.inversion.start_tuning()
        hand.work_until(lambda: not inverted.inversion.phase)
        drawn.clear()
        hand.frames()
    (latent, curve, _), (tuning, other, best) = drawn
    assert (latent, tuning) == ("latent", "tuning")
    assert len(curve) == len(other) == STEPS
    assert best == inverted.inversion.report.best


def test_the_values_of_a_step_are_read_off_under_the_mouse(inverted, monkeypatch):
    plots = []
    end = implot.end_plot

    def watched():
        corner, size = implot.get_plot_pos(), implot.get_plot_size()
        plots.append((corner.x, corner.y, size.x, size.y))
        end()

    monkeypatch.setattr(implot, "end_plot", watched)
    with RunHand(inverted, "latent") as hand:
        x, y, width, height = plots[-1]
        for share in (0.02, 0.98):
            hand.move((x + share * width, y + height / 2))
            hand.frames(2)
            step = 1 if share < 0.5 else STEPS
            losses = inverted.inversion.curve[step - 1]
            assert hand.sees(f"Step {step}")
            assert hand.sees(f"Total  {losses.total:.4g}")
            assert hand.sees(f"MSE  {losses.mse:.4g}")


def test_a_report_is_text_with_columns():
    before = (Quality("a.jpg", 12.34, 0.5), Quality("b.jpg", 10.0, 0.25))
    after = (Quality("a.jpg", 20.0, 0.125, 0.75), Quality("b.jpg", 21.0, 0.1))
    lines = report_text(Report("tuning", before, after, 9, 4)).splitlines()
    assert lines[0].split("\t") == ["View", "Head", "PSNR", "LPIPS", "ID"]
    assert lines[1].split("\t") == ["a.jpg", "before", "12.3 dB", "0.500", "–"]
    assert lines[3].split("\t") == ["a.jpg", "tuned", "20.0 dB", "0.125", "0.750"]
    assert lines[-1] == "Step 5 of 9 was kept."


def test_the_report_goes_to_the_clipboard(inverted):
    with RunHand(inverted, "latent") as hand:
        hand.click("Copy as text")
        assert imgui.get_clipboard_text() == report_text(inverted.inversion.report)


# ---- tuning


@pytest.fixture
def tuned(inverted):
    """A session whose generator is tuned to its photos."""
    inverted.inversion.start_tuning()
    settle(inverted)
    assert inverted.tuning is not None, inverted.banner
    return inverted


def test_a_tuning_is_run_from_its_button_and_reports_before_and_after(inverted):
    untuned = picture_of(inverted)
    before = inverted.document
    with RunHand(inverted, "tuning") as hand:
        hand.run("tuning")
        report = inverted.inversion.report
        assert hand.sees("before")
        assert hand.sees("tuned")
        assert hand.sees(f"{report.before[0].psnr:.1f} dB")
        assert hand.finds("Strength")
        assert hand.sees("Made for")
    assert not np.array_equal(picture_of(inverted), untuned)
    inverted.undo()
    assert inverted.document == before


def test_the_blend_changes_the_picture_and_a_drag_is_one_step_of_undo(tuned):
    full, document = picture_of(tuned), tuned.document
    past = len(tuned.history._values)
    with RunHand(tuned, "tuning") as hand:
        hand.drag("Strength", right=-60, at=(0.9, 0.5))
        hand.settle()
        strength = tuned.tuning.strength
        assert 0 < strength < 1
        blended = picture_of(tuned)
        assert not np.array_equal(blended, full)
        assert len(tuned.history._values) == past + 1
        hand.type("Strength", "0")
        hand.settle()
        own = picture_of(tuned)
        assert not np.array_equal(own, blended)
        tuned.undo()
        tuned.undo()
        hand.settle()
    assert tuned.document == document
    np.testing.assert_array_equal(picture_of(tuned), full)


def test_a_tuning_is_removed_and_undo_brings_it_back(tuned):
    with RunHand(tuned, "tuning") as hand:
        tuning, full = tuned.tuning, picture_of(tuned)
        hand.click("Remove tuning")
        hand.settle()
        assert tuned.tuning is None
        assert not hand.finds("Strength")
        assert hand.can_use("Open tuning…")
        own = picture_of(tuned)
        assert not np.array_equal(own, full)
        tuned.undo()
        hand.settle()
    assert tuned.tuning == tuning
    np.testing.assert_array_equal(picture_of(tuned), full)


def test_a_tuning_is_saved_and_opened_again(tuned, tmp_path, monkeypatch):
    path = tmp_path / "ada.tuning.safetensors"
    with RunHand(tuned, "tuning") as hand:
        blend = hand.panel.run._blend
        tuning = tuned.tuning
        hand.type("Tuning", "Ada again")
        monkeypatch.setattr(blend._saving, "poll", answers(path))
        hand.settle()
        assert path.is_file()
        hand.click("Remove tuning")
        monkeypatch.setattr(blend._opening, "poll", answers(path))
        hand.settle()
    assert tuned.tuning.delta.name == "Ada again"
    assert tuned.tuning.delta.weights == tuning.delta.weights


def answers(path):
    """What a dialog says: once the path, then nothing."""
    left = [path]
    return lambda: left.pop() if left else None


# ---- weights of other networks


@pytest.fixture
def little_weights(tmp_path, monkeypatch):
    """The network that recognises people, as a file of 2000 bytes on a server that is a folder."""
    content = bytes(range(250)) * 8
    published = tmp_path / "published.pt"
    published.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    file = WeightsFile("faces.pt", "telling faces apart", published.as_uri(), digest, len(content))
    monkeypatch.setattr(weights, "VGGFACE2", file)
    monkeypatch.setattr(inversion_run, "_LPIPS", {})
    return file, published


def test_weights_are_fetched_only_after_a_press_that_knows_what_and_how_large(
    ready, little_weights
):
    file, _ = little_weights
    with RunHand(ready, "latent") as hand:
        assert not hand.can_use("latent ID similarity start")
        hand.click("Get weights…")
        hand.frames(3)
        assert hand.sees("Telling faces apart")
        assert hand.sees("faces.pt, ")
        assert hand.sees("Nothing of yours is sent")
        assert weights.find(file) is None
        assert not ready.engine.jobs
        hand.click("Download")
        hand.settle()
        hand.frames(2)
        assert weights.find(file) is not None
        assert hand.sees("It is on this computer.")
        hand.click("Close")
        hand.frames(70)  # it looks at the disk once in a second
        assert hand.can_use("latent ID similarity start")


def test_what_cannot_be_fetched_is_said_in_a_sentence(ready, little_weights):
    _, published = little_weights
    published.unlink()
    with RunHand(ready, "latent") as hand:
        hand.click("Get weights…")
        hand.frames(3)
        hand.click("Download")
        hand.settle()
        hand.frames(2)
        assert hand.sees("could not be fetched") or hand.sees("cannot be taken")
        hand.press(imgui.Key.escape)
        hand.frames(2)
        assert hand.can_use("Start inversion")


# ---- with the demo generator


@pytest.mark.skipif(not DEMO_GENERATOR.exists(), reason="no generator is bundled yet")
def test_a_picture_of_a_demo_head_comes_nearer_by_both_phases():
    settings = ProjectorSettings(steps=5, resolution=64, candidates=2, noise=0.0, patience=0)
    tuner = TuningSettings(steps=3, resolution=64, locality=0.0)
    session = new_session(Preferences(projector=settings, tuner=tuner, perception="stand-in"))
    session.viewport = (64, 64)
    opened(session, DEMO_GENERATOR)
    session.latent = LatentSettings(seed=3, x=0.5, y=0.2, psi=0.7)
    settle(session)
    stream = io.BytesIO()
    Image.fromarray(session.result.image[..., :3]).save(stream, "PNG")
    likeness = photo_of_head(0.0)
    matte = io.BytesIO()
    Image.new("L", (64, 64), 255).save(matte, "PNG")
    alignment = replace(likeness.alignment, centre=(32.0, 32.0), side=64.0)
    points = tuple((x * 64 / 96, y * 64 / 96) for x, y in likeness.points)
    session.inversion.photos = (
        Photo("demo.png", stream.getvalue(), points, alignment, matte.getvalue()),
    )
    session.latent = LatentSettings(seed=9)
    with RunHand(session, "latent", "tuning") as hand:
        hand.run("latent")
        curve: list[LossValues] = session.inversion.curves["latent"]
        assert min(losses.total for losses in curve) < curve[0].total
        hand.run("tuning")
        report = session.inversion.report
    assert report.after[0].psnr > report.before[0].psnr
    session.engine.stop()
