"""The Render panel: how the head is shown, and by which rasterizer."""

from __future__ import annotations

from dataclasses import replace

from renderer.rasterize import BackendName, available_backends, default_backend
from renderer.tonemap import COLORMAPS, Mode
from splatviz_app.pipeline import ViewSettings
from splatviz_app.preferences import PrecisionChoice
from splatviz_app.scenes import drawing_device
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.fields import Color, Number

_PLAIN = ViewSettings()

SPLAT_SCALE = Number(
    "Splat scale",
    "Factor on the size of every splat: below 1 the single splats show, above 1 they melt.",
    default=_PLAIN.splat_scale,
    low=0.1,
    high=3.0,
    format="%.2f x",
    log=True,
)
_RESOLUTIONS = {
    0: "Fit window",
    256: "256 px high",
    512: "512 px high",
    1024: "1024 px high",
    2048: "2048 px high",
}
_MODES: dict[Mode, str] = {"color": "Colour", "alpha": "Alpha", "depth": "Depth"}
_QUICK_COLORS: dict[str, Color] = {
    "White": (1.0, 1.0, 1.0),
    "Grey": (0.5, 0.5, 0.5),
    "Black": (0.0, 0.0, 0.0),
}
_QUICK_HELP = dict.fromkeys(_QUICK_COLORS, "Take this as the background.")
_PRECISIONS: dict[PrecisionChoice, str] = {
    "auto": "Automatic",
    "float32": "Exact",
    "fast": "Fast",
}
_PRECISION_WHYS: dict[PrecisionChoice, str] = {
    "auto": "Fast while the hand moves the latent, exact when it lets go.",
    "float32": "Every number of the network in float32.",
    "fast": "bfloat16 where the processor has it: about half the time, differences below sight.",
}
_BACKEND_NAMES: dict[BackendName | None, str] = {
    "torch": "torch (reference, slow)",
    "cpu": "cpu (compiled)",
    "gsplat": "gsplat (CUDA)",
}


class RenderPanel:
    """Mode, background, size, and the machinery."""

    title = "Render"
    dock: Dock = "right"

    def __init__(self) -> None:
        """Ask nothing of the machine yet."""
        self._automatic: BackendName | None = None
        self._whys: dict[BackendName | None, str] = {}

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the view's settings, then the machine's."""
        view = self._draw_mode(session.view)
        view = self._draw_background(view)
        view = replace(view, splat_scale=fields.slider(SPLAT_SCALE, view.splat_scale))
        resolution = fields.combo(
            "Resolution",
            "Height of the picture in px; it is shown fitted to the window. Follow the window for "
            "the sharpest picture, choose less for speed.",
            view.resolution,
            _RESOLUTIONS,
        )
        session.view = replace(view, resolution=resolution)
        fields.section("Machine")
        self._draw_backend(session)
        self._draw_precision(session)

    def _draw_mode(self, view: ViewSettings) -> ViewSettings:
        mode = fields.segmented(
            "Show",
            "Colour: the head. Alpha: how opaque, 0 to 1. Depth: distance, near to far of what is seen.",
            view.mode,
            _MODES,
        )
        view = replace(view, mode=mode)
        why = "Colour maps are for alpha and depth." if mode == "color" else ""
        with fields.unless(why):
            colormap = fields.combo(
                "Colour map",
                "The colours from low to high.",
                view.colormap,
                {name: name.capitalize() for name in COLORMAPS},
                default=_PLAIN.colormap,
            )
            invert = fields.check("Invert", "Run the colour map from its other end.", view.invert)
        return replace(view, colormap=colormap, invert=invert)

    def _draw_background(self, view: ViewSettings) -> ViewSettings:
        why = "" if view.mode == "color" else "Alpha and depth fill the whole picture."
        with fields.unless(why):
            checker = fields.segmented(
                "Background",
                "What is behind the head: one colour, or the checker that stands for nothing.",
                view.checker,
                {False: "Plain", True: "Checker"},
            )
            if checker:
                return replace(view, checker=True)
            color = fields.color(
                "Plain colour",
                "Behind the head, red green blue, 0 to 255. Click the swatch to pick.",
                view.background,
                _PLAIN.background,
            )
            fields.label("")
            pressed = fields.buttons(tuple(_QUICK_COLORS), _QUICK_HELP)
        return replace(view, checker=False, background=_QUICK_COLORS[pressed] if pressed else color)

    def _draw_backend(self, session: Session) -> None:
        if self._automatic is None:  # asked once: finding CUDA takes a moment
            self._automatic = default_backend(drawing_device())
            self._whys = {
                name: f"- {why}" for name, why in available_backends().items() if why is not None
            }
        options = {None: f"Automatic ({self._automatic})", **_BACKEND_NAMES}
        backend = fields.combo(
            "Rasterizer",
            "What turns splats into pixels. All draw the same picture, at different speed.",
            session.preferences.backend,
            options,
            self._whys,
        )
        if backend != session.preferences.backend:
            session.preferences = replace(session.preferences, backend=backend)

    def _draw_precision(self, session: Session) -> None:
        precision = fields.combo(
            "Precision",
            "How exactly the network computes while you look. Files are always saved exactly.",
            session.preferences.precision,
            _PRECISIONS,
            _PRECISION_WHYS,
        )
        if precision != session.preferences.precision:
            session.preferences = replace(session.preferences, precision=precision)
