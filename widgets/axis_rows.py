"""A slider of the latent space as a row: arrow, name, slider, padlock; its menu; its strip of heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from imgui_bundle import imgui

from models.latents import LatentSettings
from splatviz_app.directions import OWN, PCA, Axis, Mark, amount_of, moved
from splatviz_app.engine import Job
from splatviz_app.latent_jobs import STRIP_AMOUNTS, Pictures, draw_heads
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.session import Session
from widgets import fields
from widgets.sliders import LOCKED, UNLOCKED, Sliders

_WIDER = 4.0  # times the range of a slider can be typed
_STRIP_SIDE = 112  # px of a drawn head; shown smaller, and larger under the mouse
_LABEL_SHARE = 0.42  # of a row
_LONGEST_NAME = 60  # letters
PARTS = {"All": (0.0, 1.0), "Coarse": (0.0, 0.34), "Middle": (0.34, 0.67), "Fine": (0.67, 1.0)}
_PARTS_HELP = (
    "Early blocks decide the shape of a head, late ones its details and colours; every block can have "
    "a w of its own."
)


@dataclass(eq=False)
class _Strip:
    """The heads along one slider, drawn or being drawn."""

    generator: object  # the scene, and what tunes it
    base: LatentSettings  # without the slider itself
    amounts: tuple[float, ...]
    job: Job
    pictures: tuple[np.ndarray, ...] = ()


class AxisRows:
    """Draws rows, and remembers which are open."""

    def __init__(self, sliders: Sliders) -> None:
        """Begin with all strips closed."""
        self._sliders = sliders
        self._strips: dict[str, _Strip] = {}

    def draw(self, session: Session, axis: Axis, note: str = "") -> None:
        """Draw one row.

        Args:
            session: Whose head it moves.
            axis: The slider.
            note: More for its tooltip.
        """
        imgui.push_id(axis.source)
        strip = self._strips.get(axis.source)
        height = imgui.get_frame_height()
        if strip is None and not imgui.is_rect_visible((1, height)):
            imgui.dummy((1, height))  # hundreds of rows need not be drawn to be scrolled past
        else:
            self._draw_row(session, axis, note)
            if strip is not None:
                self._draw_strip(session, axis, strip)
        imgui.pop_id()

    def _draw_row(self, session: Session, axis: Axis, note: str) -> None:
        palette = session.palette
        mark, name = palette.mark(axis.source), palette.name_of(axis)
        amount = amount_of(session.latent, axis.source)
        left, width = imgui.get_cursor_pos_x(), imgui.get_content_region_avail().x
        between, height = imgui.get_style().item_inner_spacing.x, imgui.get_frame_height()
        self._draw_arrow(session, axis, name)
        imgui.same_line(0, 0.5 * between)
        column = left + _LABEL_SHARE * width
        _draw_name(name, mark, column, amount != 0)
        fields.tooltip(f"{note or axis.unit}\nRight click: rename, blocks, lock.")
        imgui.open_popup_on_item_click("menu")
        imgui.same_line(column)
        imgui.set_next_item_width(left + width - column - between - height)
        with fields.unless("Locked: press its padlock to move it." if mark.locked else ""):
            # Not clamped: what is typed may go further than the bar.
            format = "%.2f σ" if axis.source.startswith(PCA) else "%.2f"
            changed, new = imgui.slider_float(f"##{name}", amount, axis.low, axis.high, format)
            fields.tooltip(f"{note or axis.unit}\nCtrl+click to type, also beyond the bar's ends.")
        imgui.open_popup_on_item_click("menu")
        _mark_zero(axis)
        if changed and np.isfinite(new):
            low, high = _WIDER * axis.low, _WIDER * axis.high
            new = min(max(new, low), high)
            self._sliders.move(session, {axis.source: 0.0 if abs(new) < 5e-4 else new})
        imgui.same_line(0, between)
        if _padlock(name, mark.locked, height):
            self._sliders.mark(session, replace(mark, locked=not mark.locked))
        self._draw_menu(session, axis, name)

    def _draw_arrow(self, session: Session, axis: Axis, name: str) -> None:
        """Opens and closes the strip."""
        side, corner = 0.8 * imgui.get_frame_height(), imgui.get_cursor_screen_pos()
        opened = axis.source in self._strips
        if imgui.invisible_button(f"##Strip of {name}", (side, imgui.get_frame_height())):
            if opened:
                self._strips.pop(axis.source).job.cancel()
            else:
                self._start_strip(session, axis)
        hovered = imgui.is_item_hovered()
        fields.tooltip("Show the heads along this slider; click one to go there.")
        color = imgui.get_color_u32(imgui.Col_.text if hovered else imgui.Col_.text_disabled)
        x, y = corner.x + 0.45 * side, corner.y + 0.5 * imgui.get_frame_height()
        size = 0.28 * side
        paint = imgui.get_window_draw_list()
        if opened:
            paint.add_triangle_filled(
                (x - size, y - 0.6 * size), (x + size, y - 0.6 * size), (x, y + size), color
            )
        else:
            paint.add_triangle_filled(
                (x - 0.6 * size, y - size), (x + size, y), (x - 0.6 * size, y + size), color
            )

    # ---- the menu of a row

    def _draw_menu(self, session: Session, axis: Axis, name: str) -> None:
        if not imgui.begin_popup("menu"):
            return
        palette = session.palette
        mark, amount = palette.mark(axis.source), amount_of(session.latent, axis.source)
        imgui.set_next_item_width(fields.em(12))
        changed, typed = imgui.input_text("Name", name)
        if changed:
            typed = typed.strip()[:_LONGEST_NAME]
            mark = replace(mark, name="" if typed == axis.name else typed)
        if imgui.menu_item(f"Reset to 0##{name}", "", False, amount != 0 and not mark.locked)[0]:
            self._sliders.move(session, {axis.source: 0.0})
        if imgui.menu_item("Lock", "", mark.locked)[0]:
            mark = replace(mark, locked=not mark.locked)
        imgui.separator()
        opened = session.opened
        assert isinstance(opened, OpenedGenerator)
        mark = _draw_blocks(mark, opened.loaded.generator.blocks)
        if mark != palette.mark(axis.source):
            self._sliders.mark(session, mark)
        if axis.source.startswith(OWN):
            imgui.separator()
            if imgui.menu_item_simple(f"Remove “{name}”"):
                self._sliders.zero(session, [axis.source])
                session.palette = session.palette.without_own(axis.source)
                imgui.close_current_popup()
        imgui.end_popup()

    # ---- the strip of a row

    def _start_strip(self, session: Session, axis: Axis) -> None:
        request = session.own_request()
        if request is None or request.latent is None:
            return
        amounts = _strip_amounts(axis)
        base = moved(request.latent, session.palette, self._sliders.axes, {axis.source: 0.0})
        latents = [
            moved(base, session.palette, self._sliders.axes, {axis.source: amount})
            for amount in amounts
        ]
        work = draw_heads(session.pipeline, request, latents, _STRIP_SIDE)
        name = session.palette.name_of(axis)
        job = session.start_job(f"Draw the heads along {name}", work)
        shown = (session.scene, session.tuning)
        self._strips[axis.source] = _Strip(shown, base, amounts, job)

    def _draw_strip(self, session: Session, axis: Axis, strip: _Strip) -> None:
        drawn = strip.job.result or strip.job.progress
        if isinstance(drawn, Pictures):
            strip.pictures = drawn.pictures
        base = moved(session.latent, session.palette, self._sliders.axes, {axis.source: 0.0})
        stale = strip.base != base or strip.generator != (session.scene, session.tuning)
        gap, width = fields.em(0.15), imgui.get_content_region_avail().x
        count = len(strip.amounts)
        side = (width - gap * (count - 1)) / count
        now = amount_of(session.latent, axis.source)
        nearest = min(range(count), key=lambda i: abs(strip.amounts[i] - now))
        for number, amount in enumerate(strip.amounts):
            if number:
                imgui.same_line(0, gap)
            pixels = strip.pictures[number] if number < len(strip.pictures) else None
            if self._draw_head(
                session, axis, amount, pixels, side, number == nearest and not stale
            ):
                self._sliders.move(session, {axis.source: amount})
        if stale and strip.job.state.is_over:
            if imgui.small_button(f"Draw again##{axis.source}"):
                self._start_strip(session, axis)
            imgui.same_line()
            fields.muted("These are of another head.")
        fields.gap(0.15)

    def _draw_head(
        self,
        session: Session,
        axis: Axis,
        amount: float,
        pixels: np.ndarray | None,
        side: float,
        here: bool | None,
    ) -> bool:
        """One head of a strip; whether it was clicked. `here` is None where it is of another head."""
        corner = imgui.get_cursor_screen_pos()
        name = session.palette.name_of(axis)
        clicked = imgui.invisible_button(f"##{name} at {amount:+.1f}", (side, side))
        far = (corner.x + side, corner.y + side)
        paint = imgui.get_window_draw_list()
        texture = session.textures.of(pixels) if pixels is not None else 0
        if texture:
            tint = imgui.get_color_u32((1.0, 1.0, 1.0, 0.35 if here is None else 1.0))
            paint.add_image(imgui.ImTextureRef(texture), corner, far, (0, 0), (1, 1), tint)
        else:
            paint.add_rect_filled(corner, far, imgui.get_color_u32(imgui.Col_.frame_bg))
        if here or imgui.is_item_hovered():
            shade = imgui.Col_.tab_selected if here else imgui.Col_.text
            paint.add_rect(corner, far, imgui.get_color_u32(shade), 0.0, 2.0)
        if texture and imgui.is_item_hovered() and imgui.begin_tooltip():
            imgui.image(imgui.ImTextureRef(texture), (2 * _STRIP_SIDE, 2 * _STRIP_SIDE))
            imgui.text_unformatted(f"{name} at {amount:+.2f}")
            imgui.end_tooltip()
        return clicked and not session.palette.mark(axis.source).locked


def _strip_amounts(axis: Axis) -> tuple[float, ...]:
    if axis.source.startswith(PCA):
        return STRIP_AMOUNTS
    return tuple(float(amount) for amount in np.linspace(axis.low, axis.high, len(STRIP_AMOUNTS)))


def _draw_name(name: str, mark: Mark, column: float, moved_: bool) -> None:
    """The name, cut off where the slider begins, with its blocks if it does not act on all."""
    shown = name
    if mark.first or mark.last is not None:
        shown = f"[{mark.first + 1}-{'' if mark.last is None else mark.last + 1}] {name}"
    corner, left = imgui.get_cursor_screen_pos(), imgui.get_cursor_pos_x()
    imgui.align_text_to_frame_padding()
    width = max(1.0, column - left - fields.em(0.3))
    imgui.push_clip_rect(corner, (corner.x + width, corner.y + fields.em(3)), True)
    color = imgui.get_style_color_vec4(imgui.Col_.text) if moved_ else fields.quiet_color()
    imgui.text_colored(color, shown)
    imgui.pop_clip_rect()


def _padlock(name: str, locked: bool, side: float) -> bool:
    """A button that shows whether a slider is locked."""
    shade = imgui.Col_.text if locked else imgui.Col_.text_disabled
    imgui.push_style_color(imgui.Col_.text, imgui.get_style_color_vec4(shade))
    imgui.push_style_color(imgui.Col_.button, (0, 0, 0, 0))
    imgui.push_style_var(imgui.StyleVar_.frame_border_size, 0.0)
    icon = LOCKED if locked else UNLOCKED
    pressed = imgui.button(f"{icon}##Lock {name}", (side, side))
    imgui.pop_style_var()
    imgui.pop_style_color(2)
    fields.tooltip(
        "Unlock it." if locked else "Lock it: Zero and Randomise leave it where it is, and with "
        "“Orthogonal to locked” the others do not change what it does."
    )  # fmt: skip
    return pressed


def _mark_zero(axis: Axis) -> None:
    """Scratch a mark where 0 is, if that is on the bar."""
    if not axis.low < 0 < axis.high:
        return
    low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
    margin = 2 + imgui.get_style().grab_min_size / 2
    x = low.x + margin - axis.low / (axis.high - axis.low) * (high.x - low.x - 2 * margin)
    shade = imgui.get_color_u32(imgui.Col_.text, 0.4)
    imgui.get_window_draw_list().add_line((x, high.y - fields.em(0.22)), (x, high.y), shade, 1.0)


def _draw_blocks(mark: Mark, blocks: int) -> Mark:
    """The blocks that a slider acts on."""
    first, last = block_range("Blocks", mark.first, mark.last, blocks, fields.em(12))
    return replace(mark, first=first, last=last)


def block_range(
    name: str, first: int, last: int | None, blocks: int, width: float
) -> tuple[int, int | None]:
    """Choose a range of blocks, from coarse to fine: with buttons, or one by one.

    Args:
        name: The label.
        first, last: From 0; None for the last there is.
        blocks: How many there are.
        width: Of the row in px.
    """
    end = blocks - 1 if last is None else min(last, blocks - 1)
    between = imgui.get_style().item_inner_spacing.x
    wide = (width - between * (len(PARTS) - 1)) / len(PARTS)
    for part, (low, high) in PARTS.items():
        if part != "All":
            imgui.same_line(0, between)
        of_part = (round(low * blocks), max(round(low * blocks), round(high * blocks) - 1))
        chosen = (first, end) == of_part
        shade = imgui.Col_.tab_selected if chosen else imgui.Col_.frame_bg
        imgui.push_style_color(imgui.Col_.button, imgui.get_style_color_vec4(shade))
        if imgui.button(part, (wide, 0)):
            first, end = of_part
        imgui.pop_style_color()
        fields.tooltip(_PARTS_HELP)
    imgui.set_next_item_width(width)
    shown = (f"from %d of {blocks}", f"to %d of {blocks}")
    changed, low, high = imgui.drag_int_range2(
        f"##{name}", first + 1, end + 1, 0.05, 1, blocks, *shown, imgui.SliderFlags_.always_clamp
    )
    fields.tooltip(f"{_PARTS_HELP}\nDrag either end, or double-click to type.")
    if changed:
        first, end = min(low, high) - 1, max(low, high) - 1
    first, end = max(0, min(first, blocks - 1)), max(0, min(end, blocks - 1))
    return first, None if end == blocks - 1 else end
