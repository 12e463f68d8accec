"""`EditStack`: all edits of a head and the sliders of their scripts, as a document holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from splatviz_app.edits.namespace import Value
from splatviz_app.edits.script import Script
from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.edits.tools import (
    CropBox,
    CropSphere,
    DeleteByOpacity,
    DeleteBySize,
    DeleteLevels,
    Exposure,
    Hue,
    Opacity,
    Saturation,
    Scale,
    Tint,
)
from splatviz_app.edits.values import CodeEdit, Slider

# Every kind of edit, as the menu lists them; files name them by their classes.
AnyEdit = (
    CodeEdit
    | Opacity
    | Scale
    | Saturation
    | Exposure
    | Hue
    | Tint
    | CropBox
    | CropSphere
    | DeleteLevels
    | DeleteBySize
    | DeleteByOpacity
    | DeleteSelected
)
KINDS: tuple[type[AnyEdit], ...] = get_args(AnyEdit)


@dataclass(frozen=True)
class EditStack:
    """All edits of a head, from the first applied to the last, and the sliders of the scripts."""

    edits: tuple[AnyEdit, ...] = ()
    sliders: tuple[Slider, ...] = ()

    def effective(self) -> EditStack:
        """Only what shows: edits that are on, and the sliders that their scripts use."""
        edits = tuple(edit for edit in self.edits if edit.enabled)
        scripts = _scripts(edits)
        used = {name for script in scripts for name in script.sliders}
        blind = any("slider" in script.reads for script in scripts if not script.sliders)
        sliders = self.sliders if blind else tuple(s for s in self.sliders if s.name in used)
        return EditStack(edits, sliders)

    @property
    def uses_time(self) -> bool:
        """Whether the head changes by itself."""
        shown = self.effective()
        moving = any(slider.animation is not None for slider in shown.sliders)
        return moving or self.reads("t")

    @property
    def uses_camera(self) -> bool:
        """Whether the head changes with the camera."""
        return self.reads("camera")

    @property
    def uses_selection(self) -> bool:
        """Whether the head changes with the selection."""
        return self.reads("sel")

    def reads(self, name: str) -> bool:
        """Whether a script that is on takes a name from outside."""
        scripts = _scripts(tuple(edit for edit in self.edits if edit.enabled))
        return any(name in script.reads for script in scripts)

    def slider_values(self, time: float) -> dict[str, Value]:
        """Each slider's value after `time` seconds, by name."""
        return {slider.name: slider.at(time) for slider in self.sliders}

    # ---- changed stacks

    def added(self, edit: AnyEdit, place: int | None = None) -> EditStack:
        """With an edit more, at the end or at a place; it gets a key of its own."""
        key = 1 + max((known.key for known in self.edits), default=0)
        place = len(self.edits) if place is None else place
        new = replace(edit, key=key)
        return replace(self, edits=(*self.edits[:place], new, *self.edits[place:]))

    def changed(self, edit: AnyEdit) -> EditStack:
        """With an edit in the place of the one of its key."""
        edits = tuple(edit if known.key == edit.key else known for known in self.edits)
        return replace(self, edits=edits)

    def removed(self, key: int) -> EditStack:
        """Without an edit."""
        return replace(self, edits=tuple(edit for edit in self.edits if edit.key != key))

    def moved(self, key: int, place: int) -> EditStack:
        """With an edit at another place."""
        edit = self.find(key)
        if edit is None:
            return self
        others = [known for known in self.edits if known.key != key]
        others.insert(min(max(place, 0), len(others)), edit)
        return replace(self, edits=tuple(others))

    def find(self, key: int) -> AnyEdit | None:
        """The edit of a key."""
        return next((edit for edit in self.edits if edit.key == key), None)

    def with_slider(self, slider: Slider, name: str | None = None) -> EditStack:
        """With a slider in the place of the one called `name` (its own name if None), or as a new one."""
        name = slider.name if name is None else name
        if all(known.name != name for known in self.sliders):
            return replace(self, sliders=(*self.sliders, slider))
        sliders = tuple(slider if known.name == name else known for known in self.sliders)
        return replace(self, sliders=sliders)

    def with_slider_renamed(self, old: str, new: str) -> EditStack:
        """With another name for a slider, in the scripts as well."""
        slider = next(known for known in self.sliders if known.name == old)
        stack = self.with_slider(replace(slider, name=new), old)
        for edit in stack.edits:
            if isinstance(edit, CodeEdit):
                stack = stack.changed(replace(edit, code=with_names(edit.code, {old: new})))
        return stack

    @property
    def missing_sliders(self) -> tuple[str, ...]:
        """Names of sliders that scripts which are on read and that do not exist."""
        known = {slider.name for slider in self.sliders}
        scripts = _scripts(tuple(edit for edit in self.edits if edit.enabled))
        return tuple(sorted({name for script in scripts for name in script.sliders} - known))

    def without_slider(self, name: str) -> EditStack:
        """Without a slider."""
        return replace(self, sliders=tuple(s for s in self.sliders if s.name != name))


NO_EDITS = EditStack()


def with_names(code: str, names: Mapping[str, str]) -> str:
    """Code in which each `slider.x` is called as `names` says."""

    def renamed(found: re.Match[str]) -> str:
        return f"{found[1]}{names.get(found[2], found[2])}"

    return re.sub(r"(\bslider\s*\.\s*)([A-Za-z_]\w*)", renamed, code)


def _scripts(edits: tuple[AnyEdit, ...]) -> list[Script]:
    read = [edit.read() for edit in edits if isinstance(edit, CodeEdit)]
    return [script for script in read if script is not None]
