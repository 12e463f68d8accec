"""Writes files in the layout of published CGS-GAN checkpoints, small for tests or 250 MB for benchmarks.

The layout pickles objects of packages that are not here (`torch_utils.persistence`, `dnnlib`);
stand-ins take their names while a file is written, and at no other time.
"""

import collections
import contextlib
import io
import pickle
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

# How the numbers inside were written: on a CPU, on CUDA, on CUDA by torch before 1.10, or as a zip.
Storages = Literal["cpu", "cuda", "old cuda", "zip"]


class EasyDict(dict):
    """The dict of the original code whose items are attributes."""


class HeadRenderer:
    """An object inside a network that is no module."""

    def __init__(self) -> None:
        self.sh_degree = 0
        self.background = EasyDict(color=(1.0, 1.0, 1.0))


class _Persistent:
    """An object that pickles itself as a call of the original hook with one description."""

    def __init__(self, description: dict) -> None:
        self.description = description

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.description,)


def _reconstruct_persistent_obj(meta):
    raise AssertionError("a checkpoint was opened by running it")


_STAND_INS = {
    EasyDict: "dnnlib.util",
    HeadRenderer: "gaussian_renderer.renderer",
    _reconstruct_persistent_obj: "torch_utils.persistence",
}


def write_published(
    path: Path,
    state: Mapping[str, Tensor],
    buffers: Collection[str] = (),
    init_kwargs: Mapping[str, object] | None = None,
    *,
    class_name: str = "CGSGenerator",
    module_src: str = "raise AssertionError('the source text of a checkpoint was run')\n",
    attributes: Mapping[str, object] | None = None,
    discriminator: Mapping[str, Tensor] | None = None,
    extra: Mapping[str, object] | None = None,
    storages: Storages = "cpu",
    protocol: int = 4,
) -> None:
    """Write a published checkpoint.

    Args:
        path: Where to.
        state: Parameters and buffers of `G_ema` by dotted name.
        buffers: Which names of `state` are buffers.
        init_kwargs: What the generator's constructor was given.
        class_name: The generator's class, as the file calls it.
        module_src: The source text that the original loader would run.
        attributes: Plain attributes by dotted path: `{"point_gen.res": 512}`.
        discriminator: Parameters of `D`. With it `G`, equal to `G_ema`, is written too, as a training does.
        extra: More entries of the outermost dict, such as `cur_nimg`.
        storages: How the numbers inside were written.
        protocol: The pickle protocol, 3 to 5.
    """

    def generator() -> _Persistent:
        tree = _Tree(set(buffers), dict(attributes or {}), module_src)
        root = tree.module(class_name, {name: t.detach() for name, t in state.items()})
        root.description["state"]["_init_kwargs"] = EasyDict(init_kwargs or {})
        root.description["state"]["head_settings"] = EasyDict(
            color=3, opacity=1, names=("xyz", "scale")
        )
        root.description["state"]["gaussian_renderer"] = HeadRenderer()
        return root

    training = discriminator is not None
    content = {
        "training_set_kwargs": EasyDict(
            class_name="training.dataset.MaskedDataset", resolution=512
        ),
        "G": generator() if training else None,
        "D": _Tree(set(), {}, module_src).module("Discriminator", dict(discriminator))
        if training
        else None,
        "G_ema": generator(),
        "augment_pipe": None,
        **(extra or {}),
    }
    write_entries(path, content, storages=storages, protocol=protocol)


def write_entries(
    path: Path, entries: object, *, storages: Storages = "cpu", protocol: int = 4
) -> None:
    """Write anything at all as the outermost value of a file, with `network` among its values."""
    with _stand_ins(), open(path, "wb") as file:
        _Pickler(file, protocol, storages).dump(entries)


def network(parameters: Mapping[str, object], **fields: object) -> object:
    """Describe a network of one module whose parameters, and other fields, may be anything."""
    state = {"_parameters": dict(parameters), "_buffers": {}, "_modules": {}, **fields}
    return _Persistent({"class_name": "Network", "module_src": "1 / 0", "state": state})


def generator_state(
    levels: int = 6, width: int = 512, seed: int = 0
) -> tuple[dict[str, Tensor], set[str]]:
    """Draw weights with the names and shapes of a published generator, 61.6 M numbers by default.

    Args:
        levels: 5, 6, 7, 8 for 256, 512, 1024, 2048.
        width: 512 in the published ones; smaller for tests.
        seed: Of the random numbers.

    Returns:
        The weights by dotted name, and the names of the buffers among them.
    """
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, generator=random)
        state[f"{name}.bias"] = torch.randn(outputs, generator=random)

    def block(name: str) -> None:
        for part in (
            "ln_1.gamma",
            "ln_1.beta",
            "ls_1",
            "ln_2.gamma",
            "ln_2.beta",
            "ls_2",
            "attn.c_proj",
        ):
            linear(f"{name}.{part}", width, width)
        linear(f"{name}.attn.c_qkv", width, 3 * width)
        linear(f"{name}.mlp.c_fc", width, 4 * width)
        linear(f"{name}.mlp.c_proj", 4 * width, width)

    linear("mapping_network.embed", 25, width)
    linear("mapping_network.fc0", 2 * width, width)
    linear("mapping_network.fc1", width, width)
    state["mapping_network.w_avg"] = torch.randn(width, generator=random)
    state["point_gen._xyz"] = torch.randn(width, 3, generator=random)
    linear("point_gen.conv_in.learnable_pe.ffm.linear", 3, width // 2)
    state["point_gen.conv_in.const_pe.const_pe"] = torch.randn(
        3, width // 2, 1, width, generator=random
    )
    for i in range(6):
        block(f"point_gen.transformer.first_layers.{i}")
    for i in range(levels - 1):
        block(f"point_gen.transformer.resblocks.{i}")
    for i, children in enumerate((1, 4, 16, 64, 128, 256, 512, 1024)[:levels]):
        features = max(width // 32, width >> i)
        linear(f"point_gen.upsample_layers.{i}.subpixel", width, features * children)
        if features != width:
            linear(f"point_gen.upsample_layers.{i}.res_fc", width, features)
        for head in ("anchors", "gaussians"):
            for attribute, numbers in (
                ("xyz", 3),
                ("scale", 3),
                ("rotation", 4),
                ("color", 3),
                ("opacity", 1),
            ):
                linear(f"point_gen.{head}.{attribute}.{i}", features, numbers)
    return state, {"mapping_network.w_avg"}


class _Tree:
    """Nests flat dotted names into modules, as pickling a network meets them."""

    def __init__(self, buffers: set[str], attributes: dict[str, object], module_src: str) -> None:
        self._buffers, self._attributes, self._module_src = buffers, attributes, module_src

    def module(self, class_name: str, state: dict[str, Tensor], path: str = "") -> _Persistent:
        """Describe the module at `path`, of the original code, with everything below it."""
        return _Persistent(
            {
                "type": "class",
                "version": 6,
                "module_src": self._module_src,
                "class_name": class_name,
                "state": {
                    **self._fields(state, path),
                    "_init_args": (),
                    "_init_kwargs": EasyDict(),
                },
            }
        )

    def _fields(self, state: dict[str, Tensor], path: str) -> dict[str, object]:
        """Make the `__dict__` of a module: torch's own, filled."""
        own = {name: value for name, value in state.items() if "." not in name}
        fields = dict(vars(torch.nn.Module()))
        # Dicts of these were ordered ones before torch 2.5, and most published files are older.
        fields["_parameters"] = collections.OrderedDict(
            (name, torch.nn.Parameter(value))
            for name, value in own.items()
            if path + name not in self._buffers
        )
        fields["_buffers"] = {
            name: value for name, value in own.items() if path + name in self._buffers
        }
        children = dict.fromkeys(name.split(".")[0] for name in state if "." in name)
        fields["_modules"] = collections.OrderedDict(
            (name, self._child(name, state, path)) for name in children
        )
        for name, value in self._attributes.items():
            if name.startswith(path) and "." not in name.removeprefix(path):
                fields[name.removeprefix(path)] = value
        return fields

    def _child(self, name: str, state: dict[str, Tensor], path: str) -> object:
        below = {
            n.removeprefix(f"{name}."): v for n, v in state.items() if n.startswith(f"{name}.")
        }
        # Lists of modules and plain linear layers are torch's own classes, pickled in the usual way.
        is_list = all(n.split(".")[0].isdigit() for n in below)
        if is_list or name == "linear":
            kind = torch.nn.ModuleList if is_list else torch.nn.Linear
            module = kind.__new__(kind)
            vars(module).update(self._fields(below, f"{path}{name}."))
            return module
        return self.module(name.title(), below, f"{path}{name}.")


class _Pickler(pickle.Pickler):
    """Pickles tensors as torch does, or as torch would have elsewhere."""

    def __init__(self, file, protocol: int, storages: Storages) -> None:
        super().__init__(file, protocol)
        self._storages = storages

    def reducer_override(self, value):
        if isinstance(value, torch.storage.TypedStorage) and self._storages != "cpu":
            return torch.storage._load_from_bytes, (self._bytes(value),)
        return NotImplemented

    def _bytes(self, storage: torch.storage.TypedStorage) -> bytes:
        if self._storages == "zip":
            written = io.BytesIO()
            torch.save(storage, written)
            return written.getvalue()
        _, (as_cpu,) = storage.__reduce__()
        tagged = _replace_once(as_cpu, b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        if self._storages == "old cuda":
            return _replace_once(tagged, b"ctorch\n", b"ctorch.cuda\n")
        return tagged


def _replace_once(text: bytes, old: bytes, new: bytes) -> bytes:
    assert old in text[:400], "torch writes storages in another way than it did"
    return text.replace(old, new, 1)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Let pickle find the stand-ins under the names of the original code."""
    before = {value: value.__module__ for value in _STAND_INS}
    names = {module for name in _STAND_INS.values() for module in (name, name.split(".")[0])}
    assert not names & set(sys.modules), "a package of the original code is installed"
    sys.modules.update({name: types.ModuleType(name) for name in names})
    for value, module in _STAND_INS.items():
        value.__module__ = module
        setattr(sys.modules[module], value.__name__, value)
    try:
        yield
    finally:
        for value, module in before.items():
            value.__module__ = module
        for name in names:
            del sys.modules[name]
