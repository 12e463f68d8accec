"""What is done with a selection: by keys, by a rectangle over the picture, and from a few rows in a panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from imgui_bundle import imgui

from splatviz_app.edits.selected import DeleteSelected
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.selection import Combine, Rectangle, Selection, combine, inside, selection_of
from splatviz_app.session import Session
from widgets import fields

_NOTHING = "Nothing is selected: drag with Shift over the picture, or over a histogram."
_FOREIGN = (
    "A script made the splats anew, so that none can be told from another: switch it off to select."
)


def wanted_combination() -> Combine:
    """What the keys that are held make of a new selection: Ctrl adds it, Alt takes it away."""
    io = imgui.get_io()
    return "add" if io.key_ctrl else "subtract" if io.key_alt else "replace"


def select_rows(session: Session, rows: np.ndarray, splats: EditedSplats, how: Combine) -> None:
    """Select splats of an edited head. rows [M] bool"""
    new = selection_of(rows, splats)
    if new is None:
        session.say(_FOREIGN)
    else:
        session.selection = combine(session.selection, new, how)


def select_rectangle(session: Session, rectangle: Rectangle, how: Combine) -> None:
    """Select what lies in a rectangle of the newest picture."""
    result = session.result
    if result is None:
        return
    rows = inside(
        rectangle, result.splats, result.request.rig, result.depth, session.select_through
    )
    select_rows(session, rows.cpu().numpy(), result.splats, how)


def clear(session: Session) -> None:
    """Select nothing."""
    session.selection = None


def invert(session: Session) -> None:
    """Select all others instead; all, if nothing is selected."""
    whole = _whole(session)
    if whole:
        nothing = Selection(whole, bytes((whole + 7) // 8))
        selected = session.selection or nothing
        inverted = (selected if selected.count == whole else nothing).inverted()
        session.selection = inverted if inverted.size else None


def delete(session: Session, others: bool = False) -> None:
    """Delete the selected splats, or all others, by an edit that can be taken back."""
    selection = session.selection
    if selection is None:
        session.say(_NOTHING)
        return
    if others:
        selection = selection.inverted()
    edits = session.document.edits.added(DeleteSelected(selection=selection))
    session.document = replace(session.document, edits=edits, selection=None)
    splats = "splat" if selection.size == 1 else "splats"
    session.say(f"Deleted {selection.size:,} {splats}; the edit is in the stack")


def draw_selection(session: Session) -> None:
    """Say what is selected, and offer what can be done with it."""
    fields.section("Selection")
    selection, whole = session.selection, _whole(session)
    if selection is None:
        fields.muted(_NOTHING)
    elif selection.count != whole:
        fields.muted(f"{selection.size:,} splats of another head.")
    else:
        fields.fact(
            "Selected", f"{selection.size:,} of {whole:,} splats", "Of the head before edits."
        )
    none = "" if selection is not None else _NOTHING
    whys = {"Clear": none, "Delete": none, "Keep only": none}
    pressed = fields.buttons(("Invert", "Clear", "Delete", "Keep only"), _HELP, whys)
    if pressed is not None:
        {
            "Invert": lambda: invert(session),
            "Clear": lambda: clear(session),
            "Delete": lambda: delete(session),
            "Keep only": lambda: delete(session, others=True),
        }[pressed]()
    highlight = fields.check(
        "Tint",
        "Show the selected splats in orange in the picture; never in what is saved.",
        session.view.highlight,
        default=True,
    )
    session.view = replace(session.view, highlight=highlight)
    session.select_through = fields.check(
        "Hidden too",
        "A rectangle over the picture selects the splats behind those that are seen as well.",
        session.select_through,
    )


_HELP = {
    "Invert": "Select all others instead (Ctrl+I).",
    "Clear": "Select nothing (Esc).",
    "Delete": "Leave the selected splats out of the head, as an edit in its stack (Delete).",
    "Keep only": "Leave out all others instead.",
}


def _whole(session: Session) -> int:
    """How many splats the head has before edits; 0 without a head."""
    return sum(session.result.splats.level_sizes) if session.result is not None else 0
