"""A hand that does not know what it does: clicks, drags, wheels, types and shortcuts at random.

Seeded: the same seed does the same to the same window, as far as the machine's speed lets it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from imgui_bundle import imgui

from benchmarks.window_hand import WindowHand, picture_at, unexpected
from splatviz_app.controls import Inertia
from splatviz_app.history import History
from splatviz_app.log import LogEntry

_PANELS = (
    "Latent", "Edit", "Bookmarks", "Camera", "Render", "Eval", "Head", "Save", "Training",
    "Performance", "Log", "Viewport",
)  # fmt: skip
_WEIGHTS = (6, 6, 3, 2, 3, 3, 1, 1, 1, 1, 1, 3)  # where artists are, the monkey is more often
_TEXTS = (
    "gs.rgb *= 0.5", "gs.rgb = gs.rgb * slider.x", "gs.keep(gs.opacities > 0.2)", "gs._xyz[:, 0] += 0.02",
    "gs.scales *= 1.2", "gs.rgb[:, 7] = 1", "gs.opacities", "render.depth", "camera", "gs._xyz = None",
    "1 / 0", "x +", "nonsense", "3", "-0.5", "1e99", "nan", "", "    ", "Ä 😀 名", "gs.levels == 2", "t",
    "slider.x", "print(gs)", "'" * 3, "0.25",
)  # fmt: skip
_K = imgui.Key
_CTRL, _SHIFT = int(_K.mod_ctrl), int(_K.mod_shift)
_KEYS = (
    int(_K.space), int(_K.home), int(_K.f), int(_K._1), int(_K._3), int(_K.left_arrow), int(_K.equal),
    int(_K.minus), int(_K.escape), int(_K.delete), int(_K.enter), int(_K.tab), int(_K.up_arrow),
    int(_K.f1), int(_K.backspace), _CTRL | int(_K.z), _CTRL | int(_K.z), _CTRL | int(_K.y),
    _CTRL | _SHIFT | int(_K.z), _CTRL | int(_K.i), _CTRL | int(_K.b), _CTRL | int(_K.a),
    _CTRL | int(_K.s), _CTRL | int(_K.p), _CTRL | int(_K.space),
)  # fmt: skip
_REST = 20  # actions between which everything is waited for
_MOST_SETTLED = 2_000  # px: the resolution beyond which pictures only cost time
_HELD = 50_000  # steps that the history keeps here, so that the start can be reached


@dataclass
class Outcome:
    """What became of it."""

    actions: int = 0
    errors: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    undone: int = 0  # steps back to the start
    back_at_start: bool = False  # whether undo led to the document and the picture of the start


def run_monkey(hand: WindowHand, actions: int, seed: int, say: Callable[[str], None]) -> Outcome:
    """Do `actions` things at random, then undo all of them.

    Args:
        hand: In a window in which a head is shown.
        actions: How many.
        seed: Of the hand's choices and of the program's own.
        say: Is told of what went wrong, as soon as it does.
    """
    session = hand.session
    hand.settle()
    session.history = History(session.document, _HELD)
    size, preferences, document = (256, 192), session.preferences, session.document
    picture = picture_at(session, hand, size)
    choose, outcome = random.Random(seed), Outcome()
    random.seed(seed)  # for the panels' own dice
    heard = _Listener(hand, outcome, say)
    monkey = _Monkey(hand, choose)
    for number in range(actions):
        what = monkey.act()
        outcome.actions += 1
        outcome.kinds[what.partition(" ")[0]] += 1
        heard.listen(f"action {number + 1}, {what}")
        if number % _REST == _REST - 1:
            monkey.rest()
            heard.listen(f"rest after action {number + 1}")
    monkey.rest()
    session.preferences = preferences  # they belong to the machine: undo leaves them alone
    outcome.undone = _undo_all(hand)
    heard.listen("undo to the start")
    same = session.document == document
    if not same:
        say(f"the document is not that of the start:\n{session.document}\n{document}")
    found = picture_at(session, hand, size)
    outcome.back_at_start = same and bool(np.array_equal(found, picture))
    heard.listen("the picture of the start")
    return outcome


class _Monkey:
    def __init__(self, hand: WindowHand, choose: random.Random) -> None:
        self._hand, self._choose = hand, choose
        self._panel = "Viewport"  # where it stays for a while
        self._home = hand.session.scene

    def act(self) -> str:
        """Do one thing; says what."""
        choose, hand = self._choose, self._hand
        if choose.random() < 0.1:
            self._panel = choose.choices(_PANELS, _WEIGHTS)[0]
            hand.ctx.window_focus(f"//{self._panel}")
            hand.frames(1)
            return f"panel {self._panel}"
        kind = choose.choices(
            ("click", "drag", "type", "key", "wheel", "right", "double", "ctrl"),
            (36, 18, 14, 12, 4, 5, 6, 5),
        )[0]
        if kind == "key":
            key = choose.choice(_KEYS)
            hand.press(key)
            return f"key {key:#x}"
        if choose.random() < 0.5:
            hand.session.busy_until = 0.0  # a hand that rested: what it did is a step of its own
        where, (x, y) = self._place()
        if kind == "wheel":
            hand.move(x, y)
            hand.ctx.mouse_wheel_y(choose.choice((-3, -1, 1, 3)))
        elif kind == "drag":
            far = choose.choice((4, 40, 200))
            hand.drag(x, y, choose.uniform(-far, far), choose.uniform(-far, far) * 0.5)
        elif kind == "ctrl":
            # Ctrl+click makes a field of a slider; Shift+drag over the picture selects.
            modifier = choose.choice((_CTRL, _SHIFT))
            hand.ctx.key_down(modifier)
            hand.drag(x, y, choose.choice((0, 60)), choose.choice((0, 60)))
            hand.ctx.key_up(modifier)
        else:
            hand.move(x, y)
            hand.ctx.mouse_click(1 if kind == "right" else 0)
            if kind == "double":
                hand.ctx.mouse_click(0)
            hand.frames(1)
            if kind == "type" and imgui.get_io().want_text_input:
                self._type()
        return f"{kind} at {x:.0f}, {y:.0f} in {where}"

    def _type(self) -> None:
        hand, text = self._hand, self._choose.choice(_TEXTS)
        if self._choose.random() < 0.5:
            hand.press(_CTRL | int(_K.a))
        hand.type(text)
        if self._choose.random() < 0.6:
            hand.press(self._choose.choice((int(_K.enter), int(_K.tab), int(_K.escape))))

    def _place(self) -> tuple[str, tuple[float, float]]:
        """A place in a window that can be seen, popups first: on one of its items, or anywhere."""
        choose = self._choose
        seen = [w for w in imgui.get_current_context().windows if w.was_active and not w.hidden]
        seen = [w for w in seen if "MainDock" not in w.name]
        popups = [w for w in seen if w.flags & imgui.WindowFlags_.popup]
        mine = [w for w in seen if w.name.partition("/")[0] == self._panel]
        windows = seen
        if popups and choose.random() < 0.8:
            windows = popups
        elif mine and choose.random() < 0.85:
            windows = mine
        boxes = [(w.name, box) for w in windows for box in self._boxes(w)]
        if not boxes:
            size = imgui.get_io().display_size
            return "the window", (choose.uniform(1, size.x - 1), choose.uniform(1, size.y - 1))
        name, (low, high) = choose.choice(boxes)
        x, y = (low[i] + (high[i] - low[i]) * choose.uniform(0.1, 0.9) for i in range(2))
        return name, (x, y)

    def _boxes(self, window: Any) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """The places of the items of a window in px, and its own: an editor of code is no item."""
        found = imgui.test_engine.TestItemList()
        self._hand.ctx.gather_items(found, imgui.test_engine.TestRef(window.id_), -1)
        rects = [found.get_by_index(i).rect_clipped for i in range(found.get_size())]
        rects.append(window.inner_rect)
        boxes = [((r.min.x, r.min.y), (r.max.x, r.max.y)) for r in rects]
        return [(low, high) for low, high in boxes if high[0] - low[0] > 1 < high[1] - low[1]]

    def rest(self) -> None:
        """Close what is open, let go, and wait for the picture."""
        hand, session = self._hand, self._hand.session
        for _ in range(4):
            hand.press(int(_K.escape))
        hand.ctx.popup_close_all()
        # These only make pictures slow: the definition of rasterization, and very large ones.
        if session.preferences.backend is not None:
            session.preferences = replace(session.preferences, backend=None)
        if session.view.resolution > _MOST_SETTLED:
            session.view = replace(session.view, resolution=0)
        session.inertia = Inertia()
        if session.scene != self._home and self._home is not None:
            session.open(self._home.path)  # another head has no latent space to get lost in
        hand.settle()


def _undo_all(hand: WindowHand) -> int:
    """Press Ctrl+Z until there is nothing before; how often."""
    session, pressed = hand.session, 0
    hand.show("Log")  # no field there takes the keys
    most = 2 * len(session.history._values) + 50
    while session.history.can_undo and pressed < most:
        hand.press(_CTRL | int(_K.z))
        session.busy_until = 0.0
        pressed += 1
        if pressed % 10 == 0:
            hand.wait(lambda: session.opening is None, "the head of an earlier step")
    hand.settle()
    return pressed


class _Listener:
    """Hears what is new in the log."""

    def __init__(self, hand: WindowHand, outcome: Outcome, say: Callable[[str], None]) -> None:
        self._hand, self._outcome, self._say = hand, outcome, say
        self._last: LogEntry | None = hand.session.log.last

    def listen(self, when: str) -> None:
        """Take down the bugs among the entries since the last time."""
        entries = list(self._hand.session.log.entries)
        known = [i for i, entry in enumerate(entries) if entry is self._last]
        new = entries[known[-1] + 1 :] if known else entries
        self._last = entries[-1] if entries else None
        for entry in unexpected(new):
            self._outcome.errors.append(f"{when}: {entry.text}")
            self._say(self._outcome.errors[-1])
