"""Published files are read as inert data, whatever they contain."""

import builtins
import collections
import contextlib
import functools
import importlib
import io
import json
import operator
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.legacy_pickle import read_published
from renderer.errors import CheckpointError
from tests.models.published import (
    EasyDict,
    generator_state,
    network,
    write_entries,
    write_published,
)

# ── what a good file gives ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("storages", ["cpu", "cuda", "old cuda", "zip"])
def test_weights_match_the_state_dict_bit_for_bit(tmp_path, storages):
    state, buffers = generator_state(levels=5, width=8)
    write_published(tmp_path / "head.pkl", state, buffers, storages=storages)

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state

    assert read.keys() == state.keys()
    assert all(_bits(read[name]) == _bits(state[name]) for name in state)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path, protocol):
    state, buffers = generator_state(levels=5, width=8)
    write_published(tmp_path / "head.pkl", state, buffers, protocol=protocol)

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state

    assert all(_bits(read[name]) == _bits(state[name]) for name in state)


def test_tensors_of_every_type_and_shape_survive(tmp_path):
    numbers = torch.arange(30.0).reshape(2, 3, 5) - 7
    kinds = [
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.bool,
        torch.complex64,
    ]
    state = {str(kind): numbers.to(kind) for kind in kinds}
    state |= {
        "bytes": (numbers + 7).to(torch.uint8),
        "transposed": numbers.transpose(0, 2),
        "slice": numbers[1, 1:, ::2],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "unusual": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-42]),
    }
    state = {name.replace("torch.", ""): tensor for name, tensor in state.items()}
    write_published(tmp_path / "head.pkl", state, buffers=state.keys())

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state

    for name, tensor in state.items():
        assert read[name].dtype == tensor.dtype, name
        assert read[name].shape == tensor.shape, name
        assert _bits(read[name]) == _bits(tensor), name


def test_read_weights_are_our_own(tmp_path):
    state, buffers = generator_state(levels=5, width=8)
    write_published(tmp_path / "head.pkl", state, buffers, storages="cuda")

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state
    (tmp_path / "head.pkl").write_bytes(b"")

    for tensor in read.values():
        assert tensor.device.type == "cpu"
        assert not tensor.requires_grad
        assert tensor.data_ptr() % 16 == 0  # aligned, whatever their place in the file
        tensor.add_(1)  # writable


def test_source_text_in_a_file_does_not_run(tmp_path):
    trace = tmp_path / "trace"
    state, buffers = generator_state(levels=5, width=8)
    write_published(tmp_path / "head.pkl", state, buffers, module_src=f"open({str(trace)!r}, 'w')")
    modules = set(sys.modules)

    read_published(tmp_path / "head.pkl")

    assert not trace.exists()
    assert set(sys.modules) <= modules


def test_constructor_arguments_and_constants_are_found(tmp_path):
    state, buffers = generator_state(levels=5, width=8)
    write_published(
        tmp_path / "head.pkl",
        state,
        buffers,
        {"z_dim": 8, "point_gen_kwargs": EasyDict(res=256, sizes=(3, 4))},
        class_name="EarlyGenerator",
        attributes={
            "z_dim": 8,
            "point_gen.percent_dense": np.float64(0.25),
            "point_gen.name": "cgs",
        },
    )

    generator = read_published(tmp_path / "head.pkl").networks["G_ema"]

    assert generator.class_name == "EarlyGenerator"
    assert generator.init_kwargs == {"z_dim": 8, "point_gen_kwargs": {"res": 256, "sizes": (3, 4)}}
    assert generator.attributes["z_dim"] == 8
    assert generator.attributes["point_gen.percent_dense"] == 0.25
    assert generator.attributes["point_gen.name"] == "cgs"
    assert generator.attributes["head_settings.names"] == ("xyz", "scale")
    assert generator.attributes["gaussian_renderer.background.color"] == (1.0, 1.0, 1.0)
    assert generator.attributes["_init_kwargs.point_gen_kwargs.res"] == 256


def test_the_rest_of_a_file_is_plain_data(tmp_path):
    moment = torch.arange(6.0).reshape(2, 3)
    table = np.arange(6, dtype=">i4").reshape(2, 3, order="F")
    rest = {
        "cur_nimg": 15_000_000,
        "device": torch.device("cuda", 1),
        "dtype": torch.float32,
        "shape": torch.Size([2, 3]),
        "names": {"only"},
        "ordered": collections.OrderedDict(b=1, a=None),
        "array": table,
        "fortran": np.asfortranarray(table.astype("f4")),
        "bytes": b"\x00\xff",
        "renderer": builtins.range(3),
        "Gmain_opt": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": moment}}, "lr": 0.0025},
    }
    write_published(tmp_path / "head.pkl", {"w": moment}, extra=rest)

    values = read_published(tmp_path / "head.pkl").values

    assert values["training_set_kwargs"]["resolution"] == 512
    assert values["cur_nimg"] == 15_000_000
    assert values["device"] == "cuda:1"
    assert values["dtype"] == "torch.float32"
    assert values["shape"] == (2, 3)
    assert values["names"] == ["only"]
    assert list(values["ordered"].items()) == [("b", 1), ("a", None)]
    assert np.array_equal(values["array"], table)
    assert np.array_equal(values["fortran"], table)
    assert values["bytes"] == b"\x00\xff"
    assert values["renderer"] == {"__class__": "builtins.range", "args": (0, 3, 1)}
    assert torch.equal(values["Gmain_opt"]["state"][0]["exp_avg"], moment)
    assert values["Gmain_opt"]["lr"] == 0.0025


def test_networks_and_optimisers_that_are_not_wanted_are_passed_over(tmp_path):
    write_published(
        tmp_path / "head.pkl",
        {"w": torch.ones(5, 3)},
        discriminator={"b4.fc.weight": torch.ones(70, 50)},
        extra={"Gmain_opt": {"exp_avg": torch.ones(5, 3)}, "cur_nimg": 3},
    )
    reported: list[tuple[int, int]] = []

    whole = read_published(tmp_path / "head.pkl")
    part = read_published(
        tmp_path / "head.pkl", lambda *read: reported.append(read), only={"G_ema"}
    )

    assert whole.networks.keys() == {"G", "D", "G_ema"}
    assert part.networks.keys() == {"G_ema"}
    assert whole.values.keys() - part.values.keys() == {"Gmain_opt"}
    assert reported[0][0] == 5 * 3 * 4  # the discriminator's numbers were not read


def test_progress_rises_to_the_size_of_the_file(tmp_path):
    state, buffers = generator_state(levels=5, width=8)
    write_published(tmp_path / "head.pkl", state, buffers)
    reported: list[tuple[int, int]] = []

    read_published(tmp_path / "head.pkl", lambda *read: reported.append(read))

    size = (tmp_path / "head.pkl").stat().st_size
    assert reported == sorted(reported)
    assert reported[-1] == (size, size)
    assert len(reported) > 100


def test_a_reading_can_be_cancelled(tmp_path):
    class Cancelled(Exception):
        pass

    def cancel(read: int, total: int) -> None:
        raise Cancelled

    write_published(tmp_path / "head.pkl", {"w": torch.ones(5, 3)})
    with pytest.raises(Cancelled):
        read_published(tmp_path / "head.pkl", cancel)


def test_a_weight_shared_by_two_modules_has_both_names(tmp_path):
    shared = network({"w": torch.ones(5, 3)})
    write_entries(
        tmp_path / "head.pkl", {"G_ema": network({}, _modules={"a": shared, "b": shared})}
    )

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state

    assert read.keys() == {"a.w", "b.w"}
    assert read["a.w"].data_ptr() == read["b.w"].data_ptr()


# ── files that want to run something ────────────────────────────────────────────────────────────


class Call:
    """Pickles as a call of `function`; may itself be called in another one."""

    def __init__(self, function, *args) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self) -> None:
        raise AssertionError("only pickle looks whether this can be called")


class Built:
    """Pickles as `collections.OrderedDict` with a state that is to be set by a call."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def __reduce__(self):
        return collections.OrderedDict, (), {"harmless": self.call}, iter([self.call]), iter([])


def hostile_calls(trace: Path) -> dict[str, object]:
    """Values that, unpickled in the usual way, would each create the file `trace`."""
    touch = f"open({str(trace)!r}, 'w').close()"
    shell = f'"{sys.executable}" -c "{touch}"'
    module = Call(importlib.import_module, "os")
    system = Call(getattr, module, "system")
    inner = pickle.dumps(Call(os.system, shell))
    saved = io.BytesIO()
    torch.save(Call(os.system, shell), saved)
    return {
        "os.system": Call(os.system, shell),
        "eval": Call(eval, touch),
        "exec": Call(exec, touch),
        "getattr chain": Call(system, shell),
        "attrgetter": Call(Call(Call(operator.attrgetter, "system"), module), shell),
        "partial": Call(Call(functools.partial, os.system, shell)),
        "map": Call(list, Call(map, eval, [touch])),
        "torch.load of a file's bytes": Call(torch.storage._load_from_bytes, saved.getvalue()),
        "legacy storage": Call(torch.storage._load_from_bytes, inner),
        "pickle in a pickle": Call(pickle.loads, inner),
        "state": Built(Call(os.system, shell)),
    }


HOSTILE = sorted(hostile_calls(Path("trace")))


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_calls_would_run_in_the_usual_unpickler(tmp_path, kind):
    # The control of the tests below: without it, they might pass with payloads that do nothing.
    payload = pickle.dumps(hostile_calls(tmp_path / "trace")[kind])
    with contextlib.suppress(Exception):  # what comes after the call may fail
        pickle.loads(payload)
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("place", ["the file", "a network", "a weight", "a storage", "a module"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_call_inside_a_file_does_not_run(tmp_path, kind, place):
    call = hostile_calls(tmp_path / "trace")[kind]
    rebuilt = Call(torch._utils._rebuild_tensor_v2, call, 0, (2,), (1,), False, {})
    content = {
        "the file": call,
        "a network": {"G_ema": call},
        "a weight": {"G_ema": network({"w": call})},
        "a storage": {"G_ema": network({"w": rebuilt})},
        "a module": {"G_ema": network({"w": torch.ones(3)}, _modules=[call], _parameters=call)},
    }[place]
    write_entries(tmp_path / "head.pkl", content)

    if place == "a module":  # not even looked at
        assert read_published(tmp_path / "head.pkl").networks["G_ema"].state == {}
    else:
        _refused(tmp_path / "head.pkl")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_call_beside_a_good_network_is_only_described(tmp_path, kind):
    call = hostile_calls(tmp_path / "trace")[kind]
    write_published(
        tmp_path / "head.pkl",
        {"w": torch.ones(3)},
        init_kwargs={"option": call},
        attributes={"helper": call},
        extra={"more": call},
    )

    published = read_published(tmp_path / "head.pkl")

    assert torch.equal(published.networks["G_ema"].state["w"], torch.ones(3))
    assert isinstance(published.values["more"], dict | list)
    assert not (tmp_path / "trace").exists()


# ── files that want to take memory, time or the stack ───────────────────────────────────────────


def _text(text: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(text)) + text.encode()


def _pickled(body: bytes) -> bytes:
    """A pickle of the dict {"G_ema": what `body` leaves on the stack}."""
    return b"\x80\x04}" + _text("G_ema") + body + b"s."


def _network_of(pairs: bytes) -> bytes:
    """A pickle of a network, an ordinary object with the state {"_parameters": {}, `pairs`}."""
    fields = _text("_parameters") + b"}s" + pairs
    return _pickled(b"cnetworks\nNetwork\n)\x81}" + fields + b"b")


def _laughs(item: bytes, doubling: bytes, levels: int) -> bytes:
    """`item`, then containers of two of the one before: 2 to the power of `levels` items."""
    body = item + pickle.MEMOIZE
    for level in range(levels):
        get = pickle.LONG_BINGET + struct.pack("<I", level)
        body += pickle.POP + doubling.replace(b"?", get) + pickle.MEMOIZE
    return body


def _module(children: bytes) -> bytes:
    """A module as an ordinary object, kept in the memo before its `children`, the items of a dict."""
    fields = _text("_parameters") + b"}s" + _text("_modules") + b"}" + children + b"s"
    return b"cnetworks\nNetwork\n)\x81" + b"?" + b"}" + fields + b"b"


def bombs() -> dict[str, tuple[bytes, str]]:
    """Small files that claim, hold or mean far more than a checkpoint does, and what is said of them."""
    deep = 300_000
    nest = b"N" + b"\x85" * deep
    empty, itself = _module(b"").replace(b"?", b""), _module(_text("a") + b"h\x00s")
    two = _module(_text("a") + b"#s" + _text("b") + b"#s").replace(b"?", b"").replace(b"#", b"?")
    long_name = _text("n" * 100_000)
    early, many, endless = "ends too early", "far more values or text", "nests "
    options = _text("_modules") + b"}s" + _text("_init_kwargs") + b"}" + _text("a") + nest + b"ss"
    return {
        "bytes of 4 GB": (_pickled(pickle.BINBYTES + b"\xff" * 4), early),
        "bytes of 16 EB": (_pickled(pickle.BINBYTES8 + b"\xff" * 8), early),
        "bytearray of 8 EB": (_pickled(pickle.BYTEARRAY8 + b"\xff" * 7 + b"\x7f"), early),
        "text of 4 GB": (_pickled(pickle.BINUNICODE + b"\xff" * 4), many),
        "text of 16 EB": (_pickled(pickle.BINUNICODE8 + b"\xff" * 8), many),
        "text of 60 MB": (_pickled(pickle.BINUNICODE + struct.pack("<I", 60_000_000)), early),
        "number of 2 GB": (_pickled(pickle.LONG4 + b"\xff\xff\xff\x7f"), "too many digits"),
        "number of negative length": (_pickled(pickle.LONG4 + b"\xff" * 4), "too many digits"),
        "frame of 16 EB": (b"\x80\x04" + pickle.FRAME + b"\xff" * 8 + b"}.", early),
        "memo of 4 G entries": (
            _pickled(b"K\x07" + pickle.LONG_BINPUT + b"\xff" * 4),
            "has a number",
        ),
        "name without end": (_pickled(b"c" + b"a" * 3_000_000), "a name does not end"),
        "computed name": (_pickled(long_name + long_name + b"\x93"), "a name does not end"),
        "many tuples in each other": (_pickled(nest), "has a tuple"),
        "many lists in each other": (_pickled(b"]" * deep + b"a" * (deep - 1)), "has a list"),
        "many calls in each other": (_pickled(b"cos\nsystem\n" + b")R" * deep), "has a call"),
        "deep value": (b"\x80\x04}" + _text("x") + nest + b"s.", endless),
        "deep key": (
            b"\x80\x04}" + _text("x") + b"}" + nest + b"Nss.",
            "holds no network, only 'x'",
        ),
        "deep options": (_network_of(options), endless),
        "too many values": (_pickled(b"(" + b"N" * 3_000_000 + b"t"), many),
        "too many dicts": (_pickled(b"(" + b"}" * 3_000_000 + b"t"), many),
        "too many marks": (_pickled(b"(" * 3_000_000), many),
        "list of itself": (b"\x80\x04}" + _text("x") + b"]\x94h\x00as.", endless),
        "dict of itself": (b"\x80\x04}\x94" + _text("x") + b"h\x00s.", endless),
        "laughing tuples": (
            b"\x80\x04}" + _text("x") + _laughs(b"N", b"??\x86", 60) + b"s.",
            many,
        ),
        "laughing dicts": (
            b"\x80\x04}" + _text("x") + _laughs(b"}", b"}K\x01?sK\x02?s", 60) + b"s.",
            many,
        ),
        "laughing modules": (_pickled(_laughs(empty, two, 60)), many),
        "laughing names": (_pickled(_laughs(empty, two.replace(_text("a"), long_name), 60)), many),
        "module in itself": (_pickled(itself.replace(b"?", b"\x94")), endless),
    }


BOMBS = sorted(bombs())


@pytest.fixture(scope="module")
def defused(tmp_path_factory) -> dict[str, list[str]]:
    """What reading each bomb says, in a process that may take 1 GB more than its imports did.

    2 M opcodes and 64 MB of text, which are allowed, come to about half of that in the worst case.
    """
    folder = tmp_path_factory.mktemp("bombs")
    for name, (content, _) in bombs().items():
        (folder / f"{name}.pkl").write_bytes(content)
    command = [sys.executable, "-c", _READ_WITH_LITTLE_MEMORY, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, timeout=250, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


_READ_WITH_LITTLE_MEMORY = """
import json, pathlib, resource, sys
from models.legacy_pickle import read_published
from renderer.errors import CheckpointError
if sys.platform == "linux":
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
said = {}
for path in pathlib.Path(sys.argv[1]).glob("*.pkl"):
    try:
        read_published(path)
    except CheckpointError as error:
        said[path.stem] = [str(path), str(error)]
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory cannot be limited")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_ends_in_a_sentence_and_takes_little_memory(defused, kind):
    path, said = defused[kind]
    _assert_is_one_sentence(said, Path(path))
    assert bombs()[kind][1] in said.removeprefix(path)


def test_a_deep_value_that_is_not_looked_at_does_no_harm(tmp_path):
    deep = 300_000
    content = _network_of(_text("_modules") + b"}s" + _text("junk") + b"N" + b"\x85" * deep + b"s")
    (tmp_path / "head.pkl").write_bytes(content)
    assert read_published(tmp_path / "head.pkl").networks["G_ema"].state == {}


def test_a_hundred_thousand_names_of_one_network_are_read_in_time(tmp_path):
    # Two of them compared with each other would be ten thousand million comparisons.
    names = b"".join(_text(f"G{i}") + b"h\x00" for i in range(100_000))
    content = b"\x80\x04N" + _module(b"").replace(b"?", b"") + b"\x940}(" + names + b"u."
    (tmp_path / "head.pkl").write_bytes(content)
    assert len(read_published(tmp_path / "head.pkl").networks) == 100_000


# ── sizes that lie ──────────────────────────────────────────────────────────────────────────────


def rebuilt(offset: object, size: object, stride: object, storage: object = None) -> Call:
    """A tensor in a storage of six numbers, as torch pickles it, with any layout."""
    if storage is None:
        storage = torch.arange(6.0).storage()
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (0, (2, 3), (4, 1)),
        (0, (2, 3), (3, 2)),
        (6, (), ()),
        (-1, (3,), (1,)),
        (5, (3,), (-1,)),
        (0, (-2, -3), (3, 1)),
        (0, (2, 3), (3,)),
        (0, (1 << 40,), (0,)),
        (0, (1 << 62, 4), (0, 0)),
        (0, (0, 1 << 62, 1 << 62), (1, 1, 1)),
        (0, (1 << 70,), (1,)),
        (1 << 63, (1,), (1,)),
        (0, (2, 2), (1 << 63, 1 << 63)),
        (0, (2.0, 3.0), (3, 1)),
        (0, (True, 6), (6, 1)),
        (0, ("2", "3"), (3, 1)),
        ("0", (2, 3), (3, 1)),
        (None, (2, 3), (3, 1)),
        (0, [2, 3], [3, 1]),
        (0, None, None),
        (0, (1,) * 40, (1,) * 40),
    ],
)
def test_a_layout_beyond_the_storage_is_refused(tmp_path, offset, size, stride):
    write_entries(tmp_path / "head.pkl", {"G_ema": network({"w": rebuilt(offset, size, stride)})})
    assert "size" in _refused(tmp_path / "head.pkl")


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_layouts_that_fit_are_read(tmp_path):
    layouts = {"whole": (0, (2, 3), (3, 1)), "last": (5, (), ()), "columns": (1, (2, 2), (1, 3))}
    parameters = {name: rebuilt(*layout) for name, layout in layouts.items()}
    write_entries(tmp_path / "head.pkl", {"G_ema": network(parameters)})

    read = read_published(tmp_path / "head.pkl").networks["G_ema"].state

    assert read["whole"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["last"].item() == 5
    assert read["columns"].tolist() == [[1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x06Nt", b"J\xff\xff\xff\x7fNt"),  # elements, in the reference to the storage
        (b"K\x06Nt", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fNt"),
        (b"K\x06Nt", b"K\x05Nt"),
        (b"K\x06Nt", b"J\xff\xff\xff\xffNt"),
        (b"\x06" + bytes(7), b"\xff" * 7 + b"\x7f"),  # elements, before the numbers
        (b"\x06" + bytes(7), b"\x05" + bytes(7)),
        (b"ctorch\nFloatStorage", b"ctorch\nDoubleStorage"),
        (b"ctorch\nFloatStorage", b"cposix\nsystem"),
        (b"ctorch\nFloatStorage", b"cposix\nFloatStorage"),
        (b"M\xe9\x03.", b"M\xe8\x03."),  # the version of the layout
        (b"little_endianq\x02\x88", b"little_endianq\x02\x89"),
        (b"Nt", b"K\x01K\x00K\x06\x87t"),  # a view of a part
    ],
)
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_storage_that_lies_about_itself_is_refused(tmp_path, old, new):
    load, (honest,) = torch.arange(6.0).storage().__reduce__()
    assert honest.count(old) == 1, "torch writes storages in another way than it did"
    tensor = rebuilt(0, (2, 3), (3, 1), Call(load, honest.replace(old, new)))
    write_entries(tmp_path / "head.pkl", {"G_ema": network({"w": tensor})})
    _refused(tmp_path / "head.pkl")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x06t", b"K\x07t"),
        (b"data.pkl", b"date.pkl"),
        (b"ctorch\nFloatStorage", b"cposix\nsystem\x00\x00\x00\x00\x00"),
        (b"archive/data/0", b"archive/data/1"),
        (b"PK\x01\x02", b"PK\x01\x03"),
        (b"PK\x05\x06", b"PK\x05\x07"),
        (struct.pack("<6f", *range(6)), struct.pack("<6f", *range(1, 7))),  # its checksum fails
    ],
)
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_zipped_storage_that_lies_about_itself_is_refused(tmp_path, old, new):
    saved = io.BytesIO()
    torch.save(torch.arange(6.0).storage(), saved)
    honest = saved.getvalue()
    assert old in honest, "torch writes storages in another way than it did"
    lying = Call(torch.storage._load_from_bytes, honest.replace(old, new))
    tensor = rebuilt(0, (2, 3), (3, 1), lying)
    write_entries(tmp_path / "head.pkl", {"G_ema": network({"w": tensor})})
    _refused(tmp_path / "head.pkl")


def test_a_compressed_storage_is_refused(tmp_path):
    # It could be a thousand times larger than the file. torch never compresses.
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N" * 1_000_000 + b".")
    tensor = rebuilt(0, (2, 3), (3, 1), Call(torch.storage._load_from_bytes, bomb.getvalue()))
    write_entries(tmp_path / "head.pkl", {"G_ema": network({"w": tensor})})
    assert "damaged weights" in _refused(tmp_path / "head.pkl")


def test_an_array_whose_shape_lies_is_refused(tmp_path):
    content = pickle.dumps({"a": np.arange(6, dtype="i4").reshape(2, 3)}, protocol=4)
    assert content.count(b"K\x02K\x03\x86") == 1
    for shape in (b"K\x02K\x04\x86", b"J\xff\xff\xff\x7fK\x00\x86", b"J\xff\xff\xff\xffK\x03\x86"):
        (tmp_path / "head.pkl").write_bytes(content.replace(b"K\x02K\x03\x86", shape))
        assert "size" in _refused(tmp_path / "head.pkl")


def test_an_array_of_objects_is_refused(tmp_path):
    (tmp_path / "head.pkl").write_bytes(pickle.dumps({"a": np.array([print, None])}))
    _refused(tmp_path / "head.pkl")


# ── damaged files ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=["cpu", "zip"])
def small_file(tmp_path_factory, request) -> bytes:
    path = tmp_path_factory.mktemp("published") / "head.pkl"
    state = {f"point_gen.block.{i}.weight": torch.randn(3, 5) for i in range(7)}
    state |= {"w_avg": torch.ones(4)}
    write_published(path, state, {"w_avg"}, {"z_dim": 4}, storages=request.param)
    return path.read_bytes()


def test_a_file_cut_anywhere_is_refused(tmp_path, small_file):
    for percent in range(100):
        (tmp_path / "cut.pkl").write_bytes(small_file[: len(small_file) * percent // 100])
        assert "again" in _refused(tmp_path / "cut.pkl"), percent


@pytest.mark.parametrize("damage", ["flip a bit", "replace a byte", "drop bytes", "repeat bytes"])
def test_a_damaged_file_is_refused_or_read_with_other_values(tmp_path, small_file, damage):
    dice = random.Random(damage)
    refused = 0
    for _ in range(150):
        content, place = bytearray(small_file), dice.randrange(len(small_file))
        if damage == "flip a bit":
            content[place] ^= 1 << dice.randrange(8)
        elif damage == "replace a byte":
            content[place] = dice.randrange(256)
        elif damage == "drop bytes":
            del content[place : place + dice.randrange(1, 9)]
        else:
            content[place:place] = content[place : place + dice.randrange(1, 9)]
        (tmp_path / "damaged.pkl").write_bytes(content)
        try:
            read_published(tmp_path / "damaged.pkl")
        except CheckpointError as error:
            _assert_is_one_sentence(str(error), tmp_path / "damaged.pkl")
            refused += 1
    assert refused > 20


# ── other files ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"hello\nworld\n", "is no pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"ply\nformat binary_little_endian 1.0\n", "is no pickle"),
        (b"(dp0\nS'G_ema'\np1\nNs.", "is no pickle"),  # protocol 0
        (pickle.dumps({"accuracy": 0.9}), "holds no network"),
        (pickle.dumps({}), "holds no network"),
        (pickle.dumps([1, 2, 3]), "holds a list"),
        (pickle.dumps({"G_ema": {"weight": 3}}), "has a dict as"),
        (b"\x80\x09}.", "protocol 9"),
        (b"\x80\x04\x82\x01.", "damaged"),  # an extension code
        (b"\x80\x04\x97.", "damaged"),  # an out-of-band buffer
        (b"\x80\x04(cos\nsystem\no.", "damaged"),  # an instance of protocol 0
        (b"\x80\x02NQ.", "outside of itself"),
        (b"\x80\x02P7\n.", "damaged"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path, content, expected):
    (tmp_path / "other.pkl").write_bytes(content)
    assert expected in _refused(tmp_path / "other.pkl")


def test_a_file_of_torch_save_is_named(tmp_path):
    torch.save({"G_ema": torch.ones(3)}, tmp_path / "head.pt")
    assert "zip archive" in _refused(tmp_path / "head.pt")
    torch.save({"G_ema": torch.ones(3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "not a dict" in _refused(tmp_path / "old.pt")


def test_a_place_without_a_file_is_named(tmp_path):
    assert "does not exist" in _refused(tmp_path / "nothing.pkl")
    assert "is a folder" in _refused(tmp_path)
    assert "cannot be read" in _refused(tmp_path / ("long" * 100))
    assert "not a name" in _refused(Path(f"{tmp_path}/null\0character"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.pkl")
    assert "is not a file" in _refused(tmp_path / "pipe.pkl")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbid(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    write_published(tmp_path / "head.pkl", {"w": torch.ones(3)})
    monkeypatch.setattr(builtins, "open", forbid)  # an administrator may read everything
    assert "may not be read" in _refused(tmp_path / "head.pkl")


# ── what the tests share ────────────────────────────────────────────────────────────────────────


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _refused(path: Path) -> str:
    """The sentence in which reading `path` ends."""
    with pytest.raises(CheckpointError) as caught:
        read_published(path)
    _assert_is_one_sentence(str(caught.value), path)
    return str(caught.value)


def _assert_is_one_sentence(message: str, path: Path) -> None:
    """Said about `path`, short enough for a line, printable everywhere, with what to do at its end."""
    said = message.removeprefix(str(path))
    assert said != message
    assert said.isascii()
    assert said.isprintable()
    assert 20 < len(said) < 330, said
    assert said.endswith(".")
    instructions = ("Choose", "Download", "Check", "Copy", "Open", "Only", "Change")
    assert any(f". {verb} " in said for verb in instructions), said
