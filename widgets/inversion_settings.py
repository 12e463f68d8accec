"""The settings of latent inversion and of tuning: what counts at the start and at the end, and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any, TypeVar

from imgui_bundle import imgui

from inversion.settings import LossWeights, ProjectorSettings, TuningSettings
from splatviz_app.setting_help import comments_of
from widgets import fields
from widgets.fields import Number
from widgets.strip import draw_strip

Settings = TypeVar("Settings", ProjectorSettings, TuningSettings)

# How much is done, not what is looked for: weights and rates stay as they are.
PRESETS: Mapping[type, Mapping[str, Mapping[str, Any]]] = {
    ProjectorSettings: {
        "Quick": {"steps": 40, "resolution": 128, "candidates": 48, "patience": 20},
        "Balanced": {},
        "Thorough": {"steps": 300, "candidates": 192, "patience": 100},
    },
    TuningSettings: {
        "Quick": {"steps": 30, "resolution": 128},
        "Balanced": {},
        "Thorough": {"steps": 300},
    },
}
_PRESET_HELP = {
    "Quick": "A first look: few steps, small pictures.",
    "Balanced": "Good for most photos.",
    "Thorough": "Several times as long, for a head that is to be kept.",
    "Defaults": "Every setting of this step as it was at first.",
}
# The weights in the order of the panel.
_WEIGHTS = {"identity": "ID similarity", "mse": "MSE", "perceptual": "Perceptual"}
_RESOLUTIONS = (64, 128, 256, 512, 1024)
_STARTS = {
    "average": "Average head",
    "best of random": "Best of random heads",
    "blend of random": "Blend of random heads",
}
_SPACES = {False: "One w", True: "One per block"}
# Numbers under More: the setting, its label, the lowest and the highest.
_COUNTS: Mapping[str, tuple[str, int, int, int]] = {
    "steps": ("Steps", 1, 10_000, 10),
    "candidates": ("Tried heads", 1, 4096, 16),
    "patience": ("Patience", 0, 10_000, 10),
    "last_levels": ("Last levels", 0, 12, 1),
    "seed": ("Seed", 0, 2**31 - 1, 1),
}
_SHARES: Mapping[str, tuple[str, float]] = {
    "noise": ("Noise", 0.5),
    "prior": ("Prior", 1.0),
    "locality": ("Locality", 10.0),
    "stop_below": ("Stop below", 1.0),
}
# The order under More; what a type does not have is left out, what is not named here comes last.
_MORE = (
    "steps", "resolution", "start", "candidates", "per_block", "refine_cameras", "noise", "prior",
    "last_levels", "locality", "stop_below", "patience", "seed",
)  # fmt: skip
_LEAST_RATE = 1e-5  # below it nothing moves
_ABOVE = ("weights", "last_weights", "learning_rate", "last_learning_rate", "batch_size")


@dataclass(frozen=True)
class Measures:
    """What pictures are compared by."""

    # Whether LPIPS is the perceptual part, not its stand-in.
    has_lpips: bool = False
    # Why faces cannot be told apart; empty if they can.
    why_no_identity: str = ""

    @property
    def perceptual(self) -> str:
        """The label of the perceptual part."""
        return "LPIPS" if self.has_lpips else "Perceptual"

    @property
    def sentence(self) -> str:
        """All of it."""
        looks = (
            "by how different they look (LPIPS)"
            if self.has_lpips
            else "by colours, slopes and structure, which needs no weights"
        )
        faces = "" if self.why_no_identity else ", and by how alike the faces are"
        return f"Pictures are compared pixel by pixel, {looks}{faces}."


def draw_presets(key: str, settings: Settings) -> Settings:
    """Draw how much work is done, in words; the preset that this is stands out.

    Args:
        key: Tells the phases apart.
        settings: As they are; Defaults brings back all of them.
    """
    plain, presets = type(settings)(), PRESETS[type(settings)]
    works: dict[str, Settings] = {
        name: _with_work(settings, plain, changed) for name, changed in presets.items()
    }
    chosen = next((name for name, wanted in works.items() if wanted == settings), None)
    pressed = draw_strip(key, (*works, "Defaults"), chosen, _PRESET_HELP)
    if pressed is not None:
        settings = plain if pressed == "Defaults" else works[pressed]
    fields.muted(_said(settings))
    return settings


def draw_settings(key: str, settings: Settings, views: int, measures: Measures) -> Settings:
    """Draw every setting of a phase; return them as they were changed.

    Args:
        key: Tells the phases apart.
        settings: As they are.
        views: How many photos are compared with.
        measures: What they are compared by.
    """
    imgui.push_id(key)
    _draw_heading()
    for part, label in _WEIGHTS.items():
        if part == "perceptual":
            label = measures.perceptual
        settings = _draw_weight(key, settings, part, label, measures)
    settings = _draw_rates(key, settings)
    settings = _draw_batch(key, settings, views)
    if imgui.tree_node_ex(f"More settings##{key} more", imgui.TreeNodeFlags_.span_avail_width):
        imgui.unindent()
        settings = _draw_more(settings)
        imgui.indent()
        imgui.tree_pop()
    imgui.pop_id()
    return settings


def _said(settings: ProjectorSettings | TuningSettings) -> str:
    """The amount of work in words."""
    words = f"Up to {settings.steps} steps at {settings.resolution} px"
    if not isinstance(settings, ProjectorSettings):
        return f"{words}."
    if settings.start == "average":
        return f"{words}, from the average head."
    which = "best" if settings.start == "best of random" else "blend"
    return f"{words}, from the {which} of {settings.candidates} random heads."


def shown_settings(kind: type) -> list[str]:
    """The names of the settings that are drawn, in order: all there are."""
    names = [entry.name for entry in fields_of(kind)]
    return [*(name for name in _ABOVE if name in names), *_more_of(names)]


def _with_work(settings: Settings, plain: Settings, preset: Mapping[str, Any]) -> Settings:
    """The same weights and rates with another amount of work."""
    every = {name for changed in PRESETS[type(settings)].values() for name in changed}
    return replace(settings, **{name: preset.get(name, getattr(plain, name)) for name in every})


# ---- start and end


def _draw_heading() -> None:
    """Name the two columns."""
    fields.label("")
    left, width, between = imgui.get_cursor_pos_x(), *_columns()
    for i, word in enumerate(("Start", "End")):
        if i:
            imgui.same_line(left + width + between)
        imgui.text_colored(fields.quiet_color(), word)


def _draw_weight(
    key: str, settings: Settings, part: str, label: str, measures: Measures
) -> Settings:
    """How much one part of the loss counts."""
    plain = type(settings)()
    help = comments_of(LossWeights)[part]
    if part == "perceptual":
        help = f"{help}\n{measures.sentence}"
    reason = measures.why_no_identity if part == "identity" else ""
    first, last = getattr(settings.weights, part), getattr(settings.last_weights, part)
    defaults = (getattr(plain.weights, part), getattr(plain.last_weights, part))
    with fields.unless(reason):
        first, last = _two(key, Number(label, help, 0.0, 0.0, 1.0), (first, last), defaults)
    weights = replace(settings.weights, **{part: first})
    last_weights = replace(settings.last_weights, **{part: last})
    return replace(settings, weights=weights, last_weights=last_weights)


def _draw_rates(key: str, settings: Settings) -> Settings:
    plain, help = type(settings)(), _help_of(settings)["learning_rate"]
    first, last = _two(
        key,
        Number("Learning rate", help, 0.0, _LEAST_RATE, 1.0),
        (settings.learning_rate, settings.last_learning_rate),
        (plain.learning_rate, plain.last_learning_rate),
    )
    return replace(settings, learning_rate=first, last_learning_rate=last)


def _draw_batch(key: str, settings: Settings, views: int) -> Settings:
    """How many views a step looks at; it does not change on the way."""
    most = max(views, settings.batch_size, 1)
    help = _help_of(settings)["batch_size"]
    reason = "" if most > 1 else "It is of use with several photos."
    with fields.unless(reason):
        fields.label("Batch size")
        shown = "all" if settings.batch_size == 0 else "%d"
        flags = imgui.SliderFlags_.always_clamp
        with _slim():
            changed, batch = imgui.slider_int(
                f"##{key} Batch size", settings.batch_size, 0, most, shown, flags
            )
        fields.tooltip(help)
    batch = fields.resettable(f"{key} Batch size", batch if changed else settings.batch_size, 0)
    return replace(settings, batch_size=batch)


@contextmanager
def _slim() -> Iterator[None]:
    """A handle over which the number of a short bar can still be read."""
    imgui.push_style_color(
        imgui.Col_.slider_grab, imgui.get_style_color_vec4(imgui.Col_.tab_selected)
    )
    imgui.push_style_var(imgui.StyleVar_.grab_min_size, fields.em(0.35))
    try:
        yield
    finally:
        imgui.pop_style_var()
        imgui.pop_style_color()


def _help_of(settings: ProjectorSettings | TuningSettings) -> Mapping[str, str]:
    kind: type = type(settings)
    return comments_of(kind)


def _columns() -> tuple[float, float]:
    """Width of either column and the space between, px."""
    between = imgui.get_style().item_inner_spacing.x
    return (imgui.get_content_region_avail().x - between) / 2, between


def _two(
    key: str, number: Number, values: tuple[float, float], defaults: tuple[float, float]
) -> tuple[float, float]:
    """A number at the start and at the end, each on a logarithmic bar."""
    fields.label(number.label)
    width, between = _columns()
    result = []
    for which, value, default in zip(("start", "end"), values, defaults, strict=True):
        if which == "end":
            imgui.same_line(0, between)
        imgui.set_next_item_width(width)
        name = f"{key} {number.label} {which}"
        flags = imgui.SliderFlags_.always_clamp | imgui.SliderFlags_.logarithmic
        # The digits of the format decide how far down the bar reaches.
        with _slim():
            changed, new = imgui.slider_float(
                f"##{name}", value, number.low, number.high, "%.5g", flags
            )
        fields.tooltip(f"{number.help}\nAt the {which}. Ctrl+click to type.")
        value = float(f"{number.limited(new):.3g}") if changed else value
        result.append(fields.resettable(name, value, default, "%.5g"))
    return result[0], result[1]


# ---- the rest


def _more_of(names: list[str]) -> list[str]:
    rest = [name for name in names if name not in _ABOVE]
    return [*(n for n in _MORE if n in rest), *(n for n in rest if n not in _MORE)]


def _draw_more(settings: Settings) -> Settings:
    for name in _more_of([entry.name for entry in fields_of(settings)]):
        reason = ""
        if name == "candidates" and getattr(settings, "start", "") == "average":
            reason = "It begins at the average head."
        with fields.unless(reason):
            settings = replace(settings, **{name: _control(settings, name)})
    return settings


def _control(settings: ProjectorSettings | TuningSettings, name: str) -> Any:
    """The control of one setting under More."""
    value, default = getattr(settings, name), getattr(type(settings)(), name)
    help = _help_of(settings).get(name, "")
    if name == "resolution":
        options = {side: f"{side} px" for side in sorted({*_RESOLUTIONS, value})}
        return fields.combo("Picture size", help, value, options, default=default)
    if name == "start":
        return fields.combo("Begin at", help, value, _STARTS, default=default)
    if name == "per_block":
        return fields.segmented("Latent", help, value, _SPACES, default=default)
    label = name.replace("_", " ").capitalize()
    if isinstance(default, bool):
        return fields.check(label, help, value, default)
    if isinstance(default, int):
        label, low, high, step = _COUNTS.get(name, (label, 0, 2**31 - 1, 1))
        return fields.whole(Number(label, help, default, low, high), value, step)
    if isinstance(default, float):
        assert isinstance(value, float)
        label, most = _SHARES.get(name, (label, 1.0))
        number = Number(label, help, default, 0.0, most, "%.5g", log=True)
        new = fields.slider(number, value)
        return float(f"{new:.3g}") if new != value else value
    assert isinstance(default, str), f"{name} has no control"
    return fields.text(label, help, value)
