"""Reads a pickle as inert data: nothing here imports, calls or hashes what a file names.

Python's own unpickler, even a restricted one, calls what its `find_class` returns, allocates what a
size claims and recurses into keys. This one knows the opcodes that picklers write in protocols 2 to
5, and for each of them only stores: a call becomes an `Object`, a name a `Global`, a byte string the
place where it lies in the file. `Budget` bounds what that may cost.
"""

from __future__ import annotations

import pickle  # for the opcodes' names only
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO


class MalformedPickle(Exception):
    """What is wrong with a file, as the rest of a sentence that begins with its path."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that the file would have imported."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """`module.name`."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Span:
    """A byte string, left where it is: its place in the file, in bytes."""

    start: int
    length: int


@dataclass(slots=True, eq=False)
class Pairs:
    """A dict, as its (key, value) pairs in the order written. Not hashed: a key may be anything."""

    pairs: list[tuple[object, object]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Object:
    """What a call or an instance would have been: its maker, arguments, and what it was given."""

    maker: object  # a Global, or for a hostile file any other value
    args: tuple[object, ...]
    state: object = None
    items: list[object] = field(default_factory=list)
    pairs: list[tuple[object, object]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class PersistentId:
    """A reference to something outside of the pickle, as torch writes for storages."""

    value: object


@dataclass
class Budget:
    """What one file may cost. Published checkpoints stay below a tenth of each; a bomb does not.

    One opcode holds at most about 250 bytes of memory, so `opcodes` bounds memory and time alike.
    """

    opcodes: int = 2_000_000
    text: int = 64_000_000  # bytes of text and numbers in memory; byte strings stay in the file
    visits: int = 2_000_000  # values looked at when the result is walked, shared ones each time

    def spend(self, *, text: int = 0, visits: int = 0) -> None:
        """Take from what is left.

        Raises:
            MalformedPickle: Not that much is left.
        """
        self.text -= text
        self.visits -= visits
        if min(self.opcodes, self.text, self.visits) < 0:
            raise MalformedPickle(
                "holds far more values or text than a checkpoint does, or shares them without end. "
                "Only published CGS-GAN files can be opened."
            )


def read_value(
    file: BinaryIO, end: int, budget: Budget, *, allow_persistent_ids: bool = False
) -> object:
    """Read one pickle from where `file` stands, and leave it right after.

    Args:
        file: A buffered file, opened for reading bytes.
        end: Where the pickle must have ended, in bytes from the beginning of the file.
        budget: What may be spent; shared by all pickles of one file, and lowered here.
        allow_persistent_ids: Accept references to outside values, which come as `PersistentId`.

    Returns:
        None, bool, int, float, str, tuple, list, or one of the types above. It may contain itself.

    Raises:
        MalformedPickle: It is no pickle, is damaged, or asks for more than a checkpoint needs.
        OSError: The file cannot be read.
    """
    reader = _Reader(file, end, budget, allow_persistent_ids)
    try:
        return reader.read()
    except (IndexError, KeyError):  # the stack or the memo lacks what an opcode takes
        raise reader.damaged("an opcode finds nothing to work on") from None
    except UnicodeDecodeError:
        raise reader.damaged("a text is not UTF-8") from None


def quoted(text: str) -> str:
    """Make a text out of a file fit for a sentence: short, printable, in quotes."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


class _Reader:
    """The state of one pickle being read: a stack of values, marks on it, and a memo."""

    def __init__(self, file: BinaryIO, end: int, budget: Budget, allow_persistent_ids: bool):
        self._file, self._end, self._budget = file, end, budget
        self._allow_persistent_ids = allow_persistent_ids
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def read(self) -> object:
        """Run opcodes until the one that stops."""
        read, operations, budget = self._file.read, _OPERATIONS, self._budget
        while (code := read(1)) != pickle.STOP:
            budget.opcodes -= 1  # this is the loop that matters: no call per opcode
            if budget.opcodes < 0:
                budget.spend()
            operation = operations.get(code)
            if operation is None:
                raise self._unknown(code)
            operation(self)
        value = self._pop()
        if self._file.tell() > self._end:
            raise self.damaged("a part reaches into the next")
        return value

    def damaged(self, what: str) -> MalformedPickle:
        """Say that the file is not as its writer left it."""
        return MalformedPickle(
            f"is damaged near byte {self._file.tell():,}: {what}. Download or copy it again."
        )

    def _unknown(self, code: bytes) -> MalformedPickle:
        if not code:
            return MalformedPickle(
                f"ends too early, after {self._file.tell():,} bytes. Download or copy it again."
            )
        return self.damaged(f"no checkpoint contains opcode 0x{code[0]:02x}")

    # ── the stack ───────────────────────────────────────────────────────────────────────────────

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise IndexError
        return self._stack.pop()

    def _top(self) -> object:
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise IndexError
        return self._stack[-1]

    def _pop_to_mark(self) -> list[object]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    # ── bytes of the file ───────────────────────────────────────────────────────────────────────

    def _take(self, count: int) -> bytes:
        """Read `count` bytes into memory; checked before anything is allocated."""
        self._budget.spend(text=count)
        taken = self._file.read(count)
        if len(taken) < count:
            raise self._unknown(b"")
        return taken

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _text(self, width: int) -> None:
        self._push(self._take(self._unsigned(width)).decode())

    def _span(self, width: int) -> None:
        length = self._unsigned(width)
        start = self._file.tell()
        if start + length > self._end:
            raise MalformedPickle(
                f"ends too early: {length:,} bytes are announced at byte {start:,}, and "
                f"{max(self._end - start, 0):,} are there. Download or copy it again."
            )
        self._file.seek(start + length)
        self._push(Span(start, length))

    def _line(self) -> str:
        line = self._file.readline(256)
        if not line.endswith(b"\n"):
            raise self.damaged("a name does not end")
        return line[:-1].decode()

    # ── one method per kind of opcode ───────────────────────────────────────────────────────────

    def protocol(self) -> None:
        version = self._unsigned(1)
        if version > pickle.HIGHEST_PROTOCOL:
            raise MalformedPickle(
                f"says that it is a pickle of protocol {version}. Download or copy it again."
            )

    def frame(self) -> None:
        """Skip the length of a frame: frames only help readers that read ahead."""
        length = self._unsigned(8)
        if self._file.tell() + length > self._end:
            raise self._unknown(b"")

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop(self) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._pop()

    def signed(self, width: int) -> None:
        self._push(int.from_bytes(self._take(width), "little", signed=True))

    def long(self, width: int) -> None:
        """Read a whole number; above 255 bytes it would be slow to handle and is none of ours."""
        length = self._unsigned(width)
        if length > 255:
            raise self.damaged("a number has too many digits")
        self.signed(length)

    def real(self) -> None:
        self._push(struct.unpack(">d", self._take(8))[0])

    def make_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def append(self) -> None:
        value = self._pop()
        self._items().append(value)

    def append_all(self) -> None:
        values = self._pop_to_mark()
        self._items().extend(values)

    def _items(self) -> list[object]:
        target = self._top()
        items = target.items if isinstance(target, Object) else target
        if not isinstance(items, list):
            raise self.damaged("items are added to what is no list")
        return items

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_pairs([key, value])

    def _set_pairs(self, values: list[object]) -> None:
        target = self._top()
        if not isinstance(target, Pairs | Object) or len(values) % 2:
            raise self.damaged("keys are set on what is no dict")
        target.pairs.extend(zip(values[::2], values[1::2], strict=True))

    def named_global(self) -> None:
        module = self._line()
        self._push(Global(module, self._line()))

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise self.damaged("a name is not a text")
        if len(module) + len(name) > 256:
            raise self.damaged("a name does not end")
        self._push(Global(module, name))

    def call(self) -> None:
        """Store what was to be called or instantiated; nothing is."""
        args, maker = self._pop(), self._pop()
        if not isinstance(args, tuple):
            raise self.damaged("a call has no arguments")
        self._push(Object(maker, args))

    def call_with_keywords(self) -> None:
        keywords, args, maker = self._pop(), self._pop(), self._pop()
        if not isinstance(args, tuple) or not isinstance(keywords, Pairs):
            raise self.damaged("a call has no arguments")
        self._push(Object(maker, args, state=keywords))

    def build(self) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, Object):
            raise self.damaged("a state is given to what has none")
        target.state = state

    def persistent_id(self) -> None:
        if not self._allow_persistent_ids:
            raise MalformedPickle(
                "refers to parts outside of itself, as files of torch.save do. "
                "Only published CGS-GAN .pkl files can be opened."
            )
        self._push(PersistentId(self._pop()))

    def put(self, width: int) -> None:
        self._memo[self._unsigned(width)] = self._top()

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, width: int) -> None:
        self._push(self._memo[self._unsigned(width)])


# All that Python's picklers write in protocols 2 to 5, but out-of-band buffers and extension codes.
# Text opcodes of protocols 0 and 1 are left out: no published file has them.
_OPERATIONS: dict[bytes, Callable[[_Reader], None]] = {
    pickle.PROTO: _Reader.protocol,
    pickle.FRAME: _Reader.frame,
    pickle.MARK: _Reader.mark,
    pickle.POP: _Reader.pop,
    pickle.POP_MARK: lambda reader: reader._pop_to_mark().clear(),
    pickle.NONE: lambda reader: reader._push(None),
    pickle.NEWTRUE: lambda reader: reader._push(True),
    pickle.NEWFALSE: lambda reader: reader._push(False),
    pickle.BININT: lambda reader: reader.signed(4),
    pickle.BININT1: lambda reader: reader._push(reader._unsigned(1)),
    pickle.BININT2: lambda reader: reader._push(reader._unsigned(2)),
    pickle.LONG1: lambda reader: reader.long(1),
    pickle.LONG4: lambda reader: reader.long(4),
    pickle.BINFLOAT: _Reader.real,
    pickle.SHORT_BINUNICODE: lambda reader: reader._text(1),
    pickle.BINUNICODE: lambda reader: reader._text(4),
    pickle.BINUNICODE8: lambda reader: reader._text(8),
    pickle.SHORT_BINBYTES: lambda reader: reader._span(1),
    pickle.BINBYTES: lambda reader: reader._span(4),
    pickle.BINBYTES8: lambda reader: reader._span(8),
    pickle.BYTEARRAY8: lambda reader: reader._span(8),
    pickle.EMPTY_TUPLE: lambda reader: reader._push(()),
    pickle.TUPLE1: lambda reader: reader.make_tuple(1),
    pickle.TUPLE2: lambda reader: reader.make_tuple(2),
    pickle.TUPLE3: lambda reader: reader.make_tuple(3),
    pickle.TUPLE: lambda reader: reader._push(tuple(reader._pop_to_mark())),
    pickle.EMPTY_LIST: lambda reader: reader._push([]),
    pickle.EMPTY_SET: lambda reader: reader._push([]),  # a set is the list of its items
    pickle.FROZENSET: lambda reader: reader._push(reader._pop_to_mark()),
    pickle.APPEND: _Reader.append,
    pickle.APPENDS: _Reader.append_all,
    pickle.ADDITEMS: _Reader.append_all,
    pickle.EMPTY_DICT: lambda reader: reader._push(Pairs()),
    pickle.SETITEM: _Reader.set_item,
    pickle.SETITEMS: lambda reader: reader._set_pairs(reader._pop_to_mark()),
    pickle.GLOBAL: _Reader.named_global,
    pickle.STACK_GLOBAL: _Reader.stack_global,
    pickle.REDUCE: _Reader.call,
    pickle.NEWOBJ: _Reader.call,
    pickle.NEWOBJ_EX: _Reader.call_with_keywords,
    pickle.BUILD: _Reader.build,
    pickle.BINPERSID: _Reader.persistent_id,
    pickle.BINPUT: lambda reader: reader.put(1),
    pickle.LONG_BINPUT: lambda reader: reader.put(4),
    pickle.MEMOIZE: _Reader.memoize,
    pickle.BINGET: lambda reader: reader.get(1),
    pickle.LONG_BINGET: lambda reader: reader.get(4),
}
