"""The thread of the user's scripts, which can be stopped: after a time limit or by hand.

Scripts have a thread of their own, for which the engine's waits. What stops a script is raised there,
so that it cannot strike the engine; a thread that was told to stop is not used again.
"""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from splatviz_app.edits.errors import EditError
from splatviz_app.edits.script import ScriptStopped

T = TypeVar("T")

_PATIENCE = 2.0  # seconds that a script has to end once it was told to
_PAUSE = 0.01  # seconds between two tellings


class ScriptRunner:
    """Runs one script at a time, each within the time limit. `stop` may be called from any thread."""

    def __init__(self, seconds: float = 2.0) -> None:
        """Begin with a time limit in seconds."""
        self.seconds = seconds
        self._thread: _ScriptThread | None = None
        self._wants_stop = False
        self._since: float | None = None  # time.monotonic() seconds

    def __del__(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._thread.tasks.put(None)

    @property
    def running_seconds(self) -> float:
        """How long the present script has been running; 0 if none does."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0

    def stop(self) -> None:
        """End the script that runs now, if one does."""
        self._wants_stop = self._since is not None

    def run(self, work: Callable[[], T]) -> T:
        """Call `work` on the scripts' thread and wait for it.

        Raises:
            EditError: It took longer than the limit, or was stopped. A script that does not even end
                then, because it waits inside a library, is left to itself.
            Exception: What `work` raised.
        """
        thread = self._thread or _ScriptThread()
        self._thread = None  # until it has proved that it can be used again
        self._wants_stop = False
        self._since = begin = time.monotonic()
        task = _Task(work)
        thread.tasks.put(task)
        try:
            why = self._wait(task, begin)
            if why is None:
                self._thread = thread
                if task.error is not None:
                    raise task.error
                return task.result
            thread.tasks.put(None)  # the thread ends with the script
            ended = thread.stop(task)
        finally:
            self._since = None
        raise EditError(why if ended else f"{why} It does not answer and was left behind.")

    def _wait(self, task: _Task, begin: float) -> str | None:
        """Wait until the task ends, and return None, or a sentence why it must not go on."""
        while not task.ended.wait(min(0.05, max(0.0, begin + self.seconds - time.monotonic()))):
            if self._wants_stop:
                return "the script was stopped."
            if time.monotonic() - begin >= self.seconds:
                return (
                    f"the script ran for more than {self.seconds:g} s and was stopped. Make it "
                    "faster, or raise the time limit in the Edit panel."
                )
        return None


@dataclass(eq=False)
class _Task:
    work: Callable[[], Any]
    result: Any = None
    error: BaseException | None = None
    is_over: bool = False  # a little earlier than `ended`: nothing need be stopped any more
    ended: threading.Event = field(default_factory=threading.Event)

    def do(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error
        self.is_over = True
        self.ended.set()


class _ScriptThread(threading.Thread):
    """Does tasks until it is given None."""

    def __init__(self) -> None:
        super().__init__(name="script", daemon=True)
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.stopping: list[bool] = []  # not empty: loops of the script end by themselves
        self.start()

    def run(self) -> None:
        with suppress(ScriptStopped):  # it may come when the script has just ended by itself
            while (task := self.tasks.get()) is not None:
                task.do()
                del task  # it holds a head

    def stop(self, task: _Task) -> bool:
        """Raise `ScriptStopped` in the thread until the task has ended; False if that is in vain."""
        begin = time.monotonic()
        self.stopping.append(True)
        while self.is_alive() and not task.ended.is_set():
            if time.monotonic() - begin > _PATIENCE:
                return False
            if task.is_over:
                task.ended.wait(_PAUSE)
                continue
            # Takes effect at the next line of Python that the thread comes to; a script that catches
            # it by a trick gets it again.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident or 0), ctypes.py_object(ScriptStopped)
            )
            task.ended.wait(_PAUSE)
        return True
