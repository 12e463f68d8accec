"""The error of an edit, with the line of the script where there is one."""

from __future__ import annotations

from renderer.errors import SplatheadError


class EditError(SplatheadError):
    """An edit cannot be applied; a sentence without its traceback."""

    def __init__(self, message: str, line: int = 0, name: str = "", key: int = 0) -> None:
        """Tell what is wrong.

        Args:
            message: A sentence for the user.
            line: Of the script, from 1; 0 if there is none.
            name: Of the edit.
            key: The edit's `key` in its stack; 0 if unknown.
        """
        where = ", ".join(part for part in (name, f"line {line}" if line else "") if part)
        super().__init__(f"{where}: {message}" if where else message)
        self.message, self.line, self.name, self.key = message, line, name, key

    def of(self, name: str, key: int) -> EditError:
        """The same error, told of an edit of a stack."""
        return EditError(self.message, self.line, name, key)
