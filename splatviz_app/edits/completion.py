"""What a script could go on with: the names it knows, found from the text before the cursor."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from splatviz_app.edits.namespace import MEMBERS, NAMES

_WORD = re.compile(r"(?:([A-Za-z_]\w*)\.)?([A-Za-z_]\w*)?$")
_NAME = re.compile(r"[A-Za-z_]\w{2,}")
_CAMERA = {
    "eye": "Where the camera stands. [3]",
    "cam_to_world": "Its pose; x right, y down, z forward. [4, 4]",
    "focal": "Focal length in image heights.",
}
_BUILTINS = (
    "abs",
    "enumerate",
    "float",
    "int",
    "len",
    "list",
    "max",
    "min",
    "range",
    "round",
    "sum",
    "zip",
)
_MOST = 60


@dataclass(frozen=True)
class Completion:
    """Words that fit, best first, and how much of them stands there."""

    typed: str  # the part of the word before the cursor
    words: tuple[tuple[str, str], ...] = ()  # each with a sentence, or nothing

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to add: no word fits, or the only one stands there."""
        return not self.words or [word for word, _ in self.words] == [self.typed]


def complete(before: str, text: str, sliders: Iterable[str] = ()) -> Completion:
    """Find the words that the cursor may be in the middle of.

    Args:
        before: The line up to the cursor.
        text: All of the script; its own names are offered as well.
        sliders: Names of the sliders.
    """
    if _is_in_comment_or_string(before):
        return Completion("")
    found = _WORD.search(before)
    owner, typed = (found[1], found[2] or "") if found else (None, "")
    if owner is None and before.removesuffix(typed).endswith("."):
        return Completion("")  # an attribute of something that is not known
    words = _members(owner, tuple(sliders)) if owner else _names(text, typed)
    return Completion(typed, _fitting(typed, words)[:_MOST])


def _fitting(typed: str, words: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those that begin with what was typed, then those that hold it; in their order."""
    wanted = typed.lower()
    plain = wanted.lstrip("_")

    def rank(word: str) -> int:
        word = word.lower()
        if word.startswith(wanted):
            return 0
        if word.lstrip("_").startswith(plain):
            return 1
        return 2 if len(plain) > 1 and plain in word else 3

    ranked = sorted((rank(word), place, word) for place, word in enumerate(words))
    return tuple((word, words[word]) for how, _, word in ranked if how < 3)


def _members(owner: str, sliders: tuple[str, ...]) -> Mapping[str, str]:
    if owner == "gs":
        return {name.partition("(")[0]: about for name, about in MEMBERS.items()}
    if owner == "slider":
        return dict.fromkeys(sliders, "The value of this slider.")
    if owner == "camera":
        return _CAMERA
    return _of_module(owner)


@cache
def _of_module(name: str) -> Mapping[str, str]:
    module = {"torch": torch, "np": np, "math": math}.get(name)
    public = [word for word in dir(module) if not word.startswith("_")] if module else []
    # torch has a thousand names; those that compute are written in small letters.
    return dict.fromkeys((word for word in public if word.islower()), "")


def _names(text: str, typed: str) -> Mapping[str, str]:
    words = dict(NAMES)
    own = (word for word in _NAME.findall(text) if word != typed)
    for word in (*keyword.kwlist, *_BUILTINS, *own):
        words.setdefault(word, "")
    return words


def _is_in_comment_or_string(before: str) -> bool:
    """Whether a line up to the cursor ends inside of a comment or a string; of one line."""
    quote = ""
    for i, letter in enumerate(before):
        if quote:
            if letter == quote and before[i - 1] != "\\":
                quote = ""
        elif letter in "'\"":
            quote = letter
        elif letter == "#":
            return True
    return bool(quote)
