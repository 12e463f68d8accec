"""A hand before a panel, without a screen: it points, clicks, drags and types, and reads what is shown.

ImGui itself runs, only nothing is painted. Items are found by their labels, texts by their words.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from imgui_bundle import imgui, implot

from splatviz_app.session import Session
from splatviz_app.window import Panel

Point = tuple[float, float]

# The functions of ImGui that draw an item named by their first argument.
_ITEMS = (
    "button", "small_button", "invisible_button", "checkbox", "radio_button", "selectable",
    "input_double",
    "drag_float", "drag_float2", "drag_float3", "slider_float", "input_int", "input_text", "color_edit3",
    "input_text_with_hint", "input_text_multiline", "begin_combo", "menu_item", "menu_item_simple",
    "begin_tab_item", "drag_int_range2",
)  # fmt: skip
_TEXTS = {"text_unformatted": 0, "text_colored": 1, "text_wrapped": 0, "separator_text": 0}
_SECONDS = 1 / 60  # per frame


class Hand:
    """Draws one panel in a window of its own and acts on it. A context manager."""

    def __init__(self, panel: Panel, session: Session, size: Point = (320, 1000)) -> None:
        """Sit down before a panel of `size` px."""
        self.panel, self.session, self.size = panel, session, size
        self.texts: list[str] = []  # shown in the newest frame, in order
        self._rects: dict[str, tuple[Point, Point]] = {}  # by label, in the newest frame
        self._text_rects: dict[str, tuple[Point, Point]] = {}
        self._disabled: set[str] = set()
        self._originals: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Hand:
        self._context = imgui.create_context()
        self._plot_context = implot.create_context()
        io = imgui.get_io()
        io.set_ini_filename("")
        io.display_size = self.size
        io.delta_time = _SECONDS
        io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
        for name in _ITEMS:
            self._watch(name, self._note_item)
        for name in _TEXTS:
            self._watch(name, self._note_text)
        self.frames(3)  # ImGui lays out what it has seen before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, original in self._originals.items():
            setattr(imgui, name, original)
        implot.destroy_context(self._plot_context)
        imgui.destroy_context(self._context)

    # ---- time

    def frames(self, count: int = 1) -> None:
        """Let `count` frames of the window go by; the engine does not work meanwhile."""
        for _ in range(count):
            self._rects, self._disabled, self.texts = {}, set(), []
            self._text_rects = {}
            imgui.new_frame()
            imgui.set_next_window_pos((0, 0))
            imgui.set_next_window_size(self.size)
            if imgui.begin(self.panel.title, None, imgui.WindowFlags_.no_decoration)[0]:
                self.panel.draw(self.session)
            imgui.end()
            held = imgui.is_any_item_active() or imgui.is_any_mouse_down()
            imgui.render()
            self.session.hand_is_busy = held or time.monotonic() < self.session.busy_until
            self.session.update(_SECONDS)

    def settle(self) -> None:
        """Let the engine finish all it has to do, and the window show it; a hold runs out."""
        self.session.busy_until = 0.0
        for _ in range(20):
            self.session.engine.drain()
            self.frames(2)
            if self.session.is_settled:
                return
        raise AssertionError("the session never settles")

    # ---- what is shown

    def until(self, done: Callable[[], bool]) -> None:
        """Let frames go by until something has happened on another thread."""
        for _ in range(2000):
            self.frames()
            if done():
                self.frames(2)
                return
            time.sleep(0.002)
        raise AssertionError("it does not happen")

    def sees(self, words: str) -> bool:
        """Whether the newest frame shows a text with these words."""
        return any(words in text for text in self.texts)

    def finds(self, label: str) -> bool:
        """Whether there is an item of that label."""
        return label in self._rects

    def can_use(self, label: str) -> bool:
        """Whether the item is there and not greyed out."""
        return self.finds(label) and label not in self._disabled

    def place(self, label: str, at: Point = (0.5, 0.5)) -> Point:
        """A point on an item, else on a text, in px; `at` runs from its top left corner, 0 to 1."""
        known = self._text_rects | self._rects
        assert label in known, f"no {label!r} among {sorted(known)}"
        (left, top), (right, bottom) = known[label]
        return (left + at[0] * (right - left), top + at[1] * (bottom - top))

    # ---- what the hand does

    def move(self, point: Point) -> None:
        """Point at a place in px."""
        imgui.get_io().add_mouse_pos_event(*point)
        self.frames()

    def click(self, label: str, at: Point = (0.5, 0.5), button: int = 0, times: int = 1) -> None:
        """Click on an item."""
        self.move(self.place(label, at))
        for _ in range(times):
            for down in (True, False):
                imgui.get_io().add_mouse_button_event(button, down)
                self.frames()
        self.frames()

    def drag(
        self, label: str, right: float, down: float = 0.0, at: Point = (0.5, 0.5), steps: int = 5
    ) -> None:
        """Press on an item, move by so many px in `steps` frames, let go."""
        x, y = self.place(label, at)
        self.move((x, y))
        imgui.get_io().add_mouse_button_event(0, True)
        self.frames()
        for step in range(1, steps + 1):
            self.move((x + right * step / steps, y + down * step / steps))
        imgui.get_io().add_mouse_button_event(0, False)
        self.frames(2)

    def hover(self, label: str) -> None:
        """Rest on an item until its tooltip shows."""
        self.move(self.place(label))
        self.frames(60)

    def type(self, label: str, text: str, at: Point = (0.5, 0.5)) -> None:
        """Replace what a field holds, and press Enter. Ctrl+click turns any number into a field."""
        hold_key(imgui.Key.mod_ctrl, True)
        self.click(label, at)
        hold_key(imgui.Key.mod_ctrl, False)
        self.press(imgui.Key.a, imgui.Key.mod_ctrl)
        for letter in text:
            imgui.get_io().add_input_character(ord(letter))
        self.frames(2)
        self.press(imgui.Key.enter)

    def press(self, key: imgui.Key, modifier: imgui.Key | None = None) -> None:
        """Press and release a key."""
        for down in (True, False):
            if modifier is not None:
                hold_key(modifier, down)
            hold_key(key, down)
            self.frames()

    def choose(self, label: str, option: str) -> None:
        """Take an option of a list that drops down."""
        self.click(label)
        self.frames(2)
        self.click(option)
        self.frames(2)

    def reset(self, label: str, at: Point = (0.5, 0.5)) -> None:
        """Right-click an item and take Reset."""
        self.click(label, at, button=1)
        self.frames(2)
        self.click(
            next(name for name in self._rects if name.startswith("Reset to") or name == "Reset")
        )
        self.frames(2)

    # ---- how it sees

    def _watch(self, name: str, note: Callable[[str, tuple[Any, ...], Any], None]) -> None:
        original = self._originals[name] = getattr(imgui, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            note(name, args, result)
            return result

        setattr(imgui, name, watched)

    def _note_item(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        shown, _, hidden = args[0].partition("##")
        is_icon = len(shown) == 1 and "\ue000" <= shown <= "\uf8ff"
        label = hidden if shown in ("", "×", "…") or is_icon else shown
        if name == "begin_combo" and result:
            # The list is being drawn now; the item itself stays where it was before it opened.
            return
        self._rects[label] = _last_rect()
        if imgui.get_item_flags() & imgui.ItemFlags_.disabled:
            self._disabled.add(label)

    def _note_text(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        text = args[_TEXTS[name]]
        self.texts.append(text)
        self._text_rects[text] = _last_rect()


def _last_rect() -> tuple[Point, Point]:
    """Where the last item is in px: top left and bottom right."""
    low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
    return (low.x, low.y), (high.x, high.y)


def hold_key(key: imgui.Key, down: bool) -> None:
    """Hold or release a key."""
    imgui.get_io().add_key_event(key, down)


def opened(session: Session, path: Path) -> Session:
    """Let a session open a file and draw it, without a window."""
    session.open(path)
    for _ in range(3):
        session.engine.drain()
        session.update(0.01)
    assert session.result is not None, [entry.text for entry in session.log.entries]
    return session
