"""Steps 3 and 4 of the Inversion panel: latent inversion and tuning, before, while and after they run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import psutil
from imgui_bundle import imgui

from inversion import weights
from inversion.steps import LossValues
from inversion.weights import WeightsFile
from splatviz_app.inversion.desk import InversionDesk
from splatviz_app.inversion.phases import Phase
from splatviz_app.preferences import PerceptionChoice
from splatviz_app.session import Session
from widgets import fields
from widgets.inversion_compare import Comparison, View
from widgets.inversion_curves import LossCurves
from widgets.inversion_report import draw_report
from widgets.inversion_settings import Measures, draw_presets, draw_settings
from widgets.jobs import duration
from widgets.tuning_blend import TuningBlend
from widgets.weights_dialog import WeightsDialog

_START: Mapping[Phase, str] = {"latent": "Start inversion", "tuning": "Start tuning"}
_START_HELP: Mapping[Phase, str] = {
    "latent": "Look for the head of the generator that looks like the photos.",
    "tuning": "Teach a copy of the generator the head that is shown, until it looks like the photos.",
}
_HELP = {
    "Pause": "Rest after the step at hand; everything else can be used meanwhile.",
    "Resume": "Go on where it rests.",
    "Stop at best": "End now, and keep the best step so far.",
    "Cancel": "End now; the session is as it was before.",
    "Start over": "Begin again from the first step, with the settings below.",
}
_SHOW_HELP = (
    "Show in the viewport what the phase has arrived at. The camera is yours all the while."
)
_LPIPS: Mapping[PerceptionChoice, WeightsFile] = {
    "alexnet": weights.ALEXNET,
    "vgg16": weights.VGG16,
    "squeezenet": weights.SQUEEZENET,
}
_NO_FACES = "The network that recognises people is not here: see Get weights below."
_CHOICES: Mapping[PerceptionChoice, str] = {
    "best": "Best there is",
    "alexnet": "LPIPS, AlexNet",
    "vgg16": "LPIPS, VGG-16",
    "squeezenet": "LPIPS, SqueezeNet",
    "stand-in": "Without weights",
}
_CHOICE_HELP = "What compares the pictures: networks whose weights are here, or formulas alone."
_NEXT: Mapping[Phase, str] = {
    "latent": (
        "It is an ordinary head now: vary it under Latent, shape it under Edit, keep it under Save. "
        "Step 4 brings it nearer to the photos."
    ),
    "tuning": "The head stays an ordinary one: vary it under Latent, shape it under Edit, save it.",
}
_LOOK_EVERY = 1.0  # seconds between two looks at the memory and the weights there are


class RunSections:
    """Draws both steps, and does what is asked there."""

    def __init__(self) -> None:
        """Begin with nothing shown."""
        self._comparison, self._blend = Comparison(), TuningBlend()
        self._curves: Mapping[Phase, LossCurves] = {"latent": LossCurves(), "tuning": LossCurves()}
        self._weights = WeightsDialog("inversion")
        self._pace = _Pace()
        self._needed: tuple[object, int] = (None, 0)  # what it was computed of, bytes
        self._memory = (-math.inf, 0.0)  # imgui.get_time() of the look, bytes free
        self._here: tuple[float, frozenset[str]] = (-math.inf, frozenset())  # weights; the same

    def draw_inversion(self, session: Session) -> None:
        """Draw step 3."""
        self._draw_phase(session, "latent")

    def draw_tuning(self, session: Session) -> None:
        """Draw step 4, and the tuning there is."""
        self._draw_phase(session, "tuning")

    def poll(self, session: Session) -> None:
        """Follow up on dialogs and draw windows; every frame, also while the panel is hidden."""
        self._blend.poll(session)
        self._weights.draw(session)
        self._comparison.draw_window(session, self._views(session.inversion))

    # ---- a phase

    def _draw_phase(self, session: Session, phase: Phase) -> None:
        desk = session.inversion
        imgui.push_id(phase)
        if desk.phase == phase:
            self._draw_running(desk)
        else:
            self._draw_start(session, phase)
        if phase == "tuning":
            self._draw_blend(session)
        self._draw_outcome(session, phase)
        is_fresh = not desk.curves.get(phase)
        imgui.set_next_item_open(is_fresh, imgui.Cond_.once)
        if imgui.tree_node_ex(f"Settings##{phase}", imgui.TreeNodeFlags_.span_avail_width):
            imgui.unindent()
            self._draw_settings(desk, phase)
            imgui.indent()
            imgui.tree_pop()
        imgui.pop_id()

    def _draw_start(self, session: Session, phase: Phase) -> None:
        """What it will take, and the button."""
        desk = session.inversion
        if phase == "latent":
            desk.projector = draw_presets(phase, desk.projector)
        else:
            desk.tuner = draw_presets(phase, desk.tuner)
            self._draw_memory(session)
        why = desk.why_not_invert if phase == "latent" else desk.why_not_tune
        with fields.unless(why):
            if fields.button(_START[phase], _START_HELP[phase], height=fields.em(2)):
                self._pace = _Pace()
                if phase == "latent":
                    desk.start_inversion()
                else:
                    desk.start_tuning()
        if why:
            fields.muted(why)

    def _draw_blend(self, session: Session) -> None:
        """The tuning that is in use, or how to open one."""
        fields.gap(0.2)
        busy = "A phase goes on: wait for its end, or stop it." if session.inversion.phase else ""
        self._blend.draw(session, busy)

    def _draw_memory(self, session: Session) -> None:
        """How much memory tuning will take, and whether it is there."""
        desk = session.inversion
        key = (desk.tuner, session.opened)  # the sum over all parameters is not for every frame
        if self._needed[0] != key:
            self._needed = (key, desk.tuning_bytes)
        needed = self._needed[1]
        if not needed:
            return
        if imgui.get_time() - self._memory[0] > _LOOK_EVERY:
            self._memory = (imgui.get_time(), float(psutil.virtual_memory().available))
        free = self._memory[1]
        said = f"Needs about {_gigabytes(needed)} of {_gigabytes(free)} free memory."
        if needed > free:
            advice = "Choose a smaller picture size, or let only the last levels change."
            fields.wrapped(f"{said} {advice}", fields.level_color("warning"))
        else:
            fields.muted(said)

    def _draw_running(self, desk: InversionDesk) -> None:
        """Where the phase stands, and the reins."""
        job, step = desk.job, desk.newest
        assert job is not None
        done, total = (step.done, step.total) if step is not None else (0, 0)
        is_stepping = step is not None and done > 0
        shown = f"Step {done} of {total}" if is_stepping else ""
        fraction = done / total if is_stepping else -imgui.get_time()
        imgui.progress_bar(fraction, (fields.FILL, 0), shown)
        self._pace.follow(done, job.seconds)
        fields.muted(self._said(desk, done, total))
        if desk.curve:
            fields.muted(_losses_said(desk.curve, step.best if step is not None else 0))
        first = "Resume" if desk.is_paused else "Pause"
        ends = "It ends after its step." if job.wants_cancel or _is_finishing(desk) else ""
        early = ends or ("" if is_stepping else "The first step is not done yet.")
        pressed = fields.buttons(
            (first, "Stop at best"), _HELP, {first: ends, "Stop at best": early}
        )
        pressed = pressed or fields.buttons(
            ("Cancel", "Start over"), _HELP, {"Cancel": ends, "Start over": ends}
        )
        _follow_reins(desk, pressed)
        if pressed == "Start over":
            self._pace = _Pace()
        _, desk.shows_preview = imgui.checkbox("Show it in the viewport", desk.shows_preview)
        fields.tooltip(_SHOW_HELP)

    def _said(self, desk: InversionDesk, done: int, total: int) -> str:
        """What is being done, how fast, and how long it still takes."""
        job = desk.job
        assert job is not None
        if job.wants_cancel:
            return "Ending"
        if desk.is_paused:
            return f"It rests. {duration(job.seconds)} of work so far."
        if not done:
            return job.progress.message if job.progress is not None else "Starting"
        pace = self._pace.seconds
        if pace is None:
            return "Measuring the pace"
        left = duration(pace * (total - done))
        return f"{_seconds(pace)} a step · {left} left at most"

    def _draw_outcome(self, session: Session, phase: Phase) -> None:
        """Report, pictures and curves of the newest run."""
        desk = session.inversion
        if phase == "latent" and desk.rescued is not None:
            fields.wrapped(
                "It failed, but the best head before that is still there.",
                fields.level_color("warning"),
            )
            if fields.button("Keep the best head", "Show it, as if the phase had ended there."):
                desk.accept_rescued()
        is_newest = desk.run is not None and desk.run.phase == phase
        if is_newest and not desk.phase and desk.report is None and desk.rescued is None:
            fields.muted("It was stopped before its end: the head is what it was.")
        views = self._views(desk) if is_newest else ()
        if views:
            fields.gap(0.2)
            self._comparison.draw(session, views)
        report = desk.report
        if report is not None and report.phase == phase:
            fields.gap(0.2)
            draw_report(report)
            fields.muted(f"Step {report.best + 1} of {report.steps} is kept. {_NEXT[phase]}")
        curve = desk.curves.get(phase)
        if curve:
            fields.gap(0.2)
            best = desk.newest.best if is_newest and desk.newest is not None else 0
            kept = best if report is not None and is_newest else _kept_of(curve, best)
            self._curves[phase].draw(phase, curve, kept, self._measures(desk).perceptual)

    def _views(self, desk: InversionDesk) -> tuple[View, ...]:
        """What the newest run compares; empty while that is not known yet."""
        run = desk.run
        if run is None or not desk.targets:
            return ()
        count = len(desk.targets)
        pictures = desk.view_pictures or (None,) * count
        cameras = desk.view_cameras or (None,) * count
        return tuple(
            View(photo.name, target, picture, camera)
            for photo, target, picture, camera in zip(
                run.start.photos, desk.targets, pictures, cameras, strict=True
            )
        )

    # ---- settings

    def _measures(self, desk: InversionDesk) -> Measures:
        """What pictures would be compared by now."""
        here, choice = self._weights_here(), desk.perception_choice
        is_plain = choice == "stand-in"
        files = [_LPIPS[choice]] if choice in _LPIPS else list(_LPIPS.values())
        has_lpips = not is_plain and any(file.name in here for file in files)
        has_faces = not is_plain and weights.VGGFACE2.name in here
        return Measures(has_lpips, "" if has_faces else _NO_FACES)

    def _weights_here(self) -> frozenset[str]:
        """The names of the files that are on this computer, which is looked at now and then."""
        if imgui.get_time() - self._here[0] > _LOOK_EVERY:
            files = (weights.VGGFACE2, *_LPIPS.values())
            found = frozenset(file.name for file in files if weights.find(file) is not None)
            self._here = (imgui.get_time(), found)
        return self._here[1]

    def _draw_settings(self, desk: InversionDesk, phase: Phase) -> None:
        if desk.phase == phase:
            fields.muted("They count from the next start.")
        views, measures = len(desk.used_photos), self._measures(desk)
        if phase == "latent":
            desk.projector = draw_settings(phase, desk.projector, views, measures)
        else:
            desk.tuner = draw_settings(phase, desk.tuner, views, measures)
        here = self._weights_here()
        missing = "-Its weights are not on this computer: see Get weights below."
        whys = {name: missing for name, file in _LPIPS.items() if file.name not in here}
        choice = desk.perception_choice
        desk.perception_choice = fields.combo("Compare by", _CHOICE_HELP, choice, _CHOICES, whys)
        fields.muted(measures.sentence)
        help = "Networks that compare pictures more exactly: which, how large, from where."
        if fields.button("Get weights…", help):
            self._weights.ask((weights.VGGFACE2, *_LPIPS.values()))


class _Pace:
    """How long a step takes, from the first one to the newest."""

    def __init__(self) -> None:
        """Begin without a measurement."""
        self._first: tuple[int, float] | None = None  # step and seconds of the job
        self._newest = (0, 0.0)

    def follow(self, done: int, seconds: float) -> None:
        """Note when a step was done; what prepares the first is not counted.

        Args:
            done: Steps done.
            seconds: That the job has worked.
        """
        if self._first is None or done < self._newest[0]:
            self._first = (done, seconds) if done else None
            self._newest = (done, seconds)
        elif done > self._newest[0]:
            self._newest = (done, seconds)

    @property
    def seconds(self) -> float | None:
        """Of a step; None before two are done."""
        if self._first is None or self._newest[0] <= self._first[0]:
            return None
        return (self._newest[1] - self._first[1]) / (self._newest[0] - self._first[0])


def _follow_reins(desk: InversionDesk, pressed: str | None) -> None:
    """Do what a button says."""
    if pressed == "Pause":
        desk.pause()
    elif pressed == "Resume":
        desk.resume()
    elif pressed == "Stop at best":
        desk.finish()
    elif pressed == "Cancel":
        desk.cancel()
    elif pressed == "Start over":
        desk.start_over()


def _is_finishing(desk: InversionDesk) -> bool:
    return desk.run is not None and desk.run.reins.finish


def _losses_said(curve: Sequence[LossValues], best: int) -> str:
    """The newest loss and the one that would be kept."""
    kept = _kept_of(curve, best)
    now = f"Loss {curve[-1].total:.4g}"
    return now if kept is None else f"{now} · best {curve[kept].total:.4g} at step {kept + 1}"


def _kept_of(curve: Sequence[LossValues], best: int) -> int | None:
    """The step that would be kept now, from 0; None while all are disturbed and none would be."""
    if not 0 <= best < len(curve):
        return None
    is_first = best == 0 and any(losses.total < curve[0].total for losses in curve)
    return None if is_first else best


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
