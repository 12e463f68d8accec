"""The Bookmarks panel: heads that are kept, to go back to, to compare with, and to blend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from imgui_bundle import imgui

from models.delta import Tuning
from renderer.errors import SplatheadError
from splatviz_app.bookmark_jobs import SUFFIXES, ReadBookmarks, read_bookmarks, write_bookmarks
from splatviz_app.bookmarks import Bookmark, of_generator, renamed, unused_bookmark_name
from splatviz_app.document import Document
from splatviz_app.engine import Job, JobState
from splatviz_app.inversion.preview import Preview
from splatviz_app.projects.files import pixels_of, thumbnail_of
from splatviz_app.scenes import OpenedGenerator
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.file_dialog import FileDialog
from widgets.route import RouteRows

_TILE = 5.0  # em, the least width of one
_SHARP = 192  # px, the least side of a picture to make a small one of
_HELP = {
    "Save checkpoint": "Remember this head in the one place that Reset goes back to.",
    "Reset": "Go back to the checkpoint. Undo goes back from there.",
    "Update": "Keep the head that is shown in place of this one, under the same name.",
    "Delete": "Delete this bookmark. Undo brings it back.",
    "Hold to compare": "While it is held, the bookmark is shown instead of the head you are at.",
    "Import…": f"Read bookmarks from a file ({', '.join(SUFFIXES)}), or w of another program (.npz).",
}
_EXPORTS = {
    ".json": "Bookmarks as JSON: small, with everything but tunings, to be imported again.",
    ".npz": "Bookmarks as NumPy arrays: the same, and the w of each head for other programs.",
}
_WITHOUT = "Open a generator first to keep its heads: a .ply file is one head already."
_NO_CHECKPOINT = "There is no checkpoint yet: save one first."


@dataclass(frozen=True)
class _Keeping:
    """A head that is to be kept as soon as its picture is there."""

    where: Literal["new", "checkpoint", "update"]
    head: Preview
    weights: str
    index: int = -1  # of the bookmark that is updated


class BookmarksPanel:
    """A gallery of kept heads."""

    title = "Bookmarks"
    dock: Dock = "left_low"

    def __init__(self) -> None:
        """Begin with nothing chosen."""
        self._chosen: Bookmark | None = None
        self._keeping: _Keeping | None = None
        self._before: Document | None = None  # while comparing: where the user is
        self._route = RouteRows()
        self._import_dialog = FileDialog("import bookmarks")
        self._reading: Job | None = None

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the gallery and what can be done with it."""
        weights = _weights_of(session)
        without = "" if weights else _WITHOUT
        with fields.unless(without):
            hint = "Add the head that is shown to the bookmarks. (Ctrl+B)"
            if fields.button("Keep this head", hint):
                self.keep(session)
        self._draw_checkpoint(session, weights, without)
        bookmarks = session.document.bookmarks
        if bookmarks:
            fields.gap()
            self._draw_gallery(session, weights)
            self._draw_chosen(session, weights)
            self._route.draw(session, weights)
        else:
            fields.empty(
                "No heads are kept yet.",
                "Keep those you like: a click brings them back, two or more can be blended.",
            )
        fields.section("Files")
        self._draw_files(session, weights)

    def keep(self, session: Session) -> None:
        """Add the head that is shown; its picture may take a moment."""
        if _weights_of(session):
            self._keep(session, "new")
        else:
            session.say(_WITHOUT)

    def poll(self, session: Session) -> None:
        """Follow up on pictures, jobs and dialogs; every frame, also while the panel is hidden."""
        if self._before is not None and not imgui.is_mouse_down(0):
            self._compare(session, False, None)  # the button has gone away meanwhile
        self._route.poll(session, _weights_of(session))
        if self._keeping is not None:
            self._finish_keeping(session, self._keeping)
        chosen = self._import_dialog.poll()
        if chosen is not None:
            self.read(session, chosen)
        if self._reading is not None and self._reading.state.is_over:
            job, self._reading = self._reading, None
            if job.state is JobState.DONE and isinstance(job.result, ReadBookmarks):
                _add(session, job.result.bookmarks)
                session.say(job.result.sentence)

    def read(self, session: Session, path: Path) -> None:
        """Add the bookmarks in a file."""
        opened = session.opened
        generator = opened.loaded.generator if isinstance(opened, OpenedGenerator) else None
        work = read_bookmarks(path, generator, _weights_of(session))
        self._reading = session.start_job(f"Read {path.name}", work)

    # ---- keeping

    def _keep(self, session: Session, where: Literal["new", "checkpoint", "update"]) -> None:
        index = self._index(session)
        self._keeping = _Keeping(where, session.head, _weights_of(session), index)

    def _finish_keeping(self, session: Session, keeping: _Keeping) -> None:
        """Put a bookmark into the document, once its picture is there or will never be."""
        result = session.result
        is_there = (
            result is not None
            and (result.request.latent, result.request.tuning)
            == (keeping.head.latent, keeping.head.tuning)
            and result.request.scene == session.scene
            # Not the coarse one of a moving head.
            and min(result.request.size) >= min(_SHARP, *session.full_size)
        )
        is_coming = session.head == keeping.head and session.engine.failure is None
        if not is_there and is_coming:
            return
        self._keeping = None
        picture = thumbnail_of(result.image) if is_there and result is not None else b""
        head = keeping.head
        tuning = head.tuning if isinstance(head.tuning, Tuning) else None
        bookmark = Bookmark("", head.latent, keeping.weights, picture, tuning)
        if keeping.where == "checkpoint":
            checkpoint = replace(bookmark, name="Checkpoint")
            session.document = replace(session.document, checkpoint=checkpoint)
        elif keeping.where == "new":
            (self._chosen,) = _add(session, (replace(bookmark, name="Head 1"),))
        elif 0 <= keeping.index < len(session.document.bookmarks):
            old = session.document.bookmarks[keeping.index]
            self._replace(session, keeping.index, replace(bookmark, name=old.name))

    def _draw_checkpoint(self, session: Session, weights: str, without: str) -> None:
        checkpoint = session.document.checkpoint
        whys = {"Save checkpoint": without, "Reset": "" if checkpoint else _NO_CHECKPOINT}
        pressed = fields.buttons(("Save checkpoint", "Reset"), _HELP, whys)
        if pressed == "Save checkpoint":
            self._keep(session, "checkpoint")
        elif pressed == "Reset" and checkpoint is not None:
            _show(session, checkpoint)

    # ---- the gallery

    def _draw_gallery(self, session: Session, weights: str) -> None:
        between = imgui.get_style().item_spacing.x
        room = imgui.get_content_region_avail().x
        columns = max(1, int((room + between) / (fields.em(_TILE) + between)))
        side = (room - (columns - 1) * between) / columns
        for index, bookmark in enumerate(session.document.bookmarks):
            if index % columns:
                imgui.same_line()
            imgui.begin_group()
            self._draw_tile(session, index, bookmark, weights, side)
            imgui.end_group()

    def _draw_tile(
        self, session: Session, index: int, bookmark: Bookmark, weights: str, side: float
    ) -> None:
        """A picture to click, and below it the name with a box that takes it into the blend."""
        corner = imgui.get_cursor_screen_pos()
        if imgui.invisible_button(f"##Bookmark {index}", (side, side)):
            self._chosen = bookmark
            _show(session, bookmark)
        is_ours = bookmark.weights == weights
        hint = "" if is_ours else "\nIt belongs to another generator."
        fields.tooltip(f"{bookmark.name}: click to show it. Right-click for more.{hint}")
        self._draw_menu(session, index, bookmark, weights)
        _paint_tile(session, bookmark, corner, side, is_ours, bookmark == self._chosen)
        with fields.unless("" if is_ours else "It belongs to another generator."):
            self._route.draw_pick(index, bookmark)
        imgui.same_line(0, fields.em(0.3))
        far = corner.x + side
        place = imgui.get_cursor_screen_pos()
        imgui.push_clip_rect(place, (far, place.y + fields.em(2)), True)
        imgui.align_text_to_frame_padding()
        imgui.text_unformatted(bookmark.name)
        imgui.pop_clip_rect()

    def _draw_menu(self, session: Session, index: int, bookmark: Bookmark, weights: str) -> None:
        if not imgui.begin_popup_context_item(f"bookmark {index}"):
            return
        if imgui.menu_item(f"Show##{index}", "", False)[0]:
            self._chosen = bookmark
            _show(session, bookmark)
        if imgui.menu_item(f"Rename below##{index}", "", False)[0]:
            self._chosen = bookmark
        if imgui.menu_item(f"Delete##menu {index}", "", False)[0]:
            _delete(session, index)
        imgui.end_popup()

    # ---- the one that was chosen

    def _index(self, session: Session) -> int:
        """Where the chosen bookmark is; -1 if it is gone."""
        bookmarks = session.document.bookmarks
        return next((i for i, bookmark in enumerate(bookmarks) if bookmark is self._chosen), -1)

    def _draw_chosen(self, session: Session, weights: str) -> None:
        index = self._index(session)
        bookmark = session.document.bookmarks[index] if index >= 0 else None
        if bookmark is None:
            self._compare(session, False, None)
            return
        fields.section("Chosen")
        name = fields.text("Name", "Of this bookmark.", bookmark.name)
        if imgui.is_item_active():
            session.hold()  # what is typed in one go is one step of undo
        if name != bookmark.name and name.strip():
            self._replace(session, index, renamed(bookmark, name))
        foreign = "" if bookmark.weights == weights else "It belongs to another generator."
        with fields.unless(foreign):
            fields.button("Hold to compare", _HELP["Hold to compare"])
        self._compare(session, imgui.is_item_active() and not foreign, bookmark)
        without = "" if weights else "Open a generator first."
        pressed = fields.buttons(("Update", "Delete"), _HELP, {"Update": without})
        if pressed == "Update":
            self._keep(session, "update")
        elif pressed == "Delete":
            _delete(session, index)

    def _compare(self, session: Session, held: bool, bookmark: Bookmark | None) -> None:
        """Show the bookmark while the button is held. The hand is busy: it is no step of undo."""
        if held and bookmark is not None:
            if self._before is None:
                self._before = session.document
            head = replace(session.document, latent=bookmark.latent, tuning=bookmark.tuning)
            session.document = head
        elif self._before is not None:
            before, self._before = self._before, None
            head = replace(session.document, latent=before.latent, tuning=before.tuning)
            session.document = head

    def _replace(self, session: Session, index: int, bookmark: Bookmark) -> None:
        bookmarks = session.document.bookmarks
        self._chosen = bookmark
        self._route.exchange(bookmarks[index], bookmark)
        changed = (*bookmarks[:index], bookmark, *bookmarks[index + 1 :])
        session.document = replace(session.document, bookmarks=changed)

    # ---- files

    def _draw_files(self, session: Session, weights: str) -> None:
        count = len(of_generator(session.document.bookmarks, weights)) if weights else 0
        why = "" if count else "There are no bookmarks of the open generator."
        why_not_read = "A file is being read." if self._reading is not None else ""
        names = ("Import…", "Export .json", "Export .npz")
        whys = {"Import…": why_not_read, "Export .json": why, "Export .npz": why}
        helps = {f"Export {ending}": words for ending, words in _EXPORTS.items()}
        pressed = fields.buttons(names, _HELP | helps, whys)
        if pressed == "Import…":
            folder = session.preferences.folder
            self._import_dialog.open_file("Import bookmarks", SUFFIXES, folder, "Bookmarks")
        elif pressed is not None:
            self._export(session, weights, pressed.removeprefix("Export "))

    def _export(self, session: Session, weights: str, ending: str) -> None:
        request, bookmarks = session.request(), session.document.bookmarks
        if request is not None:
            ours = [bookmarks[i] for i in of_generator(bookmarks, weights)]
            path = session.preferences.folder / f"bookmarks{ending}"
            work = write_bookmarks(session.pipeline, request, ours, path)
            session.start_job("Export bookmarks", work)


def _weights_of(session: Session) -> str:
    """The hash of the open generator; empty without one."""
    opened = session.opened
    return opened.fingerprint if isinstance(opened, OpenedGenerator) else ""


def _show(session: Session, bookmark: Bookmark) -> None:
    try:
        session.bring_back(bookmark)
    except SplatheadError as error:
        session.report(error)


def _add(session: Session, bookmarks: tuple[Bookmark, ...]) -> tuple[Bookmark, ...]:
    """Add bookmarks under names that are free; returns them as they were added."""
    kept = session.document.bookmarks
    for bookmark in bookmarks:
        kept = (*kept, replace(bookmark, name=unused_bookmark_name(kept, bookmark.name)))
    session.document = replace(session.document, bookmarks=kept)
    return kept[len(kept) - len(bookmarks) :]


def _delete(session: Session, index: int) -> None:
    bookmarks = session.document.bookmarks
    left = (*bookmarks[:index], *bookmarks[index + 1 :])
    session.document = replace(session.document, bookmarks=left)


def _paint_tile(
    session: Session,
    bookmark: Bookmark,
    corner: imgui.ImVec2,
    side: float,
    is_ours: bool,
    is_chosen: bool,
) -> None:
    pixels = pixels_of(bookmark.thumbnail)
    texture = session.textures.of(pixels) if pixels is not None else 0
    fields.tile(texture, corner, side, not is_ours, is_chosen)
