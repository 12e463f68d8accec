"""What a script sees: `gs`, the head under the names and in the layouts of the reference tools, and more.

`ScriptSplats` hands out copies, each tensor copied when a script first touches it: the head that came
in is never written to, and an edit never compounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from renderer.camera import Camera
from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import dc_to_rgb, rgb_to_dc
from splatviz_app.edits.errors import EditError
from splatviz_app.edits.splats import EditedSplats

Value = float | int | bool | tuple[float, float, float]

# What a script knows, for completion and help: the raw values, what is derived, and the rest.
RAW = {
    "_xyz": "Places, world units. [N, 3]",
    "_rotation": "Rotations: quaternions w x y z, of any length. [N, 4]",
    "_scaling": "Natural logarithms of the standard deviations, world units. [N, 3]",
    "_opacity": "Opacity before the sigmoid. [N, 1]",
    "_features_dc": "Colour: (rgb - 0.5) / 0.28209. [N, 1, 3]",
    "_features_rest": "How colour depends on the direction; empty for generated heads. [N, K, 3]",
}
DERIVED = {
    "rgb": "Colours as they look, 0 to 1. [N, 3]",
    "scales": "Standard deviations, world units. [N, 3]",
    "opacities": "Opacity, 0 to 1. [N]",
}
MEMBERS = {
    **RAW,
    **DERIVED,
    "keep(mask)": "Keep only the splats where mask is true.",
    "levels": "The generator's level of each splat, 0 for the coarsest. [N]",
    "count": "How many splats there are.",
}
NAMES = {
    "gs": "The head: its splats, to read and to change.",
    "sel": "True for the selected splats; for none if nothing is selected. [N]",
    "slider": "The values of the sliders: slider.x",
    "torch": "PyTorch.",
    "np": "NumPy.",
    "math": "Python's mathematics.",
    "camera": "The camera: camera.eye, camera.cam_to_world, camera.focal.",
    "t": "Seconds, for animation: what uses it moves.",
}

_MAX_LOGIT = 13.8  # of opacities 0 and 1 as a script may set them: 1e-6 and 1 - 1e-6
_MIN_SCALE = 1e-9  # world units
_MAX_LOG_SCALE = 20.0  # natural log of world units


class ScriptSplats:
    """`gs`: one head as a script sees it."""

    _xyz: Tensor
    _rotation: Tensor
    _scaling: Tensor
    _opacity: Tensor
    _features_dc: Tensor
    _features_rest: Tensor
    rgb: Tensor
    scales: Tensor
    opacities: Tensor

    def __init__(self, splats: EditedSplats) -> None:
        """Show `splats`, which stay as they are."""
        set_ = object.__setattr__
        set_(self, "_splats", splats)
        set_(self, "_own", {})  # name: raw tensor that belongs to the script
        set_(self, "_views", {})  # name: _View of a derived tensor
        set_(self, "_levels", None)

    def __getattr__(self, name: str) -> Any:
        if name in RAW:
            self._settle(name)
            return self._raw(name, to_write=True)
        if name in DERIVED:
            return self._derive(name)
        if name in _GETTERS:
            return _GETTERS[name](self)
        raise AttributeError(f"gs has no {name!r}; it has {', '.join(MEMBERS)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in RAW:
            self._own[name] = self._shaped(name, value)
            self._views.pop(_VIEW_OF.get(name, ""), None)
        elif name in DERIVED:
            view = _VIEWS[name]
            shape = (self._count_now(view.raw), *view.row)
            self._own[view.raw] = view.inverse(self._expanded(name, value, shape))
            self._views.pop(name, None)
        else:
            raise AttributeError(f"gs has no {name!r} that can be set; it has {', '.join(MEMBERS)}")

    def __dir__(self) -> list[str]:
        return [name.partition("(")[0] for name in MEMBERS]

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"gs: {self.count:,} splats"

    # ---- for scripts

    @property
    def count(self) -> int:
        """How many splats there are."""
        return self._count_now("_xyz")

    @property
    def levels(self) -> Tensor:
        """The generator's level of each splat, 0 for the coarsest; -1 where it is not known. [N]"""
        if self._levels is None or len(self._levels) != self.count:
            known = self.count == self._splats.count
            levels = self._splats.levels() if known else self._foreign().levels()
            object.__setattr__(self, "_levels", levels)
        return self._levels

    def keep(self, mask: Any) -> None:
        """Keep only some splats.

        Args:
            mask: True for those to keep, one for each splat; or their numbers. [N] bool or [M] int
        """
        splats = self.finished()
        try:
            mask = torch.as_tensor(mask, device=splats.gaussians.means.device)
        except (TypeError, ValueError, RuntimeError) as error:
            kind = type(mask).__name__
            raise EditError(
                f"keep() needs one true or false for each splat, not {kind}."
            ) from error
        if mask.dim() == 2 and mask.shape[1] == 1:
            mask = mask[:, 0]
        if mask.dim() != 1 or mask.is_floating_point() or mask.is_complex():
            raise EditError(
                f"keep() needs one true or false for each of the {splats.count:,} splats, not "
                f"{_described(mask)}."
            )
        if mask.dtype == torch.bool:
            if len(mask) != splats.count:
                raise EditError(
                    f"keep() was given {len(mask):,} values for {splats.count:,} splats."
                )
            kept = splats.keep(mask)
        else:
            if len(mask) and not (int(mask.min()) >= 0 and int(mask.max()) < splats.count):
                raise EditError(f"keep() was given a number outside 0 to {splats.count - 1:,}.")
            kept = splats.take(mask.long())
        if kept is splats:
            return
        # What the selection copied belongs to the script already.
        ScriptSplats.__init__(self, kept)
        self._own.update({name: _OUT[name](kept.gaussians) for name in RAW})

    # ---- for the stage

    def finished(self) -> EditedSplats:
        """The head after the script; tensors that it did not touch are those that came in.

        Raises:
            EditError: Tensors do not fit together, or hold what is not a number.
        """
        for name in list(self._views):
            self._settle(_VIEWS[name].raw)
        if not self._own:
            return self._splats
        counts = {name: len(self._raw(name)) for name in RAW}
        count = counts["_xyz"]
        other = next((name for name in RAW if counts[name] != count), None)
        if other is not None:
            raise EditError(
                f"_xyz has {_splats(count)} and {other} has {_splats(counts[other])}; gs.keep(mask) "
                "changes all of them together."
            )
        for name, tensor in self._own.items():
            self._check_layout(name, tensor)
            self._check_numbers(name, tensor)
        base = self._splats if count == self._splats.count else self._foreign()
        bases = 1 + self._raw("_features_rest").shape[1]
        if bases not in (1, 4, 9, 16):
            raise EditError(
                f"_features_rest has {bases - 1} coefficients; colour can have 0, 3, 8 or 15."
            )
        return base.with_(**self._changed())

    def _changed(self) -> dict[str, Tensor]:
        """The touched tensors, as `Gaussians` names and shapes them."""
        own = {name: tensor.detach() for name, tensor in self._own.items()}
        changed = {_FIELDS[name]: own[name] for name in _FIELDS if name in own}
        if "log_scales" in changed:  # beyond it the standard deviation itself is no number
            changed["log_scales"] = changed["log_scales"].clamp(max=_MAX_LOG_SCALE)
        if "_opacity" in own:
            changed["opacity_logits"] = own["_opacity"][:, 0]
        if "_features_dc" in own or "_features_rest" in own:
            dc, rest = self._raw("_features_dc").detach(), self._raw("_features_rest").detach()
            changed["sh"] = torch.cat([dc, rest], dim=1) if rest.shape[1] else dc
        return changed

    # ---- inside

    def _foreign(self) -> EditedSplats:
        """The head with as many splats as the script made of it, whose origins nobody knows."""
        gaussians = Gaussians(
            self._raw("_xyz"),
            self._raw("_scaling"),
            self._raw("_rotation"),
            self._raw("_opacity")[:, 0],
            torch.cat([self._raw("_features_dc"), self._raw("_features_rest")], dim=1),
        )
        return replace(self._splats, gaussians=gaussians, origin=None, is_foreign=True)

    def _count_now(self, name: str) -> int:
        return len(self._own[name]) if name in self._own else self._splats.count

    def _raw(self, name: str, to_write: bool = False) -> Tensor:
        """The raw tensor as it stands; to write, it is the script's own."""
        if name in self._own:
            return self._own[name]
        tensor = _OUT[name](self._splats.gaussians)
        if not to_write:
            return tensor
        self._own[name] = tensor.clone()
        return self._own[name]

    def _derive(self, name: str) -> Tensor:
        """A derived tensor, which may be written to: it goes back when its raw one is needed."""
        kind = _VIEWS[name]
        self._settle(kind.raw)
        known = self._views.get(name)
        if known is not None:
            return known.tensor
        raw = self._raw(kind.raw)
        tensor = kind.forward(raw)
        self._views[name] = _View(tensor, tensor._version, raw, raw._version)
        return tensor

    def _settle(self, raw: str) -> None:
        """Bring what was written into a derived tensor to its raw one, or forget it if it is stale."""
        name = _VIEW_OF.get(raw, "")
        view = self._views.get(name)
        if view is None:
            return
        if view.tensor._version != view.version:
            kind = _VIEWS[name]
            written = self._own[raw] = kind.inverse(view.tensor)
            self._views[name] = _View(view.tensor, view.tensor._version, written, written._version)
        elif view.raw._version != view.raw_version or (
            raw in self._own and self._own[raw] is not view.raw
        ):
            del self._views[name]

    def _shaped(self, name: str, value: Any) -> Tensor:
        """What is assigned to a raw tensor, in its layout."""
        row = _OUT[name](self._splats.gaussians).shape[1:]
        tensor = self._tensor(name, value)
        if tensor.dim() == 1 + len(row) and (
            tensor.shape[1:] == row or (name == "_features_rest" and tensor.shape[2] == 3)
        ):
            return tensor
        return self._expanded(name, tensor, (self._count_now(name), *row))

    def _expanded(self, name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
        tensor = self._tensor(name, value)
        if [side for side in tensor.shape if side != 1] == [side for side in shape if side != 1]:
            return tensor.reshape(shape)
        try:
            return tensor.expand(shape).clone()  # or all splats would share one row
        except RuntimeError:
            wanted = ", ".join(f"{side:,}" for side in shape)
            raise EditError(
                f"{name} has the shape [{wanted}]; it was given {_described(tensor)}."
            ) from None

    def _tensor(self, name: str, value: Any) -> Tensor:
        like = self._splats.gaussians.means
        try:
            tensor = torch.as_tensor(value)
            if tensor.is_complex():
                raise TypeError
            return tensor.to_dense().to(like)
        except (TypeError, ValueError, RuntimeError) as error:
            raise EditError(f"{name} must be numbers, not {type(value).__name__}.") from error

    def _check_layout(self, name: str, tensor: Tensor) -> None:
        """Refuse what was turned or flattened in its place."""
        row = _OUT[name](self._splats.gaussians).shape[1:]
        is_rest = name == "_features_rest" and tensor.dim() == 3 and tensor.shape[2] == 3
        if tensor.shape[1:] != row and not is_rest:
            wanted = ", ".join(["N", *map(str, row)])
            raise EditError(f"{name} must have the shape [{wanted}], and is {_described(tensor)}.")

    def _check_numbers(self, name: str, tensor: Tensor) -> None:
        """Refuse NaN and infinity, but those that were there before."""
        if bool(tensor.sum().isfinite()):
            return
        bad = int((~tensor.isfinite()).flatten(1).any(1).sum())
        before = _OUT[name](self._splats.gaussians)
        if bad > int((~before.isfinite()).flatten(1).any(1).sum()):
            raise EditError(
                f"{name} is not a number for {_splats(bad)}: look for a division by 0, or a logarithm or "
                "root of what is negative."
            )


@dataclass(frozen=True, eq=False)
class _View:
    """A derived tensor that a script holds, and the versions at which it agreed with its raw one."""

    tensor: Tensor
    version: int
    raw: Tensor
    raw_version: int


@dataclass(frozen=True)
class _Kind:
    """How a derived tensor comes from its raw one and goes back."""

    raw: str
    row: tuple[int, ...]  # shape of one splat's
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def _logits(opacities: Tensor) -> Tensor:
    return opacities.clamp(0, 1).logit().clamp(-_MAX_LOGIT, _MAX_LOGIT)[:, None]


_VIEWS = {
    "rgb": _Kind(
        "_features_dc", (3,), lambda dc: dc_to_rgb(dc[:, 0]), lambda rgb: rgb_to_dc(rgb)[:, None]
    ),
    "scales": _Kind("_scaling", (3,), torch.exp, lambda scales: scales.clamp_min(_MIN_SCALE).log()),
    "opacities": _Kind("_opacity", (), lambda logits: logits[:, 0].sigmoid(), _logits),
}
_VIEW_OF = {kind.raw: name for name, kind in _VIEWS.items()}
_FIELDS = {"_xyz": "means", "_rotation": "quats", "_scaling": "log_scales"}
_OUT: dict[str, Callable[[Gaussians], Tensor]] = {
    "_xyz": lambda head: head.means,
    "_rotation": lambda head: head.quats,
    "_scaling": lambda head: head.log_scales,
    "_opacity": lambda head: head.opacity_logits[:, None],
    "_features_dc": lambda head: head.sh[:, :1],
    "_features_rest": lambda head: head.sh[:, 1:],
}
# The reference tools' names for reading; scripts from there may use them.
_GETTERS: dict[str, Callable[[ScriptSplats], Any]] = {
    "get_xyz": lambda gs: gs._xyz,
    "get_rotation": lambda gs: torch.nn.functional.normalize(gs._rotation, dim=-1),
    "get_scaling": lambda gs: gs._scaling.exp(),
    "get_opacity": lambda gs: gs._opacity.sigmoid(),
    "get_features": lambda gs: torch.cat([gs._features_dc, gs._features_rest], dim=1),
    "max_sh_degree": lambda gs: round((1 + gs._raw("_features_rest").shape[1]) ** 0.5) - 1,
    "active_sh_degree": lambda gs: gs.max_sh_degree,
}


class SliderValues:
    """`slider`: each slider's value under its name."""

    def __init__(self, values: Mapping[str, Value], device: torch.device) -> None:
        """Show these; colours become tensors. [3]"""
        shown = {
            name: torch.tensor(value, device=device) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        object.__setattr__(self, "_values", shown)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise AttributeError(
                f"there is no slider {name!r}; add it below the code. There are: {known}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"slider.{name} is moved by hand; a script can only read it")

    def __dir__(self) -> list[str]:
        return list(self._values)


def script_names(
    gs: ScriptSplats, sliders: Mapping[str, Value], camera: Camera, seconds: float
) -> dict[str, Any]:
    """The names a script begins with; `sel` is the caller's to add.

    Args:
        gs: The head.
        sliders: Values by name.
        camera: The picture's.
        seconds: `t`.
    """
    device = gs._splats.gaussians.means.device
    return {
        "__name__": "script",
        "gs": gs,
        "slider": SliderValues(sliders, device),
        "camera": camera.to(device),
        "t": seconds,
        "torch": torch,
        "np": np,
        "math": math,
    }


def _splats(count: int) -> str:
    return "1 splat" if count == 1 else f"{count:,} splats"


def _described(tensor: Tensor) -> str:
    shape = ", ".join(f"{side:,}" for side in tensor.shape)
    return f"one of the shape [{shape}]" if tensor.dim() else "a single number"
