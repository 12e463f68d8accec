"""Questions about what is shown: expressions, evaluated on copies, off the window's thread, in limited time.

An evaluator is an engine of its own: the newest inquiry wins, a loop without end is stopped, and nothing
that an expression does changes the head.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from renderer.rasterize import Rendered
from splatviz_app.answers import Plot, View, view_of
from splatviz_app.edits.completion import Completion, complete
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.namespace import ScriptSplats, script_names
from splatviz_app.edits.runner import ScriptRunner
from splatviz_app.edits.script import (
    Script,
    is_unfinished,
    read_expression,
    read_script,
)
from splatviz_app.edits.values import Slider
from splatviz_app.engine import Engine
from splatviz_app.pipeline import RenderResult
from splatviz_app.selection import selected_rows
from splatviz_app.value_tree import Path

_SECONDS = 10.0  # that one expression may take
_MOST_PRINTED = 2000  # letters
_RENDER = ("image", "color", "alpha", "depth", "size")

ONLY_ROOT: frozenset[Path] = frozenset({()})


@dataclass(frozen=True)
class Question:
    """An expression, or statements that end with one, and how its value is looked at."""

    text: str
    plot: Plot = field(default_factory=Plot)
    # The parts of its tree that are open.
    opened: frozenset[Path] = ONLY_ROOT


@dataclass(frozen=True)
class Inquiry:
    """Questions about one picture."""

    questions: tuple[Question, ...]
    result: RenderResult
    # All there are, also those that no edit uses.
    sliders: tuple[Slider, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a question: a view, or an error."""

    question: Question
    view: View | None
    error: EditError | None
    printed: str  # what it printed
    seconds: float


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers to an inquiry, in the order of its questions."""

    inquiry: Inquiry
    answers: tuple[Answer, ...]

    def to(self, question: Question) -> Answer | None:
        """The answer to a question, else to one of the same text about another view of it."""
        return next((a for a in self.answers if a.question == question), None) or next(
            (a for a in self.answers if a.question.text == question.text), None
        )


class RenderedView:
    """`render`: the picture as it was drawn. Every reading is a copy."""

    def __init__(self, rendered: Rendered, image: np.ndarray) -> None:
        """Show what was rasterized, and the bytes on screen. [H, W, 4]"""
        self._rendered, self._image = rendered, image

    def __dir__(self) -> list[str]:
        return list(_RENDER)

    def __repr__(self) -> str:
        return "render: {} x {} px".format(*self.size)

    @property
    def image(self) -> Tensor:
        """The picture on screen. [3, H, W] in [0, 1]"""
        planes = torch.from_numpy(self._image[..., :3].copy()).permute(2, 0, 1)
        return planes.to(self._rendered.color.device).float() / 255

    @property
    def color(self) -> Tensor:
        """What was rasterized, over the background. [3, H, W]"""
        return self._rendered.color.clone()

    @property
    def alpha(self) -> Tensor:
        """How much of each pixel the head covers. [H, W] in [0, 1]"""
        return self._rendered.alpha.clone()

    @property
    def depth(self) -> Tensor:
        """Distance of what is seen, world units along z; NaN where there is nothing. [H, W]"""
        seen = self._rendered.alpha > 0.5
        return torch.where(seen, self._rendered.expected_depth, torch.nan)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self._image.shape[1], self._image.shape[0]


def why_not_ready(text: str) -> str:
    """Why a text is not evaluated yet, or nothing if it can be; nothing is run to know."""
    if not text.strip():
        return "Type an expression."
    if is_unfinished(text):
        return "Not finished yet."
    try:
        read_script(text)
    except EditError as error:
        return str(error)
    return ""


def words_after(before: str, text: str, sliders: Iterable[str] = ()) -> Completion:
    """Find the words that the cursor may be in the middle of: those of scripts, and `render`.

    Args:
        before: The line up to the cursor.
        text: All of it.
        sliders: Names of the sliders.
    """
    inside = re.search(r"(?<![\w.])render\.(\w*)$", before)
    if inside is None:
        return complete(before, f"{text} render", sliders)  # a name that the text could have
    typed = inside[1]
    return Completion(typed, tuple((name, "") for name in _RENDER if name.startswith(typed)))


class Evaluator(Engine[Inquiry, Answers]):
    """Answers the newest inquiry on a thread of its own; `frame` holds the newest answers."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        super().__init__(self._answer_all)
        self.runner = ScriptRunner(_SECONDS)
        # What was asked about last, and the answers.
        self._known: tuple[Inquiry | None, dict[Question, Answer]] = (None, {})

    def stop(self, patience: float = 10.0) -> None:
        """End the expression that runs now, and the thread."""
        self.runner.stop()
        super().stop(patience)

    def _answer_all(self, inquiry: Inquiry) -> Answers:
        subject, known = self._known
        # A question about the same is not asked twice: typing one does not repeat the others.
        kept = known if subject == replace(inquiry, questions=()) else {}
        answers: dict[Question, Answer] = {}
        for question in inquiry.questions:
            if question not in answers:
                answers[question] = kept.get(question) or self._answer(question, inquiry)
        self._known = (replace(inquiry, questions=()), answers)
        return Answers(inquiry, tuple(answers[question] for question in inquiry.questions))

    def _answer(self, question: Question, inquiry: Inquiry) -> Answer:
        begin, printed = time.perf_counter(), _Printed()
        view: View | None = None
        error: EditError | None = None
        try:
            text = _read(question.text)
            view = self.runner.run(lambda: _look(question, text, inquiry, printed))
        except EditError as caught:
            error = caught
        return Answer(question, view, error, printed.text, time.perf_counter() - begin)


# ---- inside


@torch.no_grad()
def _look(question: Question, text: _Text, inquiry: Inquiry, printed: _Printed) -> View:
    """Evaluate, and look at the value; on the scripts' thread, for both may run the user's code."""
    result, request, splats = inquiry.result, inquiry.result.request, inquiry.result.splats
    selected = selected_rows(request.selection, splats)
    names = script_names(
        ScriptSplats(splats),
        {slider.name: slider.at(request.time) for slider in inquiry.sliders},
        request.rig.camera(),
        request.time,
    )
    render = RenderedView(result.rendered, result.image)
    names |= {"sel": selected.clone(), "render": render, "print": printed}
    try:
        return text.look(names, question, selected.cpu().numpy())
    finally:
        names.clear()  # functions that the text made know them, and with them the head


class _Printed:
    """`print` of an expression: keeps the first letters instead of writing them to a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, *values: object, sep: str = " ", end: str = "\n", **_: object) -> None:
        self.text = (self.text + sep.join(map(str, values)) + end)[:_MOST_PRINTED]


@dataclass(frozen=True, eq=False)
class _Text:
    """A question's text as Python: statements, and the expression at its end."""

    statements: Script
    expression: Script | None
    line: int  # of the expression's beginning, from 0

    def look(self, names: dict[str, Any], question: Question, selected: np.ndarray) -> View:
        """The view of its value."""
        self.statements.run(names)
        if self.expression is None:
            return View("", "Done. End with an expression to see its value.")
        try:
            value = self.expression.evaluate(names)
        except EditError as error:
            raise EditError(error.message, error.line + self.line if error.line else 0) from error
        try:
            return view_of(value, question.plot, question.opened, selected)
        except Exception as error:  # looking runs the properties and reprs of the user
            kind = type(value).__name__
            raise EditError(f"this {kind} cannot be shown: {error}") from error


def _read(text: str) -> _Text:
    """Take a text apart.

    Raises:
        EditError: It is not Python; the line and why.
    """
    read_script(text)  # so that an error is that of the whole
    last = ast.parse(text).body[-1] if text.strip() else None
    if not isinstance(last, ast.Expr):
        return _Text(read_script(text), None, 0)
    lines = text.encode().splitlines(keepends=True)
    line, column = last.lineno - 1, last.col_offset  # the column counts bytes
    before = b"".join(lines[:line]) + lines[line][:column]
    after = lines[line][column:] + b"".join(lines[line + 1 :])
    return _Text(read_script(before.decode()), read_expression(after.decode()), line)
