"""The presets of the Edit panel: small pictures of this head under each, and what can be done with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from imgui_bundle import imgui

from renderer.errors import SplatheadError
from splatviz_app.edits.built_in import BUILT_IN
from splatviz_app.edits.presets import Preset, added_preset
from splatviz_app.engine import Job
from splatviz_app.preset_pictures import EditPictures, draw_edits
from splatviz_app.session import Session
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.jobs import draw_job_line

_SIDE = 128  # px of a drawn picture
_TILE = 7.5  # em on screen, at most
_FEWEST = 3  # tiles in a row
_LINES = 14  # of code that are shown


@dataclass(eq=False)
class _Sheet:
    """The pictures of presets over one head, drawn or being drawn."""

    shown: object  # what they depend on
    presets: tuple[Preset, ...]
    job: Job

    def picture(self, preset: Preset) -> np.ndarray | None:
        """What is known of a preset's picture."""
        drawn = self.job.result or self.job.progress
        if not isinstance(drawn, EditPictures) or preset not in self.presets:
            return None
        place = self.presets.index(preset)
        return drawn.pictures[place] if place < len(drawn.pictures) else None


class PresetPage:
    """Draws all presets and the selected one."""

    def __init__(self) -> None:
        """Begin with the first one that comes with the program."""
        self._selected: Preset = BUILT_IN[0]
        self._name = ""  # as it is typed
        self._renames = False
        self._sheet: _Sheet | None = None
        self._dialog = FileDialog("presets")

    def draw(self, session: Session) -> int | None:
        """Draw the page; the key of the edit that was added, if one was."""
        self._draw_sheet(session)
        added = self._draw_tiles(session, "Built in", BUILT_IN)
        own = session.editing.presets.presets
        fields.gap(0.3)
        if own:
            added = self._draw_tiles(session, "Yours", own) or added
        else:
            fields.section("Yours")
            fields.muted("None yet. Right-click an edit of the stack to save it as a preset.")
        with fields.unless("A dialog is open." if self._dialog.is_open else ""):
            if fields.button(
                "Import…", "A preset's file, or a presets.json of the reference tool."
            ):
                self._dialog.open_file("Import presets", (".json",))
        added = self._draw_selected(session) or added
        return self._use(session, added) if added is not None else None

    def keep(self, session: Session, preset: Preset) -> None:
        """Save a preset, and select it to be named."""
        try:
            preset = session.editing.presets.save(preset)
        except SplatheadError as error:
            session.report(error)
            return
        session.say(f"Saved the preset {preset.name}")
        self._select(preset)
        self._renames = True

    def poll_dialogs(self, session: Session) -> None:
        """Take the file that was chosen."""
        path = self._dialog.poll()
        if path is None:
            return
        try:
            added = session.editing.presets.add_from(path)
        except SplatheadError as error:
            session.report(error)
            return
        count = "1 preset" if len(added) == 1 else f"{len(added)} presets"
        session.say(f"Imported {count} from {path.name}. Their code waits for your word.")
        self._select(added[0])

    # ---- the pictures

    def _draw_sheet(self, session: Session) -> None:
        """Ask for pictures of this head, if those that are there are of another."""
        history = session.editing.history
        presets = tuple(
            preset
            for preset in (*BUILT_IN, *session.editing.presets.presets)
            if preset in BUILT_IN or all(map(history.knows, preset.codes))
        )
        request = session.own_request()
        shown = (session.scene, session.latent, session.tuning, presets)
        sheet = self._sheet
        if sheet is not None and not sheet.job.state.is_over:
            if sheet.shown != shown:
                sheet.job.cancel()
            else:
                draw_job_line(sheet.job)
            return
        stale = sheet is None or sheet.shown != shown
        if stale and request is not None and not session.hand_is_busy:
            stacks = [preset.stack() for preset in presets]
            work = draw_edits(session.pipeline, request, stacks, _SIDE)
            self._sheet = _Sheet(shown, presets, session.start_job("Draw the presets", work))

    def _draw_tiles(
        self, session: Session, title: str, presets: tuple[Preset, ...]
    ) -> Preset | None:
        """Draw presets in rows; the one that was double-clicked."""
        fields.section(title)
        space, between = imgui.get_content_region_avail().x, imgui.get_style().item_spacing.x
        columns = max(_FEWEST, int((space + between) / (fields.em(_TILE) + between)))
        side = min(fields.em(_TILE), (space - between * (columns - 1)) / columns)
        chosen = None
        for place, preset in enumerate(presets):
            if place % columns:
                imgui.same_line()
            imgui.push_id(f"{title} {place}")
            chosen = preset if self._draw_tile(session, preset, side) else chosen
            imgui.pop_id()
        return chosen

    def _draw_tile(self, session: Session, preset: Preset, side: float) -> bool:
        """One picture with its name below; whether it was double-clicked."""
        height = side + imgui.get_text_line_height() + fields.em(0.3)
        corner = imgui.get_cursor_screen_pos()
        flags = imgui.SelectableFlags_.allow_double_click
        is_selected = preset == self._selected
        clicked, _ = imgui.selectable(f"##{preset.name}", is_selected, flags, (side, height))
        fields.tooltip(f"{preset.about}\nDouble-click to add it to the stack.".strip())
        paint = imgui.get_window_draw_list()
        gap = fields.em(0.15)
        low, high = (corner.x + gap, corner.y + gap), (corner.x + side - gap, corner.y + side - gap)
        pixels = self._sheet.picture(preset) if self._sheet is not None else None
        texture = session.textures.of(pixels) if pixels is not None else 0
        if texture:
            paint.add_image(imgui.ImTextureRef(texture), low, high)
        else:
            paint.add_rect_filled(low, high, imgui.get_color_u32(imgui.Col_.frame_bg))
            known = all(map(session.editing.history.knows, preset.codes)) or preset in BUILT_IN
            if not known:
                _draw_in_middle(paint, "?", corner, side)
        paint.push_clip_rect(corner, (corner.x + side, corner.y + height), True)
        paint.add_text((low[0], high[1] + gap), imgui.get_color_u32(imgui.Col_.text), preset.name)
        paint.pop_clip_rect()
        if clicked:
            self._select(preset)
            return imgui.is_mouse_double_clicked(imgui.MouseButton_.left)
        return False

    # ---- the selected one

    def _select(self, preset: Preset) -> None:
        self._selected, self._name, self._renames = preset, preset.name, False

    def _draw_selected(self, session: Session) -> Preset | None:
        preset = self._selected
        own = preset in session.editing.presets.presets
        if not own and preset not in BUILT_IN:
            self._select(BUILT_IN[0])
            return None
        fields.section(preset.name)
        if preset.about:
            fields.muted(preset.about)
        if own:
            self._draw_name(session, preset)
        added = None
        names = ("Add to stack", "Delete") if own else ("Add to stack",)
        pressed = fields.buttons(
            names,
            {"Add to stack": "Add it as the last edit.", "Delete": "Forget this preset for good."},
        )
        if pressed == "Add to stack":
            added = preset
        elif pressed == "Delete":
            imgui.open_popup("delete preset")
        self._draw_deletion(session, preset)
        for code in preset.codes:
            _draw_code(code)
        return added

    def _draw_name(self, session: Session, preset: Preset) -> None:
        if self._renames:
            imgui.set_keyboard_focus_here()
            self._renames = False
        self._name = fields.text("Preset name", "Press Enter when done.", self._name)
        name = " ".join(self._name.split())
        if imgui.is_item_deactivated_after_edit() and name and name != preset.name:
            try:
                self._select(session.editing.presets.rename(preset, name))
            except SplatheadError as error:
                session.report(error)

    def _draw_deletion(self, session: Session, preset: Preset) -> None:
        if not imgui.begin_popup("delete preset"):
            return
        imgui.text_unformatted(f"Delete the preset {preset.name}? This cannot be undone.")
        if imgui.button("Delete it"):
            imgui.close_current_popup()
            try:
                session.editing.presets.delete(preset)
            except SplatheadError as error:
                session.report(error)
        imgui.same_line()
        if imgui.button("Keep it"):
            imgui.close_current_popup()
        imgui.end_popup()

    def _use(self, session: Session, preset: Preset) -> int:
        """Add a preset to the stack; the key of its last edit."""
        history = session.editing.history
        known = preset in BUILT_IN or all(map(history.knows, preset.codes))
        before = len(session.edits.edits)
        session.edits = added_preset(session.edits, preset)
        for edit in session.edits.edits[before:]:
            # Its sliders may have got other names: what was agreed to is the same code.
            code = getattr(edit, "code", None)
            if known and code is not None:
                history.agree(code)
        return session.edits.edits[-1].key


def _draw_code(code: str) -> None:
    """The beginning of a script, to look at before it runs."""
    lines = code.rstrip().splitlines()
    shown = "\n".join(lines[:_LINES]) + ("\n…" if len(lines) > _LINES else "")
    imgui.push_style_color(imgui.Col_.frame_bg, imgui.get_style_color_vec4(imgui.Col_.child_bg))
    height = imgui.calc_text_size(shown).y + fields.em(0.7)
    flags = imgui.InputTextFlags_.read_only
    imgui.input_text_multiline("##Preset code", shown, (fields.FILL, height), flags)
    imgui.pop_style_color()


def _draw_in_middle(paint: imgui.ImDrawList, text: str, corner: imgui.ImVec2, side: float) -> None:
    size = imgui.calc_text_size(text)
    at = (corner.x + (side - size.x) / 2, corner.y + (side - size.y) / 2)
    paint.add_text(at, imgui.get_color_u32(imgui.Col_.text_disabled), text)
