"""Keyboard shortcuts: one table, for the keys, the menus and the overlay that lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from imgui_bundle import imgui

from renderer.camera import OrbitRig
from splatviz_app import controls
from splatviz_app.session import Session
from widgets import selection

_CTRL, _SHIFT = int(imgui.Key.mod_ctrl), int(imgui.Key.mod_shift)
_MODIFIER_KEYS = {
    _CTRL: (imgui.Key.left_ctrl, imgui.Key.right_ctrl),
    _SHIFT: (imgui.Key.left_shift, imgui.Key.right_shift),
}
_NUDGE = 8.0  # px of a drag in a picture 512 px high


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does."""

    keys: str  # as people write it
    says: str
    chords: tuple[int, ...]  # any of them
    do: Callable[[Session], None]
    group: str
    repeats: bool = False  # whether holding the key goes on doing it

    @property
    def needs_head(self) -> bool:
        """Whether the user must see the head to know what it does."""
        return self.group not in ("File", "Help") and self.says not in ("Undo", "Redo")


def _look(name: str) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        session.rig = controls.view(session.rig, name)

    return do


def _nudge(right: float, down: float) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        session.rig = controls.orbit(session.rig, right * _NUDGE, down * _NUDGE, 512)
        session.hold()

    return do


def _zoom(ticks: float) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        session.rig = controls.zoom(session.rig, ticks)
        session.hold()

    return do


def reset_view(session: Session) -> None:
    """The camera the generators were trained with."""
    session.rig = OrbitRig()


def frame_head(session: Session) -> None:
    """Fit the head into the picture."""
    if session.result is not None:
        summary = session.result.summary
        session.rig = controls.frame(session.rig, summary.low, summary.high)


def _next_seed(session: Session) -> None:
    latent = session.latent
    session.latent = replace(
        latent, seed=(latent.seed + 1) % 2**31
    )  # what the seed's field can hold


def _clear_selection(session: Session) -> None:
    if not session.show_shortcuts:  # which it closes
        selection.clear(session)


def _toggle_shortcuts(session: Session) -> None:
    session.show_shortcuts = not session.show_shortcuts


def quit_window(session: Session) -> None:
    """Close the window at the end of this frame, or ask whether to save before."""
    session.project.quit()


def chord(letter: str, *, ctrl: bool = False, shift: bool = False) -> int:
    """The key of a letter, with or without Ctrl (Cmd on a Mac) and Shift."""
    return int(getattr(imgui.Key, letter)) | (_CTRL if ctrl else 0) | (_SHIFT if shift else 0)


def _keys(*keys: imgui.Key, with_: int = 0) -> tuple[int, ...]:
    # int() first: Debian's Python 3.11.2 cannot combine the enum's members.
    return tuple(int(key) | with_ for key in keys)


_K = imgui.Key
SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut("Ctrl+Z", "Undo", _keys(_K.z, with_=_CTRL), Session.undo, "Edit", True),
    Shortcut(
        "Ctrl+Shift+Z", "Redo",
        _keys(_K.z, with_=_CTRL | _SHIFT) + _keys(_K.y, with_=_CTRL), Session.redo, "Edit", True,
    ),
    Shortcut("Ctrl+I", "Invert the selection", _keys(_K.i, with_=_CTRL), selection.invert, "Edit"),
    Shortcut("Esc", "Clear the selection", _keys(_K.escape), _clear_selection, "Edit"),
    Shortcut("Delete", "Delete the selected splats", _keys(_K.delete), selection.delete, "Edit"),
    Shortcut("Space", "Next seed", _keys(_K.space), _next_seed, "Head", True),
    Shortcut("Home", "Reset the camera", _keys(_K.home), reset_view, "Camera"),
    Shortcut("F", "Frame the head", _keys(_K.f), frame_head, "Camera"),
    Shortcut("1", "Front", _keys(_K._1, _K.keypad1), _look("Front"), "Camera"),
    Shortcut("2", "Three-quarter", _keys(_K._2, _K.keypad2), _look("Three-quarter"), "Camera"),
    Shortcut("3", "Profile", _keys(_K._3, _K.keypad3), _look("Profile"), "Camera"),
    Shortcut("4", "Back", _keys(_K._4, _K.keypad4), _look("Back"), "Camera"),
    Shortcut("7", "Top", _keys(_K._7, _K.keypad7), _look("Top"), "Camera"),
    Shortcut("Left", "Turn left", _keys(_K.left_arrow), _nudge(-1, 0), "Camera", True),
    Shortcut("Right", "Turn right", _keys(_K.right_arrow), _nudge(1, 0), "Camera", True),
    Shortcut("Up", "Turn up", _keys(_K.up_arrow), _nudge(0, -1), "Camera", True),
    Shortcut("Down", "Turn down", _keys(_K.down_arrow), _nudge(0, 1), "Camera", True),
    Shortcut("+", "Nearer", _keys(_K.equal, _K.keypad_add) + _keys(_K.equal, with_=_SHIFT),
             _zoom(1), "Camera", True),
    Shortcut("-", "Farther", _keys(_K.minus, _K.keypad_subtract), _zoom(-1), "Camera", True),
    Shortcut("?", "Show the shortcuts", _keys(_K.slash, with_=_SHIFT) + _keys(_K.f1),
             _toggle_shortcuts, "Help"),
)  # fmt: skip

# What the mouse does over the picture, for the overlay.
MOUSE: tuple[tuple[str, str], ...] = (
    ("Left drag", "Turn the head"),
    ("Right or middle drag", "Move the head"),
    ("Wheel", "Zoom towards the cursor"),
    ("Double-click", "Turn about the point under the cursor"),
    ("Shift+drag", "Select splats; with Ctrl more, with Alt less"),
)

# What the mouse and keys do over a photo in its editor, for the overlay.
PHOTO: tuple[tuple[str, str], ...] = (
    ("Left drag", "Move what lies under it; paint"),
    ("Right or middle drag", "Move the photo"),
    ("Wheel", "Zoom towards the cursor"),
    ("[ and ]", "Smaller and larger brush"),
    ("Alt", "The brush does the opposite"),
    ("Esc", "Close the editor, the webcam"),
    ("Ctrl+V", "Over the Inversion panel: paste a photo"),
)

# What the mouse does on the panels' rows, for the overlay.
FIELDS: tuple[tuple[str, str], ...] = (
    ("Drag", "Change a number"),
    ("Double-click", "Type a number; Ctrl+click on a slider"),
    ("Right-click", "Reset, or copy a fact"),
    ("Tab", "Next field"),
)


def press_keys(session: Session, shortcuts: tuple[Shortcut, ...]) -> None:
    """Do what the keys pressed in this frame say, unless they belong to a text field or a popup."""
    io = imgui.get_io()
    if io.want_text_input or imgui.is_any_item_active():
        return
    if imgui.is_popup_open("", imgui.PopupFlags_.any_popup):
        return
    held = int(io.key_mods)
    # A quick hand, or a slow frame, lets go of Ctrl in the very frame that shows the letter.
    just_held = held | _released_modifiers()
    for shortcut in _pressed(shortcuts, just_held) or _pressed(shortcuts, held):
        shortcut.do(session)


def _pressed(shortcuts: tuple[Shortcut, ...], held: int) -> list[Shortcut]:
    """Those whose key went down in this frame, if exactly these modifiers were held with it."""
    mask = int(imgui.Key.mod_mask_)
    return [
        shortcut
        for shortcut in shortcuts
        for chord in shortcut.chords
        if chord & mask == held and imgui.is_key_pressed(imgui.Key(chord & ~mask), shortcut.repeats)
    ]


def _released_modifiers() -> int:
    released = 0
    for modifier, keys in _MODIFIER_KEYS.items():
        if any(imgui.is_key_released(key) for key in keys):
            released |= modifier
    return released
