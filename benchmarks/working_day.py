"""A working day of thirty steps in the real window; at its end the project is saved and opened again.

Finding a head, pushing it along components and a named direction, editing it by code, sliders and a preset,
keeping some, going back twenty steps and forward again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from imgui_bundle import imgui

from benchmarks.window_hand import WindowHand, in_window, unexpected
from splatviz_app.directions import amount_of
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from widgets.sliders import UNLOCKED

_K = imgui.Key
_CTRL, _SHIFT = int(_K.mod_ctrl), int(_K.mod_shift)
_SLIDER = "//Latent/**/##{}"
_CODE = "gs.rgb *= slider.x "  # the blank ends the word, and with it the list of words
_UNDONE = 20  # steps back, and forward again


@dataclass
class Day:
    """What came of it."""

    steps: list[str] = field(default_factory=list)
    identical_after_redo: bool = False  # picture and document
    undone: int = 0  # documents that undo went through, all different
    identical_after_reopening: bool = False
    errors: list[str] = field(default_factory=list)


def live_through(generator: Path, folder: Path, direction: str) -> Day:
    """Spend the day, in one window, and open what it left in another.

    Args:
        generator: Which has at least one direction.
        folder: Where the project goes, and everything else that is saved.
        direction: The name of one of its directions.
    """
    day = Day()
    project = folder / "day.splathead"
    shown: list[np.ndarray] = []

    def act(hand: WindowHand) -> None:
        for said in _steps(hand, generator, direction, project, day):
            day.steps.append(said)
            hand.settle()
        result = hand.session.result
        assert result is not None
        shown.append(result.image)

    session = new_session(Preferences(save_folder=str(folder)))
    in_window(session, act)
    reopened = new_session(Preferences(save_folder=str(folder)))

    def look(hand: WindowHand) -> None:
        reopened.open(project)
        hand.wait(lambda: reopened.picture is not None, "the picture of the reopened project")
        hand.settle()
        result = reopened.result
        assert result is not None
        shown.append(result.image)

    in_window(reopened, look)
    day.steps.append("open the project in another window")
    left, found = shown
    same = reopened.document.edits == session.document.edits
    day.identical_after_reopening = same and bool(np.array_equal(left, found))
    for each in (session, reopened):
        day.errors += [entry.text for entry in unexpected(list(each.log.entries))]
    return day


def _steps(
    hand: WindowHand, generator: Path, direction: str, project: Path, day: Day
) -> Iterator[str]:
    """Do the next step, then say which it was; the picture is waited for in between."""
    session = hand.session
    session.open(generator)
    hand.wait(lambda: session.picture is not None, "the first head")
    yield "open a generator"
    yield from _explore(hand)
    yield from _push(hand, direction)
    yield from _edit(hand)
    yield from _keep(hand)
    yield from _go_back(hand, day)
    session.project.save(project)
    hand.wait(lambda: not session.project.is_saving, "the saved project")
    assert session.project.path == project, session.log.last
    yield "save the project"


def _explore(hand: WindowHand) -> Iterator[str]:
    """Look at the head from elsewhere, and look for another one."""
    picture = hand.center("//Viewport/##picture")
    with _changes(hand, "rig"):
        hand.drag(*picture, 60, 12)
    yield "turn the head"
    with _changes(hand, "rig"):
        hand.move(*picture)
        hand.ctx.mouse_wheel_y(2.0)
    yield "go nearer"
    with _changes(hand, "view"):
        hand.show("Render")
        hand.enter("//Render/**/##Splat scale", 0.9)
    yield "smaller splats"
    with _changes(hand, "latent"):
        hand.move(*picture)
        hand.press(_K.space)
    yield "next seed"
    hand.show("Latent")
    with _changes(hand, "latent"):
        hand.drag(*hand.center("//Latent/**/##Pad"), 31, -17)
    yield "walk over the pad"
    with _changes(hand, "latent"):
        hand.enter("//Latent/**/##Truncation ψ", 0.8)
    yield "truncate"


def _push(hand: WindowHand, direction: str) -> Iterator[str]:
    """Move the head along components and a named direction."""
    session = hand.session
    with _changes(hand, "bookmarks"):
        hand.press(_CTRL, _K.b)
    yield "keep the head"
    hand.click("//Latent/##tabs/PCA")
    yield "find the components"
    with _changes(hand, "latent"):
        hand.drag(*hand.center(_SLIDER.format("Component 1")), 25, 0)
    yield "drag the first component"
    with _changes(hand, "latent"):
        hand.enter(_SLIDER.format("Component 2"), -1.5)
    assert amount_of(session.latent, "pca:1") == -1.5
    yield "type the second"
    with _changes(hand, "palettes"):
        hand.click(f"//Latent/**/{UNLOCKED}##Lock Component 1")
    yield "lock the first"
    with _changes(hand, "latent"):
        hand.click("//Latent/**/Randomise")
    yield "randomise the others"
    hand.click("//Latent/##tabs/Directions")
    with _changes(hand, "latent"):
        hand.enter(_SLIDER.format(direction), 0.75)
    yield f"move {direction}"


def _edit(hand: WindowHand) -> Iterator[str]:
    """Change the splats by code, by a tool and by a preset."""
    session = hand.session
    hand.show("Edit")
    with _changes(hand, "edits"):
        hand.click("//Edit/Add edit")
        hand.click("//$FOCUSED/Script##add")
    yield "add a script"
    with _changes(hand, "edits"):
        editor = hand.ctx.window_info("//Edit/##Code 1").window
        hand.move(editor.pos.x + 120, editor.pos.y + 20)
        hand.ctx.mouse_click(0)
        hand.type(_CODE)
    assert session.edits.edits[0].code == _CODE, session.edits  # type: ignore[union-attr]
    yield "type a line of code"
    with _changes(hand, "edits"):
        hand.click("//Edit/**/Add slider.x")
    yield "add the slider that it reads"
    with _changes(hand, "edits"):
        hand.enter("//Edit/**/##x", 0.85)
    yield "move the slider"
    with _changes(hand, "edits"):
        hand.click("//Edit/Add edit")
        hand.click("//$FOCUSED/Saturation##add")
    yield "add an edit without code"
    with _changes(hand, "edits"):
        hand.enter("//Edit/**/##Factor", 1.4)
    yield "more colour"
    with _changes(hand, "edits"):
        hand.click("//Edit/Presets")
        hand.click("//Edit/**/##Two inks")
        hand.click("//Edit/**/Add to stack")
    yield "add a preset"
    with _changes(hand, "edits"):
        hand.enter("//Edit/**/##gamma", 1.7)
    yield "move the preset's slider"
    with _changes(hand, "edits"):
        hand.click("//Edit/**/##Use Saturation")
    yield "switch an edit off"


def _keep(hand: WindowHand) -> Iterator[str]:
    """Keep heads, and go back to one."""
    hand.show("Bookmarks")
    with _changes(hand, "checkpoint"):
        hand.click("//Bookmarks/**/Save checkpoint")
    yield "save a checkpoint"
    with _changes(hand, "latent"):
        hand.click("//Bookmarks/**/##Bookmark 0")
    yield "show the bookmark"
    with _changes(hand, "latent"):
        hand.click("//Bookmarks/**/Reset")
    yield "go back to the checkpoint"


def _go_back(hand: WindowHand, day: Day) -> Iterator[str]:
    """Undo and redo, by the keys."""
    session = hand.session
    document, picture = session.document, _shown(hand)
    hand.show("Log")  # no field there takes the keys
    seen = [document]
    for _ in range(_UNDONE):
        hand.press(_CTRL, _K.z)
        seen.append(session.document)
    day.undone = sum(a != b for a, b in pairwise(seen))
    yield f"undo {_UNDONE}"
    for _ in range(_UNDONE):
        hand.press(_CTRL, _SHIFT, _K.z)
    hand.settle()
    same = session.document == document
    day.identical_after_redo = same and bool(np.array_equal(_shown(hand), picture))
    yield f"redo {_UNDONE}"


def _shown(hand: WindowHand) -> np.ndarray:
    hand.settle()
    result = hand.session.result
    assert result is not None
    return result.image


@contextmanager
def _changes(hand: WindowHand, part: str) -> Iterator[None]:
    """Wait until what is done has changed a part of the document."""
    before = getattr(hand.session.document, part)
    yield
    hand.wait(lambda: getattr(hand.session.document, part) != before, f"a change of {part}")
