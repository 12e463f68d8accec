"""The edit of a selection: what was selected is left out of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from splatviz_app.edits.errors import EditError
from splatviz_app.edits.splats import EditedSplats
from splatviz_app.edits.values import Edit, EditContext
from splatviz_app.selection import Selection, selected_rows


@dataclass(frozen=True, kw_only=True)
class DeleteSelected(Edit):
    """Deletes certain splats of the head, whatever becomes of the selection afterwards."""

    title: ClassVar[str] = "Delete splats"
    help: ClassVar[str] = "Deletes the splats that were selected when it was made."

    selection: Selection | None = None

    def apply(self, splats: EditedSplats, context: EditContext) -> EditedSplats:
        """Keep all others."""
        if self.selection is None:
            return splats
        whole = sum(splats.level_sizes)
        if self.selection.count != whole:
            raise EditError(
                f"these splats were selected in a head of {self.selection.count:,} splats, and this one "
                f"has {whole:,}; switch the edit off, or remove it."
            )
        if splats.is_foreign:
            raise EditError(
                "a script before it made the splats anew, so that nobody knows which they were; move "
                "this edit above the script."
            )
        return splats.keep(~selected_rows(self.selection, splats))
