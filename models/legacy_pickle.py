"""Opens published CGS-GAN `.pkl` files as inert data: nothing in them runs, whatever they contain.

Such a file is a pickled dict of networks, each with the source text of its class, which the original
loader executes. Here `inert_pickle.py` turns the file into values that only describe what was to be
made; this file finds networks among them by their layout, and takes their tensors and constructor
arguments. The source text is ignored.
"""

from __future__ import annotations

import os
import stat
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import BinaryIO

from torch import Tensor

from models.inert_pickle import (
    Budget,
    Global,
    MalformedPickle,
    Object,
    Pairs,
    Span,
    quoted,
    read_value,
)
from models.inert_tensors import (
    WeightReader,
    describe,
    is_array,
    is_array_scalar,
    is_tensor,
)
from renderer.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class PublishedNetwork:
    """One network of a published file, as plain data."""

    class_name: str  # as its authors called it; differs between releases, so decide by `state`
    # Parameters and buffers by dotted name, on the CPU, without gradients.
    state: dict[str, Tensor]
    # Which of these are parameters, in the order in which an optimiser numbers them.
    parameters: tuple[str, ...]
    # What its constructor was given by keyword, as plain data; by position under "_init_args".
    init_kwargs: dict[str, object]
    # Numbers, texts and short tuples of them that are plain attributes of the network, its modules
    # and the objects in these, by dotted path: "point_gen.res", "point_gen._init_kwargs.depth".
    attributes: dict[str, object]


@dataclass(frozen=True, eq=False)
class PublishedFile:
    """What a published file holds, as plain data."""

    networks: dict[str, PublishedNetwork]  # "G_ema", "G", "D", … as found
    # The rest: numbers, texts, bytes, tuples, lists, dicts, tensors and NumPy arrays. A set is a
    # list, a name or a device a text, and any other object a dict of its attributes and "__class__".
    values: dict[str, object]


def read_published(
    path: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
    *,
    only: Collection[str] | None = None,
) -> PublishedFile:
    """Read the networks of a published `.pkl` file without running anything in it.

    Args:
        path: The file.
        progress: Called with bytes read and bytes in total, for every tensor. Whatever it raises
            (but OSError) passes through and ends the reading.
        only: The names of the networks to read, usually `{"G_ema"}`; the others and the optimiser
            states are passed over. They can be most of the file. None reads everything.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or is no published network.
    """
    try:
        _check_is_file(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_is_pickle(file, size)
            return _Published(file, _Progress(size, progress)).read(only)
    except MalformedPickle as error:
        # Whoever keeps the error, to show it, should not keep the weights that were read before it.
        traceback.clear_frames(error.__traceback__)
        raise CheckpointError(path, str(error)) from error
    except FileNotFoundError as error:
        raise CheckpointError(path, "does not exist. Check its name, or download it.") from error
    except PermissionError as error:
        sentence = "may not be read by you. Change its permissions, or copy it to your own folder."
        raise CheckpointError(path, sentence) from error
    except OSError as error:
        sentence = f"cannot be read ({error.strerror}). Copy it to a local disk and open that."
        raise CheckpointError(path, sentence) from error


class _Progress:
    """How much of a file was read, and who wants to know.

    Apart from `_Published`, so that no cycle keeps the weights until the garbage is collected.
    """

    def __init__(self, total: int, report: Callable[[int, int], None] | None) -> None:
        self.total, self._done, self._report = total, 0, report

    def advance(self, count: int) -> None:
        """Count bytes just read."""
        self._done += count
        if self._report is not None:
            self._report(self._done, self.total)

    def finish(self) -> None:
        """Count what was passed over."""
        self.advance(self.total - self._done)


class _Published:
    """One open file, and what is made from it."""

    def __init__(self, file: BinaryIO, progress: _Progress) -> None:
        self._file, self._progress = file, progress
        self._budget = Budget()
        self._weights = WeightReader(file, self._budget, progress.advance)

    def read(self, only: Collection[str] | None) -> PublishedFile:
        root = read_value(self._file, self._progress.total, self._budget)
        if not isinstance(root, Pairs) and _class_name(root) not in _DICTS:
            raise MalformedPickle(f"holds {describe(root)}, not a dict of networks. {_WHICH}")
        entries = self._named(root)
        found = {name: value for name, value in entries.items() if self._is_network(value)}
        values: dict[str, object] = {}
        for name, value in entries.items():
            if name in _NETWORK_NAMES and name not in found and value is not None:
                raise MalformedPickle(f"has {describe(value)} as {name!r}, not a network. {_WHICH}")
            if name not in found and (only is None or not name.endswith("_opt")):
                values[name] = self._plain(value)
        if not found:
            names = ", ".join(quoted(name) for name in list(entries)[:5]) or "nothing"
            raise MalformedPickle(f"holds no network, only {names}. {_WHICH}")
        networks = {
            name: self._network(name, value)
            for name, value in found.items()
            if only is None or name in only
        }
        self._progress.finish()
        return PublishedFile(networks, values)

    # ── networks ────────────────────────────────────────────────────────────────────────────────

    def _network(self, name: str, root: object) -> PublishedNetwork:
        """Walk the modules of a network, and gather what they hold."""
        state: dict[str, Tensor] = {}
        parameters: list[str] = []
        attributes: dict[str, object] = {}
        seen: set[int] = set()
        waiting: list[tuple[str, object, int]] = [("", root, 0)]
        while waiting:
            prefix, module, depth = waiting.pop()
            if depth > _DEEPEST:
                raise MalformedPickle(f"nests modules without end in {quoted(name)}. {_WHICH}")
            fields = self._fields(module)
            for kind in ("_parameters", "_buffers"):
                for key, value in self._named(fields.get(kind)).items():
                    if value is not None:
                        path = self._path(prefix, key)
                        state[path] = self._tensor(value, path)
                        if kind == "_parameters":
                            parameters.append(path)
            attributes |= self._attributes(prefix, fields, seen)
            children = self._named(fields.get("_modules")).items()
            # Reversed, because the last one waiting is next: weights are then read in file order.
            waiting += [
                (self._path(prefix, key, "."), child, depth + 1)
                for key, child in reversed(children)
                if child is not None
            ]
        fields = self._fields(root)
        init_kwargs = {
            key: self._plain(value)
            for key, value in self._named(fields.get("_init_kwargs")).items()
        }
        if fields.get("_init_args"):
            init_kwargs["_init_args"] = self._plain(fields["_init_args"])
        return PublishedNetwork(
            _class_name(root), state, tuple(parameters), init_kwargs, attributes
        )

    def _path(self, *parts: str) -> str:
        """Join names to a longer one, which is new text and paid for as such."""
        self._budget.spend(text=sum(map(len, parts)))
        return "".join(parts)

    def _tensor(self, value: object, name: str) -> Tensor:
        if not isinstance(value, Object) or not is_tensor(value):
            raise MalformedPickle(
                f"has {describe(value)} instead of numbers as {quoted(name)}. {_WHICH}"
            )
        return self._weights.tensor(value)

    def _attributes(
        self, prefix: str, fields: dict[str, object], seen: set[int]
    ) -> dict[str, object]:
        """Gather the plain attributes of one module, and of objects and dicts among them.

        Args:
            prefix: The path of the module, with a dot at its end.
            fields: Its attributes.
            seen: Ids of objects visited already, which are not visited again; added to here.
        """
        found: dict[str, object] = {}
        waiting = [(prefix, fields)]
        while waiting:
            path, fields = waiting.pop()
            for key, value in fields.items():
                if key.startswith("_") and key != "_init_kwargs":
                    continue
                constant = self._constant(value)
                if constant is not None:
                    found[self._path(path, key)] = constant
                elif isinstance(value, Object | Pairs) and id(value) not in seen:
                    seen.add(id(value))
                    if not (is_tensor(value) or is_array(value)) and path.count(".") < _DEEPEST:
                        waiting.append((self._path(path, key, "."), self._fields(value)))
        return found

    def _constant(self, value: object) -> object:
        """Read a number, a text or a short tuple of them; None for anything else."""
        if isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Object) and is_array_scalar(value):
            return self._weights.array(value).item()
        if isinstance(value, Global):
            return value.dotted
        if isinstance(value, tuple | list) and 0 < len(value) <= 16:
            self._budget.spend(visits=len(value))
            if all(isinstance(item, bool | int | float | str) for item in value):
                return tuple(value)
        return None

    def _is_network(self, value: object) -> bool:
        return (
            isinstance(value, Object) and {"_parameters", "_modules"} <= self._fields(value).keys()
        )

    def _fields(self, value: object) -> dict[str, object]:
        """Read the attributes of an object, or the items of a dict; those that have a name."""
        if isinstance(value, Pairs):
            return self._named(value)
        if not isinstance(value, Object):
            return {}
        if (description := _persistent(value)) is not None:
            return self._named(self._named(description).get("state"))
        named = self._named(value)
        # A state is a dict, or that and a dict of slots.
        parts = value.state if isinstance(value.state, tuple) else (value.state,)
        for part in parts[:2]:
            named |= self._named(part)
        return named

    def _named(self, value: object) -> dict[str, object]:
        """Read a dict or a dict-like object; the items that have a name."""
        return {key: item for key, item in self._pairs(value) if isinstance(key, str)}

    def _pairs(self, value: object) -> list[tuple[object, object]]:
        """Find the items of a dict or a dict-like object, also those that an old one was built from."""
        pairs = value.pairs if isinstance(value, Pairs | Object) else []
        self._budget.spend(visits=1 + len(pairs))
        if (
            not isinstance(value, Object)
            or len(value.args) != 1
            or _class_name(value) not in _DICTS
        ):
            return pairs
        match value.args[0]:
            case Pairs(given):
                self._budget.spend(visits=len(given))
                return given + pairs
            case list(given):
                self._budget.spend(visits=len(given))
                two = [pair for pair in given if isinstance(pair, list | tuple) and len(pair) == 2]
                return [(pair[0], pair[1]) for pair in two] + pairs
        return pairs

    # ── everything else ─────────────────────────────────────────────────────────────────────────

    def _plain(self, value: object, depth: int = 0) -> object:
        """Make plain data of an inert value. What is shared is made anew each time."""
        self._budget.spend(visits=1)
        if depth > _DEEPEST:
            raise MalformedPickle(f"nests values without end. {_WHICH}")
        match value:
            case None | bool() | int() | float() | str():
                return value
            case tuple() | list():
                return type(value)(self._plain(item, depth + 1) for item in value)
            case Span():
                return self._weights.raw(value)
            case Global():
                return value.dotted
            case Pairs():
                return self._plain_dict(value.pairs, depth)
            case Object():
                return self._plain_object(value, depth)
        raise MalformedPickle(f"holds {describe(value)}. {_WHICH}")

    def _plain_dict(self, pairs: list[tuple[object, object]], depth: int) -> dict[object, object]:
        return {_plain_key(key): self._plain(value, depth + 1) for key, value in pairs}

    def _plain_object(self, value: Object, depth: int) -> object:
        if is_tensor(value):
            return self._weights.tensor(value)
        if is_array_scalar(value):
            return self._weights.array(value).item()
        if is_array(value):
            return self._weights.array(value)
        name = _class_name(value)
        if name in _DICTS:
            return self._plain_dict(self._pairs(value), depth)
        if name in _LISTS:
            items = value.args[0] if value.args and isinstance(value.args[0], list | tuple) else ()
            return [self._plain(item, depth + 1) for item in (*items, *value.items)]
        match value:
            case Object(Global("torch", "Size"), (tuple(size),)):
                return self._plain(size, depth + 1)
            case Object(Global("torch", "device"), (str(kind),)) if len(kind) < 16:
                return kind
            case Object(Global("torch", "device"), (str(kind), int(index))) if len(kind) < 16:
                return f"{kind}:{index}"
            case Object(Global("_codecs", "encode")):
                return self._weights.raw(value)
        fields: dict[str, object] = {"__class__": name}
        if value.args and _persistent(value) is None:
            fields["args"] = value.args
        if value.items:
            fields["items"] = value.items
        fields |= self._fields(value)
        return {key: self._plain(item, depth + 1) for key, item in fields.items()}


def _plain_key(key: object) -> object:
    """Make a key that is quick to hash: anything but texts and everyday numbers becomes a text."""
    if isinstance(key, str | bool | float) or key is None:
        return key
    if isinstance(key, int) and abs(key) < 1 << 63:
        return key
    return describe(key)


def _persistent(value: Object) -> Pairs | Object | None:
    """Find the description of an object that its authors' hook for pickling wrote."""
    match value:
        case Object(Global(_, "_reconstruct_persistent_obj"), (Pairs() | Object() as description,)):
            return description
    return None


def _class_name(value: object) -> str:
    """Name the class of an inert object."""
    if not isinstance(value, Object):
        return ""
    if (description := _persistent(value)) is not None:
        names = [item for key, item in description.pairs if key == "class_name"]
        return names[-1] if names and isinstance(names[-1], str) else ""
    maker = value.maker
    if isinstance(maker, Global) and maker.dotted in _RECONSTRUCTORS and value.args:
        maker = value.args[0]
    return maker.dotted if isinstance(maker, Global) else ""


def _check_is_file(path: str | os.PathLike[str]) -> None:
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a null character, a lone surrogate
        raise MalformedPickle("is not a name that a file can have. Check it.") from error
    if stat.S_ISDIR(mode):
        raise MalformedPickle("is a folder. Choose the .pkl file in it.")
    if not stat.S_ISREG(mode):  # a pipe would block, a device never end
        raise MalformedPickle("is not a file but a device. Choose a .pkl file.")


def _check_is_pickle(file: BinaryIO, size: int) -> None:
    """Say what a file is that does not begin as a pickle does, and leave it at its beginning."""
    start = file.read(64)
    file.seek(0)
    if size == 0:
        raise MalformedPickle("is empty. Download or copy it again.")
    if start[:1] == b"\x80":
        return
    for beginning, sentence in _OTHER_FILES:
        if start.lstrip().lower().startswith(beginning):
            raise MalformedPickle(sentence)
    raise MalformedPickle(f"is no pickle: it begins with {start[:12]!r}. {_WHICH}")


_WHICH = "Choose a .pkl file that the authors of CGS-GAN published, or one that their code wrote."
_OTHER_FILES = (
    (b"pk\x03\x04", f"is a zip archive, as torch.save writes it, and not a pickle. {_WHICH}"),
    (
        b"version https://git-lfs",
        "is only a Git LFS pointer to the weights. Download the file itself, or `git lfs pull` it.",
    ),
    (b"<!doctype", "is a web page. Download the file that the page offers."),
    (b"<html", "is a web page. Download the file that the page offers."),
)
_NETWORK_NAMES = ("G_ema", "G", "D")
_DEEPEST = 64  # modules in modules, values in values; published files stay below 12
_DICTS = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "dnnlib.util.EasyDict",
    "dnnlib.EasyDict",
}
_LISTS = {"builtins.set", "builtins.frozenset", "builtins.list", "__builtin__.set"}
_RECONSTRUCTORS = {"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"}
