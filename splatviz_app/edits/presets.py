"""Edits to keep and use again: those that come with the program, and the user's, a JSON file each.

A preset's code is only text until the user agrees to it (`CodeHistory.knows`), wherever it came from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renderer.errors import LoadError, SaveError
from renderer.files import atomic_write, unused_name
from splatviz_app.edits.stack import AnyEdit, EditStack, with_names
from splatviz_app.edits.values import CodeEdit, Slider, why_not_a_name
from splatviz_app.projects.frozen_json import InlineStore, Misfit, decode, encode

FORMAT = 1
_VERSION = "splathead_preset"  # the name of the format's number in the JSON
_MOST_BYTES = 2**22  # of a file
_LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class Preset:
    """Edits under a name, with the sliders of their scripts."""

    name: str
    # A sentence about what they do.
    about: str = ""
    edits: tuple[AnyEdit, ...] = ()
    sliders: tuple[Slider, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each script."""
        return tuple(edit.code for edit in self.edits if isinstance(edit, CodeEdit))

    def stack(self) -> EditStack:
        """Its edits alone."""
        return added_preset(EditStack(), self)


def preset_of(stack: EditStack, key: int, name: str) -> Preset:
    """Make a preset of one edit of a stack, with the sliders that it uses."""
    edit = stack.find(key)
    assert edit is not None, key
    alone = EditStack((replace(edit, enabled=True),), stack.sliders).effective()
    return Preset(name, "", (replace(edit, enabled=True, key=0, name=name),), alone.sliders)


def added_preset(stack: EditStack, preset: Preset) -> EditStack:
    """Add a preset at the end of a stack; sliders whose names are taken get others, in its code too."""
    names = {}
    for slider in preset.sliders:
        taken = [known.name for known in stack.sliders]
        name, number = slider.name, 2
        while name in taken:
            name, number = f"{slider.name}_{number}", number + 1
        names[slider.name] = name
        stack = stack.with_slider(replace(slider, name=name))
    for edit in preset.edits:
        if isinstance(edit, CodeEdit):
            edit = replace(edit, code=with_names(edit.code, names))
        stack = stack.added(replace(edit, name=edit.name or preset.name))
    return stack


class PresetFolder:
    """The user's presets. Read when first asked for; every change is a file at once."""

    def __init__(self, folder: Path | None) -> None:
        """Keep them in a folder; only in memory if None."""
        self._folder = folder
        self._files: dict[Path, Preset] | None = None
        self._in_memory = 0  # how many there were without a folder

    @property
    def presets(self) -> tuple[Preset, ...]:
        """All, by name."""
        return tuple(sorted(self._read().values(), key=lambda preset: preset.name.lower()))

    def save(self, preset: Preset) -> Preset:
        """Keep a preset; if its name is taken it gets a number.

        Raises:
            SaveError: The folder cannot be written.
        """
        preset = replace(preset, name=self._free_name(preset.name))
        files = self._read()
        files[self._write(preset, None)] = preset
        return preset

    def rename(self, preset: Preset, name: str) -> Preset:
        """Give a preset another name.

        Raises:
            SaveError: The folder cannot be written.
        """
        path = self._path_of(preset)
        renamed = replace(preset, name=self._free_name(name))
        self._read()[self._write(renamed, path)] = renamed
        return renamed

    def delete(self, preset: Preset) -> None:
        """Forget a preset.

        Raises:
            SaveError: Its file cannot be removed.
        """
        path = self._path_of(preset)
        if self._folder is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SaveError(path, f"cannot be removed ({error.strerror}).") from error
        del self._read()[path]

    def add_from(self, path: str | Path) -> tuple[Preset, ...]:
        """Keep the presets of a file: one of ours, or a presets.json of the reference tool.

        Raises:
            LoadError: It is neither.
            SaveError: The folder cannot be written.
        """
        return tuple(self.save(preset) for preset in read_presets(path))

    # ---- inside

    def _path_of(self, preset: Preset) -> Path:
        return next(path for path, known in self._read().items() if known == preset)

    def _free_name(self, name: str) -> str:
        taken = {preset.name for preset in self._read().values()}
        wanted = name = " ".join(name.split())[:_LONGEST_NAME] or "Preset"
        number = 2
        while name in taken:
            name, number = f"{wanted} {number}", number + 1
        return name

    def _write(self, preset: Preset, path: Path | None) -> Path:
        """Write into a new file, or into the one that is there."""
        if self._folder is None:
            self._in_memory += 1
            return path or Path(str(self._in_memory))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(self._folder, f"cannot be created ({error.strerror}).") from error
        path = path or unused_name(self._folder / f"{_file_name(preset.name)}.json")
        with atomic_write(path) as file:
            file.write(preset_text(preset).encode())
        return path

    def _read(self) -> dict[Path, Preset]:
        if self._files is None:
            self._files = {}
            paths = sorted(self._folder.glob("*.json")) if self._folder is not None else []
            for path in paths:
                try:
                    (self._files[path],) = read_presets(path)
                except (LoadError, ValueError):
                    continue  # a file of another kind lies there; it stays as it is
        return self._files


def preset_text(preset: Preset) -> str:
    """A preset as JSON."""
    entry = {_VERSION: FORMAT, **encode(preset, Preset, InlineStore())}
    return json.dumps(entry, ensure_ascii=False, allow_nan=False, indent=1)


def read_presets(path: str | Path) -> list[Preset]:
    """Read a file of ours, or a presets.json of the reference tool; nothing in it runs.

    Raises:
        LoadError: It is neither, or damaged.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise LoadError(path, f"cannot be read ({error.strerror}).") from error
    if len(content) > _MOST_BYTES:
        raise LoadError(path, "is too large for a file of presets.")
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LoadError(path, "holds no presets: it is not JSON.") from error
    if not isinstance(entry, dict):
        raise LoadError(path, "holds no presets.")
    if _VERSION in entry:
        return [_from_json(path, entry)]
    presets = list(_from_reference(entry))
    if not presets:
        raise LoadError(path, "holds no presets, neither ours nor the reference tool's.")
    return presets


def _from_json(path: str | Path, entry: dict[str, Any]) -> Preset:
    version = entry.pop(_VERSION)
    if version != FORMAT:
        raise LoadError(path, "was written by a later version of Splathead.")
    try:
        preset = decode(entry, Preset, InlineStore(), "the preset")
    except Misfit as error:
        raise LoadError(path, f"is damaged: {error}.") from error
    assert isinstance(preset, Preset)
    return preset


def _from_reference(entry: dict[str, Any]) -> Iterator[Preset]:
    """The presets of {name: {"edit_text": …, "slider": [{"key", "value", "min_value", "max_value"}]}}."""
    for name, value in entry.items():
        code = value.get("edit_text") if isinstance(value, dict) else None
        if not isinstance(code, str):
            continue
        rows = value.get("slider")
        sliders: dict[str, Slider] = {}
        for row in rows if isinstance(rows, list) else []:
            slider = _slider_from_reference(row)
            if slider is not None:
                sliders[slider.name] = slider  # of two of one name the last one counts
        code = code.replace("\r\n", "\n").expandtabs(4)
        yield Preset(
            name[:_LONGEST_NAME], "", (CodeEdit(code=code, name=name),), tuple(sliders.values())
        )


def _slider_from_reference(row: object) -> Slider | None:
    """A slider, if the row is one and code can name it."""
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        return None
    numbers = [row.get(field) for field in ("value", "min_value", "max_value")]
    if why_not_a_name(row["key"]) or not all(map(_is_number, numbers)):
        return None
    value, low, high = (float(number) for number in numbers if number is not None)
    low, high = min(low, high), max(low, high)
    return Slider(row["key"], min(max(value, low), high), low, high)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-.").lower()[:40] or "preset"
