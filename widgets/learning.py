"""The Learn tab of the Latent panel: directions from marked heads, or from one head to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from imgui_bundle import imgui

from models.latents import LatentSettings
from splatviz_app.directions import Axis
from splatviz_app.engine import Job
from splatviz_app.latent_jobs import NewAxis, Pictures, axis_between, draw_heads, learn_axis
from splatviz_app.session import Session
from widgets import fields
from widgets.sliders import Sliders

_SIDE = 72  # px of a drawn example
_MOST_PICTURES = 400
_APART_HELP = (
    "Take out of the new direction what would change what the locked sliders do: lock “Smile” and the "
    "new one leaves the smile alone."
)


class LearnTab:
    """Marks heads, and makes sliders of them."""

    title = "Learn"

    def __init__(self, sliders: Sliders) -> None:
        """Begin with no name."""
        self._sliders = sliders
        self._name = ""
        self._apart = False
        self._pictures: dict[tuple[object, LatentSettings], np.ndarray] = {}
        self._tried: set[tuple[object, LatentSettings]] = set()  # drawn, or in vain
        self._drawing: tuple[Job, tuple[tuple[object, LatentSettings], ...]] | None = None

    def draw(self, session: Session) -> None:
        """Draw the examples, the two ends, and what can be made of them."""
        self._draw_missing(session)
        imgui.set_next_item_width(fields.FILL)
        _, self._name = imgui.input_text_with_hint("##Name", "Name of the new slider", self._name)
        with fields.unless("" if session.palette.locked else "Lock a slider first."):
            _, self._apart = imgui.checkbox("Leave alone what locked ones do", self._apart)
            fields.tooltip(_APART_HELP)
        fields.section("From examples")
        self._draw_examples(session)
        fields.section("From one head to another")
        self._draw_ends(session)

    # ---- examples

    def _draw_examples(self, session: Session) -> None:
        palette, here = session.palette, session.latent
        marked = here in palette.having or here in palette.lacking
        why = "This head is marked already." if marked else ""
        pressed = fields.buttons(
            ("Has it", "Has it not"),
            {
                "Has it": "Mark the head that is shown as one with what you look for.",
                "Has it not": "Mark the head that is shown as one without it.",
            },
            {"Has it": why, "Has it not": why},
        )
        if pressed == "Has it":
            session.palette = replace(palette, having=(*palette.having, here))
        elif pressed == "Has it not":
            session.palette = replace(palette, lacking=(*palette.lacking, here))
        if not palette.having and not palette.lacking:
            fields.muted(
                "Walk to heads with something, a hat or a frown, and mark them; then some without it. "
                "Five of each are a good start."
            )
            return
        self._draw_kind(session, "With it", palette.having, "having")
        self._draw_kind(session, "Without it", palette.lacking, "lacking")
        missing = not palette.having or not palette.lacking
        reason = "Mark heads of both kinds first." if missing else self._why_not()
        with fields.unless(reason):
            if fields.button("Learn direction", "Make a slider of what tells the two kinds apart."):
                self._learn(session)
        if imgui.small_button("Forget the examples"):
            session.palette = replace(session.palette, having=(), lacking=())

    def _draw_kind(
        self, session: Session, title: str, heads: Sequence[LatentSettings], field: str
    ) -> None:
        """The marked heads of one kind, as small pictures; a click goes there."""
        imgui.text_colored(fields.quiet_color(), f"{title}: {len(heads)}")
        side, gap = fields.em(2.6), fields.em(0.2)
        columns = max(1, int((imgui.get_content_region_avail().x + gap) / (side + gap)))
        for number, latent in enumerate(heads):
            if number % columns:
                imgui.same_line(0, gap)
            imgui.push_id(f"{field}{number}")
            self._draw_example(session, latent, side, f"{title} {number + 1}")
            removed = False
            if imgui.begin_popup_context_item("example"):
                removed = imgui.menu_item_simple(f"Remove##{title} {number + 1}")
                imgui.end_popup()
            imgui.pop_id()
            if removed:
                kept = tuple(head for head in heads if head is not latent)
                palette = session.palette
                session.palette = (
                    replace(palette, having=kept)
                    if field == "having"
                    else replace(palette, lacking=kept)
                )

    def _draw_example(
        self, session: Session, latent: LatentSettings, side: float, name: str
    ) -> None:
        corner = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(f"##{name}", (side, side)):
            session.latent = latent
        fields.tooltip("Click to go to this head; right click to remove it.")
        far = (corner.x + side, corner.y + side)
        pixels = self._pictures.get((session.scene, latent))
        texture = session.textures.of(pixels) if pixels is not None else 0
        paint = imgui.get_window_draw_list()
        if texture:
            paint.add_image(imgui.ImTextureRef(texture), corner, far)
        else:
            paint.add_rect_filled(corner, far, imgui.get_color_u32(imgui.Col_.frame_bg))
        if latent == session.latent:
            paint.add_rect(corner, far, imgui.get_color_u32(imgui.Col_.tab_selected), 0.0, 2.0)

    # ---- from one head to another

    def _draw_ends(self, session: Session) -> None:
        palette = session.palette
        if palette.start is None:
            if fields.button("Begin at this head", "Keep the head that is shown as the first one."):
                session.palette = replace(palette, start=session.latent)
            fields.muted("Then walk to another head, and make a slider from the first to that one.")
            return
        imgui.text_colored(fields.quiet_color(), "It begins at")
        imgui.same_line()
        self._draw_example(session, palette.start, fields.em(2.6), "Start")
        same = (
            "This is the first head: walk to another one."
            if session.latent == palette.start
            else ""
        )
        with fields.unless(same or self._why_not()):
            if fields.button("Make direction to this head", "An amount of 1 leads all the way."):
                ends = (palette.start, session.latent)
                self._make(session, ends)
        if imgui.small_button("Forget the first head"):
            session.palette = replace(palette, start=None)

    # ---- making

    def _why_not(self) -> str:
        return "" if self._name.strip() else "Give the new slider a name first, above."

    def _learn(self, session: Session) -> None:
        request, palette = session.request(), session.palette
        if request is not None:
            work = learn_axis(
                session.pipeline, request, palette.weights, self._name.strip()[:60],
                (palette.having, palette.lacking), self._others(session),
            )  # fmt: skip
            self._sliders.start(session, f"Learn {self._name}", work, self._taker(session))

    def _make(self, session: Session, ends: tuple[LatentSettings, LatentSettings]) -> None:
        request, palette = session.request(), session.palette
        if request is not None:
            work = axis_between(
                session.pipeline, request, palette.weights, self._name.strip()[:60], ends,
                self._others(session),
            )  # fmt: skip
            self._sliders.start(session, f"Make {self._name}", work, self._taker(session))

    def _others(self, session: Session) -> list[Axis]:
        return self._sliders.locked_axes(session) if self._apart else []

    def _taker(self, session: Session) -> Callable[[NewAxis], None]:
        def take(found: NewAxis) -> None:
            if found.weights == session.palette.weights:
                session.palette = session.palette.with_own(found.axis)
                name = session.palette.own[-1].name
                session.say(f"“{name}” is among the directions, under Mine")
                self._name = ""

        return take

    # ---- small pictures

    def _draw_missing(self, session: Session) -> None:
        """Draw the examples that have no picture yet, a few at a time."""
        if self._drawing is not None:
            job, keys = self._drawing
            drawn = job.result if job.state.is_over else job.progress
            if isinstance(drawn, Pictures):
                self._pictures.update(zip(keys, drawn.pictures, strict=False))
            if not job.state.is_over:
                return
            self._drawing = None
        request, palette = session.own_request(), session.palette
        starts = (palette.start,) if palette.start is not None else ()
        heads = (*palette.having, *palette.lacking, *starts)
        keys = tuple((session.scene, h) for h in heads if (session.scene, h) not in self._tried)
        if not keys or request is None or request.latent is None or session.engine.jobs:
            return
        if len(self._pictures) > _MOST_PICTURES:
            self._pictures.clear()
            self._tried.clear()
        self._tried.update(keys)
        work = draw_heads(session.pipeline, request, [latent for _, latent in keys], _SIDE)
        self._drawing = (session.start_job("Draw the marked heads", work), keys)
