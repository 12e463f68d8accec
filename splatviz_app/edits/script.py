"""The user's Python: read, run, evaluated. The one door of `compile`, `exec` and `eval`.

Only text that the user typed or agreed to comes here; what raises inside becomes an `EditError` that
names the line.
"""

from __future__ import annotations

import ast
import codeop
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any, Literal

from splatviz_app.edits.errors import EditError

_FILE = "<script>"  # the file name of scripts in tracebacks
# How the class below, and what is true once it is wanted, are called in a script's names.
_STOP, _WANTED = "__stopped__", "__stopping__"


class ScriptStopped(SystemExit):
    """Raised inside a script that must end. Threads end by it without a word, as by any SystemExit."""


@dataclass(frozen=True, eq=False)
class Script:
    """A text that is Python."""

    code: CodeType
    reads: frozenset[str]  # names that it takes from outside
    sliders: frozenset[str]  # x for every `slider.x`

    def run(self, namespace: dict[str, Any]) -> None:
        """Run it with these names, to which it adds its own.

        Raises:
            EditError: It raised; the line and the message.
            ScriptStopped: It was stopped.
        """
        _guarded(lambda: exec(self.code, _with_stop(namespace)))

    def evaluate(self, namespace: dict[str, Any]) -> Any:
        """The value of a text that was read by `read_expression`.

        Raises:
            EditError: It raised; the line and the message.
            ScriptStopped: It was stopped.
        """
        return _guarded(lambda: eval(self.code, _with_stop(namespace)))


@lru_cache(maxsize=256)
def read_script(text: str) -> Script:
    """Read statements.

    Raises:
        EditError: The text is not Python; the line and why.
    """
    return _read(text, "exec")


@lru_cache(maxsize=256)
def read_expression(text: str) -> Script:
    """Read one expression.

    Raises:
        EditError: The text is not an expression; the line and why.
    """
    return _read(text.strip(), "eval")


def is_unfinished(text: str) -> bool:
    """Whether more text could make Python of it: an open bracket, a block without its body."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return codeop.compile_command(text, _FILE, "exec") is None
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            return False  # the last two: nested too deep to be read


def _read(text: str, mode: Literal["exec", "eval"]) -> Script:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a doubtful escape is no reason to write to the terminal
            tree: Any = ast.parse(text, _FILE, mode)
            for node in ast.walk(tree):
                if isinstance(node, ast.Try):
                    _let_stop_through(node)
                elif isinstance(node, ast.While | ast.For):
                    _look_whether_to_stop(node)
            code = compile(tree, _FILE, mode, dont_inherit=True)
    except SyntaxError as error:
        raise EditError(_spelled(error), min(error.lineno or 1, text.count("\n") + 1)) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise EditError(f"this cannot be read as Python ({error}).", 1) from error
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)} - {_STOP, _WANTED}
    stored |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    sliders = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "slider"
    }
    return Script(code, frozenset(loaded - stored), frozenset(sliders))


def _let_stop_through(node: ast.Try) -> None:
    """Put `except __stopped__: raise` before the handlers: no `except:` of a script may keep it running."""
    if not node.handlers:
        return
    first = node.handlers[0]
    handler = ast.ExceptHandler(type=ast.Name(_STOP, ast.Load()), name=None, body=[ast.Raise()])
    for part in ast.walk(handler):
        ast.copy_location(part, first)
    node.handlers.insert(0, handler)


def _look_whether_to_stop(node: ast.While | ast.For) -> None:
    """Begin a loop's body with `if __stopping__: raise __stopped__`: what is raised once may be swallowed."""
    look = ast.If(
        test=ast.Name(_WANTED, ast.Load()),
        body=[ast.Raise(exc=ast.Name(_STOP, ast.Load()))],
        orelse=[],
    )
    for part in ast.walk(look):
        ast.copy_location(part, node.body[0])
    node.body.insert(0, look)


def _with_stop(namespace: dict[str, Any]) -> dict[str, Any]:
    namespace[_STOP] = ScriptStopped
    # The thread of scripts has a list that is filled when it is told to stop.
    namespace[_WANTED] = getattr(threading.current_thread(), "stopping", ())
    return namespace


def _guarded(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (ScriptStopped, EditError) as error:
        if isinstance(error, EditError) and not error.line:
            raise EditError(error.message, _line_of(error)) from error
        raise
    except BaseException as error:  # whatever a script raises is told; nothing ends the program
        raise EditError(_told(error), _line_of(error)) from error


def _line_of(error: BaseException) -> int:
    """The innermost line of the script in an error's traceback; 0 if it never was in one."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == _FILE), 0)


def _told(error: BaseException) -> str:
    """An exception as one sentence."""
    message = " ".join(str(error).split())
    kind = type(error).__name__
    if isinstance(error, KeyError):
        message = f"there is no {message}"
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "a script cannot end the program; it just ends."
    if isinstance(error, MemoryError):
        return "this needs more memory than there is."
    if len(message) > 300:
        message = f"{message[:300]}…"
    return f"{message} ({kind})" if message else kind


def _spelled(error: SyntaxError) -> str:
    """A syntax error as one sentence."""
    message = error.msg or "this is not Python"
    return message[:1].lower() + message[1:]
