"""The fast CPU twin: the kernels of `cpu_kernels`, wrapped for autograd. May be called from any thread.

Each picture borrows a canvas, the kernels' arrays, from a shared stock. A picture without gradients
returns it at once; one with gradients keeps it until autograd forgets the picture.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderer import cpu_kernels
from renderer.cpu_kernels import frame as layout
from renderer.cpu_kernels.sorting import DIGIT_BITS, DIGITS
from renderer.cpu_kernels.team import new_team, reset
from renderer.drawing import FRUSTUM_MARGIN, Drawing, Layers
from renderer.errors import BackendError

_MIN_SPLATS = 16  # fewer are padded: the kernels work on sixteen at a time
_MAX_ENTRIES = 2**31 - 2**16  # the kernels' lists are numbered in int32
_LOOK_AHEAD = 64  # elements past the end of a list that the kernels may read to prefetch
_NONE = np.zeros(_LOOK_AHEAD, np.int32)


# --- threads ---------------------------------------------------------------------------------------


class _Crew:
    """The threads that help whoever draws."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._helpers = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="rasterizer")

    def run(self, kernel: Callable[..., None], canvas: _Canvas, *arguments: object) -> None:
        """Run a kernel here and, as far as they are free, on the helpers."""
        reset(canvas.team)
        scratch = canvas.scratch(self.threads)
        helping = [
            self._helpers.submit(kernel, canvas.team, *arguments, own) for own in scratch[1:]
        ]
        try:
            kernel(canvas.team, *arguments, scratch[0])
        finally:
            for helper in helping:  # one who has not begun is not needed any more
                if not helper.cancel():
                    helper.result()


_crew = _Crew(os.cpu_count() or 1)


def set_threads(count: int) -> None:
    """Draw with `count` threads, the caller's among them; from the next picture on."""
    global _crew
    assert count >= 1, count
    _crew = _Crew(count)


def get_threads() -> int:
    """How many threads draw a picture."""
    return _crew.threads


# --- memory ----------------------------------------------------------------------------------------


def _aligned(count: int, dtype: type) -> NDArray:
    """Make a flat array on a 64-byte boundary, which numpy's large ones miss by 16 bytes."""
    spare = 64 // np.dtype(dtype).itemsize
    block: NDArray = np.zeros(count + spare, dtype)
    start = -block.ctypes.data % 64 // block.itemsize
    return block[start : start + count]


class _Canvas:
    """The kernels' arrays for one picture; they grow and are used again."""

    def __init__(self) -> None:
        self.team = new_team()
        self._arrays: dict[str, NDArray] = {}
        self._scratch: list[layout.Scratch] = []

    def array(self, name: str, count: int, dtype: type) -> NDArray:
        """The array called `name`, with room for `count` elements and whatever it held before."""
        array = self._arrays.get(name)
        if array is None or len(array) < count:
            self._arrays.pop(name, None)  # before the larger one is made
            array = self._arrays[name] = _aligned(count + count // 8, dtype)
        return array

    def scratch(self, threads: int) -> list[layout.Scratch]:
        """Memory for each thread."""
        while len(self._scratch) < threads:
            self._scratch.append(
                layout.Scratch(
                    records=_aligned(layout.BATCH * layout.ROW, np.float32),
                    bits=_aligned(layout.BATCH, np.int16),
                    hits=_aligned(layout.BATCH + 16, np.int32),
                    blocks=_aligned(16 * 8 * 16, np.float32),
                    first=_aligned(256, np.float32),
                    second=_aligned(256, np.float32),
                    lanes=_aligned(8 * 16, np.int32),
                )
            )
        return self._scratch[:threads]


class _Stock:
    """Canvases that nobody uses; the first few are kept."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._free: list[_Canvas] = []

    def take(self) -> _Canvas:
        try:
            return self._free.pop()
        except IndexError:
            return _Canvas()

    def put_back(self, canvas: _Canvas) -> None:
        if len(self._free) < self._size:
            self._free.append(canvas)


class _Loan:
    """A canvas, given back when nobody refers to this any more."""

    def __init__(self, stock: _Stock) -> None:
        self._stock = stock
        self.canvas = stock.take()

    def __del__(self) -> None:
        self._stock.put_back(self.canvas)


_pictures = _Stock()
_backward = _Stock()  # arrays that live during a backward pass only


# --- drawing ---------------------------------------------------------------------------------------


def draw(drawing: Drawing) -> Layers:
    """Rasterize on the CPU.

    Raises:
        BackendError: The splats are not in main memory, or are so large that their tiles do not fit.
    """
    tensors = _tensors(drawing)
    if drawing.means.device.type != "cpu":
        raise BackendError(
            "The cpu rasterizer draws splats that are in main memory; move the head there, "
            "or choose the gsplat or torch rasterizer."
        )
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return Layers(*_Draw.apply(drawing.focal, drawing.size, *tensors))
    return _paint(_Picture(drawing.focal, drawing.size, tensors))


def depth_order(drawing: Drawing) -> Tensor:
    """The numbers of all splats as the kernels sort them: what is drawn near to far, then the rest. [N]"""
    picture = _Picture(drawing.focal, drawing.size, _tensors(drawing))
    picture.prepare()
    order = picture.order()
    hidden = torch.ones(drawing.count, dtype=torch.bool)
    hidden[order] = False
    return torch.cat([order, hidden.nonzero()[:, 0]])


def is_compiled(*, gradients: bool = False) -> bool:
    """Whether the forward kernels lie in the cache: loading them takes 0.2 s, compiling them 10 s.

    Args:
        gradients: Whether the backward pass is wanted as well.
    """
    return cpu_kernels.is_cached("prepare", "paint", *(["differentiate"] if gradients else []))


def warm_up(progress: Callable[[str], None] | None = None, *, gradients: bool = True) -> None:
    """Compile the kernels or load them, the forward pass first.

    Args:
        progress: Told what happens, in words for the user.
        gradients: Whether the backward pass is wanted as well.
    """
    stages = [("Preparing the rasterizer", False), ("Preparing the rasterizer's gradients", True)]
    for words, needed in stages if gradients else stages[:1]:
        if progress is not None:
            progress(words)
        blank = Drawing(
            means=torch.zeros(_MIN_SPLATS, 3),
            quats=torch.zeros(_MIN_SPLATS, 4),
            scales=torch.zeros(_MIN_SPLATS, 3),
            opacities=torch.zeros(_MIN_SPLATS),
            colors=torch.zeros(_MIN_SPLATS, 3, requires_grad=needed),
            world_to_cam=torch.eye(4),
            focal=16.0,
            size=(16, 16),
            background=torch.zeros(3),
        )
        with torch.enable_grad():
            layers = draw(blank)
        if needed:
            layers.color.sum().backward()


class _Inputs(NamedTuple):
    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor
    world_to_cam: Tensor
    background: Tensor


def _tensors(drawing: Drawing) -> _Inputs:
    return _Inputs(
        drawing.means,
        drawing.quats,
        drawing.scales,
        drawing.opacities,
        drawing.colors,
        drawing.world_to_cam,
        drawing.background,
    )


def _flat(tensor: Tensor) -> NDArray:
    """A tensor's own memory as a flat float32 array, or a copy where that is not possible."""
    return tensor.detach().to(torch.float32).contiguous().reshape(-1).numpy()


def _flat_splats(inputs: Sequence[Tensor]) -> layout.Splats:
    arrays = [_flat(tensor) for tensor in inputs[:5]]
    missing = _MIN_SPLATS - len(arrays[3])
    if missing > 0:
        widths = (3, 4, 3, 1, 3)
        arrays = [
            np.pad(array, (0, missing * width)) for array, width in zip(arrays, widths, strict=True)
        ]
    return layout.Splats(*arrays)


def _view(focal: float, size: tuple[int, int], inputs: _Inputs) -> layout.View:
    width, height = size
    pose = _flat(inputs.world_to_cam).reshape(4, 4)
    limits = [side * (0.5 + FRUSTUM_MARGIN) / focal for side in size]
    camera = np.array(
        [*pose[:3, :3].flat, *pose[:3, 3], focal, width / 2, height / 2, *limits], np.float32
    )
    columns, rows = -(-width // layout.TILE), -(-height // layout.TILE)
    return layout.View(camera, _flat(inputs.background), width, height, columns, rows)


class _Picture:
    """One picture on its way: the inputs as the kernels read them, and a canvas."""

    def __init__(self, focal: float, size: tuple[int, int], inputs: _Inputs) -> None:
        self.crew = _crew
        self.loan = _Loan(_pictures)
        self.splats = _flat_splats(inputs)
        self.view = _view(focal, size, inputs)
        self.frame = self._frame()

    def _frame(self) -> layout.Frame:
        array, count = self.loan.canvas.array, len(self.splats.opacities)
        chunks = -(-count // layout.CHUNK)
        tiles, parts = self.view.columns * self.view.rows, self.crew.threads
        return layout.Frame(
            records=array("records", count * layout.ROW, np.float32),
            tiles=array("tiles", count * 4, np.int32),
            pairs=array("pairs", count + _LOOK_AHEAD, np.int64),
            spare=array("spare", count + _LOOK_AHEAD, np.int64),
            chunks=array("chunks", chunks * layout.CHUNK_ROW, np.int64)[
                : chunks * layout.CHUNK_ROW
            ],
            summary=array("summary", 4, np.int64),
            digits=array("digits", parts * DIGITS, np.int32),
            counts=array("counts", parts * (tiles + self.view.columns + 1), np.int32),
            starts=array("starts", tiles + 1, np.int32),
            lists=_NONE,
            places=_NONE,
        )

    def prepare(self) -> None:
        """Project and sort."""
        canvas = self.loan.canvas
        self.crew.run(
            cpu_kernels.prepare, canvas, self.crew.threads, self.splats, self.view, self.frame
        )
        self.entries = int(self.frame.summary[layout.TOTAL_ENTRIES])
        if self.entries > _MAX_ENTRIES:
            raise BackendError(
                f"These splats cover the picture {self.entries / 2**31:.0f} times too often for the cpu "
                "rasterizer; draw a smaller picture, or make the splats smaller."
            )
        self.frame = self.frame._replace(
            lists=canvas.array("lists", self.entries + _LOOK_AHEAD, np.int32),
            places=canvas.array("places", self.entries + _LOOK_AHEAD, np.int32),
        )

    def order(self) -> Tensor:
        """Numbers of the splats that are drawn, near to far; after `prepare`."""
        summary, frame = self.frame.summary, self.frame
        passes = -(-int(summary[layout.KEY_BITS]) // DIGIT_BITS)
        pairs = (frame.spare if passes % 2 else frame.pairs)[: summary[layout.TOTAL_VISIBLE]]
        return torch.from_numpy(pairs & 0xFFFFFFFF)

    def paint(self) -> Layers:
        """Composite; after `prepare`."""
        width, height = self.view.width, self.view.height
        color, depth = torch.empty(3, height, width), torch.empty(height, width)
        layers = Layers(color, depth, torch.empty(height, width))
        arrays = layout.Layers(*(layer.view(-1).numpy() for layer in layers))
        self.crew.run(
            cpu_kernels.paint, self.loan.canvas, self.crew.threads, self.view, self.frame, arrays
        )
        return layers


def _paint(picture: _Picture) -> Layers:
    picture.prepare()
    return picture.paint()


# --- gradients -------------------------------------------------------------------------------------


class _Draw(torch.autograd.Function):
    """`_paint` with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, focal: float, size: tuple[int, int], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        inputs = _Inputs(*tensors)
        picture = _Picture(focal, size, inputs)
        layers = _paint(picture)
        ctx.picture = picture
        ctx.save_for_backward(*inputs, *layers)
        ctx.set_materialize_grads(False)
        return tuple(layers)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, layers = _Inputs(*ctx.saved_tensors[:7]), Layers(*ctx.saved_tensors[7:])
        wanted = ctx.needs_input_grad[2:]
        gradients: list[Tensor | None] = [None] * 7
        if any(gradient is not None for gradient in upstream):
            if any(wanted[:6]):
                gradients[:6] = _gradients(ctx.picture, inputs, layers, upstream, wanted)
            if wanted[6] and upstream[0] is not None:
                gradients[6] = ((1 - layers.alpha) * upstream[0]).sum((1, 2))
        return None, None, *gradients


def _gradients(
    picture: _Picture,
    inputs: _Inputs,
    layers: Layers,
    upstream: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the five tensors of splats and of the pose, where they are wanted."""
    view, count = picture.view, len(picture.splats.opacities)
    loan = _Loan(_backward)
    chunks = -(-count // layout.CHUNK)
    pose = loan.canvas.array("pose", chunks * layout.POSE_ROW, np.float32)[
        : chunks * layout.POSE_ROW
    ]
    splats = [
        torch.empty(max(len(tensor), _MIN_SPLATS), *tensor.shape[1:]) if want else torch.empty(0)
        for tensor, want in zip(inputs[:5], wanted[:5], strict=True)
    ]
    plane = view.width * view.height
    arrays = layout.Gradients(
        lines=loan.canvas.array("lines", (picture.entries + _LOOK_AHEAD) * layout.ROW, np.float32),
        splats=layout.Splats(*(gradient.view(-1).numpy() for gradient in splats)),
        pose=pose,
        wanted=np.array(wanted[:6], np.int64),
    )
    picture.crew.run(
        cpu_kernels.differentiate,
        loan.canvas,
        picture.splats,
        view,
        picture.frame,
        layout.Layers(*(_flat(layer) for layer in layers)),
        layout.Layers(
            *(
                _zeros(side * plane) if v is None else _flat(v)
                for v, side in zip(upstream, (3, 1, 1), strict=True)
            )
        ),
        arrays,
    )
    result: list[Tensor | None] = [
        gradient[: len(tensor)] if want else None
        for gradient, tensor, want in zip(splats, inputs[:5], wanted[:5], strict=True)
    ]
    return [*result, _pose_gradient(pose) if wanted[5] else None]


def _pose_gradient(sums: NDArray) -> Tensor:
    """Add up the kernels' sums. [4, 4]"""
    total = sums.reshape(-1, 12, 16).sum((0, 2), dtype=np.float64)
    gradient = np.zeros((4, 4), np.float32)
    gradient[:3, :3], gradient[:3, 3] = total[:9].reshape(3, 3), total[9:]
    return torch.from_numpy(gradient)


_nothing = np.zeros(0, np.float32)
_nothing_lock = threading.Lock()


def _zeros(count: int) -> NDArray:
    """Zeros that nobody writes to: the upstream gradient of a layer that is not used."""
    global _nothing
    with _nothing_lock:
        if len(_nothing) < count:
            _nothing = np.zeros(count, np.float32)
        return _nothing
