"""Edits, scripts among them, and the sliders of scripts: frozen, hashable, without tensors."""

from __future__ import annotations

import colorsys
import keyword
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch

from renderer.camera import Camera
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.namespace import ScriptSplats, Value, script_names
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.script import Script, read_script
from splatviz_app.edits.splats import EditedSplats

SliderKind = Literal["float", "int", "bool", "color"]
Repeat = Literal["loop", "ping-pong"]


_MOST_PRINTED = 2000  # letters of one script


@dataclass(frozen=True)
class Animation:
    """How a slider moves by itself from its lowest value to its highest."""

    # loop: begins anew; ping-pong: goes back the way it came.
    repeat: Repeat = "ping-pong"
    # Seconds of one round, there and back.
    seconds: float = 4.0
    # Start and end each way gently.
    ease: bool = True

    def at(self, time: float) -> float:
        """How far it has come after `time` seconds: 0 to 1."""
        part = (time / max(self.seconds, 1e-3)) % 1.0
        if self.repeat == "ping-pong":
            part = 1 - abs(2 * part - 1)
        return part * part * (3 - 2 * part) if self.ease else part


@dataclass(frozen=True)
class Slider:
    """A value that scripts read as `slider.name`."""

    name: str
    value: Value = 0.0  # of its kind; a colour is RGB in [0, 1]
    low: float = 0.0
    high: float = 1.0
    kind: SliderKind = "float"
    animation: Animation | None = None

    def at(self, time: float) -> Value:
        """The value after `time` seconds."""
        if self.animation is None:
            return self.limited(self.value)
        part = self.animation.at(time)
        if self.kind == "color":
            color = self.limited(self.value)
            assert isinstance(color, tuple), color
            hue, saturation, brightness = colorsys.rgb_to_hsv(*color)
            return colorsys.hsv_to_rgb((hue + part) % 1.0, saturation, brightness)
        return self.limited(self.low + (self.high - self.low) * part)

    def limited(self, value: Value) -> Value:
        """The nearest value that it can have."""
        if self.kind == "color":
            channels = value if isinstance(value, tuple) else (float(value),) * 3
            red, green, blue = (min(max(channel, 0.0), 1.0) for channel in channels)
            return (red, green, blue)
        number = sum(value) / 3 if isinstance(value, tuple) else float(value)
        if self.kind == "bool":
            return number >= 0.5 * (self.low + self.high) if self.high > self.low else number > 0
        number = min(max(number, self.low), self.high)
        return round(number) if self.kind == "int" else float(number)


def why_not_a_name(name: str, taken: tuple[str, ...] = ()) -> str:
    """Why a slider cannot be called so, or nothing."""
    if not name:
        return "A slider needs a name."
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        return f"{name!r} cannot be a name in Python: use letters, digits and _, beginning with a letter."
    return f"There is a slider {name!r} already." if name in taken else ""


@dataclass(frozen=True, eq=False)
class EditContext:
    """What edits are applied with besides the head."""

    runner: ScriptRunner
    camera: Camera
    time: float = 0.0  # seconds
    sliders: Mapping[str, Value] = field(default_factory=dict)
    # Says which splats are selected: [N] bool. Nothing is if None.
    selected: Callable[[EditedSplats], torch.Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change of the head. A kind of edit is a frozen record with `apply`."""

    title: ClassVar[str] = ""  # of the kind, as the menu shows it
    help: ClassVar[str] = ""

    # What the user calls it; empty for its kind.
    name: str = ""
    # Whether it is applied.
    enabled: bool = True
    # Tells it from the others of its stack, whatever its name and place; 0 before it is in one.
    key: int = 0

    @property
    def shown_name(self) -> str:
        """Its name, or that of its kind."""
        return self.name or self.title

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """The head after the edit; `splats` stays as it is.

        Raises:
            EditError: It cannot be applied.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CodeEdit(Edit):
    """A script."""

    title: ClassVar[str] = "Script"
    help: ClassVar[str] = "Python that runs on the head just before it is drawn."

    code: str = ""

    def read(self) -> Script | None:
        """The text as Python, or None if it is not."""
        try:
            return read_script(self.code)
        except EditError:
            return None

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Run it on a copy."""
        script = read_script(self.code)
        return context.runner.run(lambda: _run(script, splats, context))


class Printed:
    """`print` of a script: keeps the first letters instead of writing them to a terminal."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.text = ""

    def __call__(self, *values: object, sep: str = " ", end: str = "\n", **_: object) -> None:
        """Take what is printed."""
        if len(self.text) < _MOST_PRINTED:
            self.text = (self.text + sep.join(map(str, values)) + end)[:_MOST_PRINTED]


def _run(script: Script, splats: EditedSplats, context: EditContext) -> EditedSplats:
    """Run a script; on the scripts' thread."""
    device = splats.gaussians.means.device
    # What it makes, torch.tensor(…), is made where the head is.
    there = nullcontext() if device.type == "cpu" else torch.device(device)
    with torch.no_grad(), there:
        gs, printed = ScriptSplats(splats), Printed()
        names = names_for(gs, script, splats, context) | {"print": printed}
        try:
            script.run(names)
            after = gs.finished()
            return replace(after, printed=after.printed + printed.text) if printed.text else after
        finally:
            names.clear()  # the head must not live on in functions that know their names


def names_for(
    gs: ScriptSplats, script: Script, splats: EditedSplats, context: EditContext
) -> dict[str, Any]:
    """The names that a script or an expression begins with; `gs` shows `splats`."""
    names = script_names(gs, context.sliders, context.camera, context.time)
    if "sel" in script.reads:
        nothing = torch.zeros(splats.count, dtype=torch.bool, device=splats.gaussians.means.device)
        names["sel"] = nothing if context.selected is None else context.selected(splats)
    return names
