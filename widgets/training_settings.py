"""The settings of a training, all of them: the useful ones first, the others by a search."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from imgui_bundle import imgui

from splatviz_app.training_draft import Draft, setting_help
from training.config import PRESETS, MetricName, TrainingConfig
from widgets import fields
from widgets.fields import Number

# Name of the setting: its label. The order is that of the panel.
LABELS = {
    "kimg": "Length",
    "batch": "Batch",
    "microbatch": "At once",
    "views": "Views",
    "generator_lr": "G rate",
    "discriminator_lr": "D rate",
    "r1_gamma": "R1 weight",
    "mirror": "Mirror",
    "random_background": "Backdrops",
    "metrics": "Measure",
    "grid_kimg": "Samples every",
    "checkpoint_kimg": "Save every",
    "metric_kimg": "Measure every",
    "seed": "Seed",
    "resolution": "Picture size",
    "points": "Points",
    "width": "Width",
    "first_blocks": "First blocks",
    "discriminator_base": "D channels",
    "discriminator_max": "D widest",
    "betas": "Adam's betas",
    "generator_clip": "G clip",
    "discriminator_clip": "D clip",
    "r1_interval": "R1 every",
    "neighbour_weight": "kNN weight",
    "neighbours": "kNN count",
    "centre_weight": "Centre weight",
    "blur_sigma": "Blur",
    "blur_kimg": "Blur until",
    "ema_kimg": "EMA half-life",
    "ema_ramp_up": "EMA ramp-up",
    "w_avg_decay": "Mean w decay",
    "background": "Background",
    "bfloat16": "bfloat16",
    "channels_last": "Channels last",
    "compile": "Compile",
    "status_kimg": "Status every",
    "metric_images": "Made pictures",
    "metric_real": "Real pictures",
    "keep": "Keep",
}
_USEFUL = 14  # of them are shown without being asked for
_METRICS: dict[MetricName, str] = {
    "fid": "FID",
    "fid3d": "FID-3D",
    "kid": "KID",
    "stand-in": "Stand-in",
}
_UNITS = {"blur_sigma": " px", "resolution": " px"}
_MOST = 1e9
_PLAIN = TrainingConfig()


class SettingsEditor:
    """Draws the settings of a draft, and returns the draft as it was changed."""

    def __init__(self) -> None:
        """Begin without a search."""
        self._search = ""

    def draw(self, draft: Draft, fixed: Collection[str] = (), why_fixed: str = "") -> Draft:
        """Draw all settings that the search asks for.

        Args:
            draft: Whose settings.
            fixed: Those that cannot be changed.
            why_fixed: The reason.
        """
        self._search = fields.text(
            "Find", "Part of a setting's name or of its explanation.", self._search, "a setting"
        )
        words = self._search.lower().split()
        wanted = [name for name in LABELS if all(word in _searched(name) for word in words)]
        if not wanted:
            fields.muted("No setting is called so.")
        useful = list(LABELS)[:_USEFUL]
        for name in wanted if words else useful:
            draft = _row(draft, name, fixed, why_fixed)
        if not words and imgui.tree_node(f"{len(LABELS) - _USEFUL} more settings##more"):
            imgui.unindent()
            for name in wanted[_USEFUL:]:
                draft = _row(draft, name, fixed, why_fixed)
            imgui.indent()
            imgui.tree_pop()
        return draft


def draw_setting(draft: Draft, name: str) -> Draft:
    """Draw the row of one setting."""
    value, default = draft.value(name), getattr(PRESETS[draft.preset], name)
    if isinstance(getattr(_PLAIN, name), float):  # a preset may write 100 for 100.0
        value, default = float(value), float(default)
    return draft.with_setting(name, _control(name, value, default))


def _row(draft: Draft, name: str, fixed: Collection[str], why_fixed: str) -> Draft:
    with fields.unless(why_fixed if name in fixed else ""):
        return draw_setting(draft, name)


def _control(name: str, value: object, default: object) -> object:
    """The control for a setting's kind of value."""
    shown, help = LABELS[name], _help(name)
    if name == "metrics":
        assert isinstance(value, tuple)
        return _metrics(shown, help, value)
    if name == "background":
        return fields.color(shown, help, value, default)  # type: ignore[arg-type]
    if isinstance(default, tuple):
        number = Number(shown, help, default[0], 0.0, 1.0, "%.4g", 0.001)
        return tuple(float(f"{x:.6g}") for x in fields.pair(number, value))  # type: ignore[arg-type]
    if isinstance(default, bool):
        return fields.check(shown, help, bool(value), default)
    assert isinstance(default, int | float)
    assert isinstance(value, int | float)
    if isinstance(default, int):
        return fields.whole(Number(shown, help, default, 0, _MOST), int(value))
    unit = " kimg" if name.endswith("kimg") else _UNITS.get(name, "")
    return fields.typed(Number(shown, help, default, 0.0, _MOST, f"%g{unit}"), value)


def _metrics(shown: str, help: str, value: tuple[MetricName, ...]) -> tuple[MetricName, ...]:
    """A tick for each; they keep their order, and the last one stays."""
    fields.label(shown)
    imgui.begin_group()
    width = imgui.get_content_region_avail().x / 2
    chosen: list[MetricName] = []
    for number, (name, says) in enumerate(_METRICS.items()):
        if number % 2:
            imgui.same_line(width)  # from the group's left edge
        if imgui.checkbox(f"{says}##metric", name in value)[1]:
            chosen.append(name)
        fields.tooltip(help)
    imgui.end_group()
    return tuple(chosen) or value


@cache
def _help(name: str) -> str:
    said = setting_help().get(name, "")
    return f"{said}\nOn the command line: --{name.replace('_', '-')}"


@cache
def _searched(name: str) -> str:
    return f"{name} {name.replace('_', ' ')} {LABELS[name]} {setting_help().get(name, '')}".lower()
