"""A small generator learns the parametric heads: z -> head is known, so no discriminator is needed.

Each step draws fresh latents, makes their synthetic heads, and compares pictures of the generator's
heads with theirs from random cameras. One counter, `step`, decides all random numbers: stopped and
resumed equals never stopped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
import tyro
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from models.checkpoint import Provenance, save_generator
from models.generator import CgsConfig, CgsGenerator, HeadGenerator
from renderer.camera import Camera
from renderer.errors import LoadError, SplatheadError
from renderer.files import atomic_write
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from renderer.spherical_harmonics import rgb_to_dc
from training.ema import update_ema
from training.steps import run_transformer_in_bfloat16
from training.synthetic.cameras import CLOSE_UPS, CameraSettings
from training.synthetic.head import HeadModel
from training.synthetic.parameters import ACTIVE, Z_DIM
from training.synthetic.stream import Batch, HeadSource, StreamSettings, draw_batch

_DETAILS = ("eyes", "catchlights", "mouth", "threads", "glasses")
_MAY_CHANGE = ("steps", "close_ups")  # when a run goes on
_LEAST_MATRIX = 32  # rows and columns
_MOMENTS = (("step", "exp_avg", "exp_avg_sq"), ("momentum_buffer",))  # of Adam, of Muon
_HELD_OUT_SEED = 7_000_000  # of the latents and cameras that no training sees


@dataclass(frozen=True)
class DistillSettings:
    """How the small generator learns."""

    # Points of the generator's backbone.
    points: int = 256
    # Channels of its backbone.
    width: int = 192
    # Transformer blocks before the first level.
    first_blocks: int = 3
    # The generator's nominal resolution: 128 has 4 levels, 21,760 splats; 256 has 5, 54,528.
    resolution: int = 128

    # Steps in all.
    steps: int = 18_000
    # Heads of a step, all new.
    heads: int = 4
    # Cameras that look at each head.
    views: int = 2
    # Side of the pictures in px, and in the last part of the steps.
    picture: int = 128
    last_picture: int = 192
    # The share of the steps that sees the larger pictures.
    last_share: float = 0.3
    # The share of the steps that looks at the face from near.
    close_ups: float = 0.0
    # Decides all random numbers.
    seed: int = 0

    # Learning rate (Adam: mapping network, vectors) after the warm-up; falls like a cosine to 2 %.
    learning_rate: float = 0.003
    # The same of the matrices of the transformer blocks (Muon): the root mean square of a step is 0.2 of it.
    matrix_rate: float = 0.01
    # Steps of the warm-up.
    warm_up: int = 50
    # Gradients longer than this are shortened to it.
    clip: float = 1.0
    # Decay of the average of weights.
    ema: float = 0.998
    # Weight of a pixel that shows eyes, mouth, brows, lashes or glasses, over that of others.
    detail_weight: float = 3.0
    # Run the transformer blocks in bfloat16.
    bfloat16: bool = True

    # Steps between checkpoints, and between measurements on heads never seen.
    checkpoint_steps: int = 500
    measure_steps: int = 1000

    def generator_config(self) -> CgsConfig:
        """Return the shape of the generator."""
        made = CgsConfig.for_resolution(self.resolution, points=self.points, width=self.width)
        return dataclasses.replace(made, first_blocks=self.first_blocks)


@dataclass(frozen=True)
class DistillStep:
    """Where distillation stands."""

    done: int
    total: int
    message: str
    loss: float
    psnr: float | None = None  # dB on heads never seen, when it was just measured


@dataclass
class DistillState:
    """Everything that a step changes."""

    generator: CgsGenerator
    average: CgsGenerator
    adam: torch.optim.Adam
    muon: torch.optim.Muon
    step: int = 0

    @staticmethod
    def fresh(settings: DistillSettings) -> DistillState:
        """Draw a new generator as the seed says."""
        with torch.random.fork_rng():
            torch.set_rng_state(torch.Generator().manual_seed(settings.seed).get_state())
            generator = CgsGenerator(settings.generator_config())
        with torch.no_grad():  # dimensions of z that decide nothing must not disturb either
            generator.mapping_network.layers()[0].weight[:, ACTIVE:Z_DIM] = 0
        average = CgsGenerator(generator.config)
        average.load_state_dict(generator.state_dict())
        average.eval().requires_grad_(False)
        # Its weights are stored 1 / mapping_lr times larger, so they must go as much farther.
        mapping = list(generator.mapping_network.parameters())
        farther = 1 / generator.config.mapping_lr
        others = list(generator.point_gen.parameters())
        # Muon's orthogonal steps learned faster than Adam's in a trial of 300 steps
        # (14.5 against 14.0 dB held out); it is meant for matrices only.
        matrices = [p for p in others if p.ndim == 2 and min(p.shape) >= _LEAST_MATRIX]
        chosen = set(map(id, matrices))
        vectors = [p for p in others if id(p) not in chosen]
        groups = [{"params": mapping, "scale": farther}, {"params": vectors, "scale": 1.0}]
        adam = torch.optim.Adam(groups, settings.learning_rate, (0.9, 0.99))
        muon = torch.optim.Muon(
            [{"params": matrices, "scale": settings.matrix_rate / settings.learning_rate}],
            settings.matrix_rate,
            weight_decay=0,
            adjust_lr_fn="match_rms_adamw",
        )
        return DistillState(generator, average, adam, muon)

    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Both, each parameter belongs to one of them."""
        return self.adam, self.muon

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor that must be saved."""
        named = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        named |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.generator.named_parameters():
            for optimizer in self.optimizers():
                for moment, value in optimizer.state.get(parameter, {}).items():
                    named[f"{moment}.{name}"] = torch.as_tensor(value)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `tensors` named. Raises KeyError or RuntimeError where it does not fit."""
        for part, network in (("generator", self.generator), ("average", self.average)):
            own = {name: tensors[f"{part}.{name}"] for name in network.state_dict()}
            network.load_state_dict(own)
        for name, parameter in self.generator.named_parameters():
            for optimizer, moments in zip(self.optimizers(), _MOMENTS, strict=True):
                if f"{moments[0]}.{name}" in tensors:
                    kept = {moment: tensors[f"{moment}.{name}"].clone() for moment in moments}
                    optimizer.state[parameter] = kept
        self.step = step


def distill(
    model: HeadSource, settings: DistillSettings, folder: Path
) -> Generator[DistillStep, None, DistillState]:
    """Train, resuming what `folder` holds; write checkpoints, a log and the averaged generator there.

    Args:
        model: Makes the heads to be learned.
        settings: How; those of a resumed run must be the same. Only `steps` and `close_ups` may be
            others: the rate follows the new length from there on.
        folder: state.safetensors, generator.safetensors and log.jsonl lie there afterwards.

    Raises:
        LoadError: The folder holds a run of other settings, or a damaged one.
        SaveError: The folder cannot be written.
    """
    state = _resumed(DistillState.fresh(settings), settings, folder)
    if settings.bfloat16:
        run_transformer_in_bfloat16(state.generator)
    begin, first = time.monotonic(), state.step
    while state.step < settings.steps:
        loss = take_step(state, model, settings)
        psnr = None
        if state.step % settings.measure_steps == 0 or state.step == settings.steps:
            psnr = measure(state.average, model)[0]
            seconds = (time.monotonic() - begin) / (state.step - first)
            _log(folder, step=state.step, loss=loss, psnr_db=psnr, seconds_per_step=seconds)
        if state.step % settings.checkpoint_steps == 0 or state.step == settings.steps:
            save(state, settings, folder)
        yield DistillStep(state.step, settings.steps, "Learning heads", loss, psnr)
    return state


def take_step(state: DistillState, model: HeadSource, settings: DistillSettings) -> float:
    """Draw heads, compare, and change the weights a little; the loss."""
    late = state.step >= (1 - settings.last_share) * settings.steps
    size = settings.last_picture if late else settings.picture
    rng = np.random.RandomState([settings.seed, state.step, 1])
    is_near = np.random.RandomState([settings.seed, state.step, 2]).random_sample()
    cameras = CLOSE_UPS if is_near < settings.close_ups else CameraSettings()
    stream = StreamSettings(settings.heads, settings.views, size, settings.seed, cameras=cameras)
    batch = draw_batch(model, stream, state.step)
    shape = (settings.heads, settings.views, 3)
    background = torch.from_numpy(rng.random_sample(shape)).float()
    weight = 1 + (settings.detail_weight - 1) * _details(model, batch, size)

    # Forward backward update.
    w = state.generator.map(batch.z)  # [B, 1, W]
    color, alpha = look(state.generator.synthesize(w), batch.cameras, size, background)
    loss = picture_loss(color, alpha, batch.over(background), batch.alphas, weight)
    rate = settings.learning_rate * schedule(state.step, settings)
    for optimizer in state.optimizers():
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        optimizer.zero_grad()
    loss.backward()
    idle = state.generator.mapping_network.layers()[0].weight.grad
    assert idle is not None
    idle[:, ACTIVE:Z_DIM] = 0
    torch.nn.utils.clip_grad_norm_(state.generator.parameters(), settings.clip)
    for optimizer in state.optimizers():
        optimizer.step()

    with torch.no_grad():
        state.generator.w_avg.lerp_(w.detach().mean((0, 1)), 0.002)
    decay = min(settings.ema, (1 + state.step) / (10 + state.step))
    update_ema(state.average, state.generator, decay)
    state.step += 1
    return float(loss.detach())


def schedule(step: int, settings: DistillSettings) -> float:
    """Warm up in a line, then fall like a cosine from 1 to 0.02."""
    warm = min(1.0, (step + 1) / max(1, settings.warm_up))
    return warm * (0.51 + 0.49 * math.cos(math.pi * step / max(1, settings.steps)))


def look(heads: Gaussians, cameras: Camera, size: int, background: Tensor) -> tuple[Tensor, Tensor]:
    """Draw heads [B] from cameras [B, V] over [B, V, 3]. [B, V, 3, H, W], [B, V, H, W]"""
    many = heads.map(lambda tensor: tensor[:, None])
    rendered = rasterize(many, cameras, (size, size), background=background)
    return rendered.color, rendered.alpha


def picture_loss(
    color: Tensor, alpha: Tensor, target: Tensor, target_alpha: Tensor, weight: Tensor
) -> Tensor:
    """L1 at full, half and quarter size, of slopes, and of alpha.

    Args:
        color, target: [B, V, 3, H, W]
        alpha, target_alpha: [B, V, H, W]
        weight: Of each pixel. [B, V, H, W]
    """
    error = (color - target).flatten(0, 1)  # [BV, 3, H, W]
    total = (error.abs().mean(1) * weight.flatten(0, 1)).mean()
    for factor in (2, 4):  # what is only a little out of place shows less when shrunk
        total = total + 0.5 * F.avg_pool2d(error, factor).abs().mean()
    slopes = (error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :])
    total = total + 0.5 * sum(slope.abs().mean() for slope in slopes)
    return total + 0.5 * (alpha - target_alpha).abs().mean()


@torch.no_grad()
def measure(
    generator: HeadGenerator, model: HeadSource, count: int = 32, views: int = 3, size: int = 256
) -> tuple[float, float]:
    """Compare with heads never trained on: mean PSNR in dB over the head, and of views from behind.

    Args:
        generator: The student.
        model: The teacher.
        count, views, size: How many heads, cameras for each, px.
    """
    found, behind = [], []
    for batch in held_out(model, count, views, size):
        head = generator.synthesize(generator.map(batch.z))
        for eye, psnr in zip(batch.cameras.eye[0], psnr_over_head(head, batch), strict=True):
            found.append(psnr)
            if float(eye[2]) < 0:
                behind.append(psnr)
    return float(np.mean(found)), float(np.mean(behind)) if behind else math.nan


def held_out(model: HeadSource, count: int, views: int, size: int) -> Iterator[Batch]:
    """Draw heads that no training sees, one a batch, from random cameras."""
    for i in range(count):
        yield draw_batch(model, StreamSettings(1, views, size, _HELD_OUT_SEED), i)


def psnr_over_head(head: Gaussians, batch: Batch) -> list[float]:
    """Compare a head [1] with the one of a batch from each of its cameras: PSNR in dB.

    Taken over the pixels that the synthetic head covers, before white, of colours in [0, 1].
    """
    white = torch.ones(*batch.cameras.focal.shape, 3)
    color, _ = look(head, batch.cameras, batch.images.shape[-1], white)
    squared = (color.clamp(0, 1) - batch.over(white).clamp(0, 1)).square().mean(2)[0]  # [V, H, W]
    covered = batch.alphas[0] > 0.5
    errors = (error[inside].mean() for error, inside in zip(squared, covered, strict=True))
    return [float(-10 * torch.log10(error.clamp_min(1e-10))) for error in errors]


def save(state: DistillState, settings: DistillSettings, folder: Path) -> None:
    """Write the checkpoint of the run and its averaged generator, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {"step": str(state.step), "settings": json.dumps(dataclasses.asdict(settings))}
    with atomic_write(folder / "state.safetensors") as file:
        file.write(safetensors.torch.save(state.tensors(), header))
    source = f"distilled from parametric heads, {state.step} steps"
    save_generator(folder / "generator.safetensors", state.average, Provenance(source=source))


def _resumed(state: DistillState, settings: DistillSettings, folder: Path) -> DistillState:
    path = folder / "state.safetensors"
    if not path.exists():
        return state
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
            wanted = dataclasses.asdict(settings)
            kept = json.loads(header["settings"])
            if kept | {name: wanted[name] for name in _MAY_CHANGE} != wanted:
                raise LoadError(path, "belongs to other settings. Use them, or another folder.")
            state.load({name: file.get_tensor(name) for name in file.keys()}, int(header["step"]))  # noqa: SIM118 - no dict
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise LoadError(path, f"is damaged ({error}). Delete it to begin anew.") from error
    return state


def _log(folder: Path, **values: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


@torch.no_grad()
def _details(model: HeadSource, batch: Batch, size: int) -> Tensor:
    """How much of each pixel shows small parts that make a face. [B, V, H, W]"""
    heads = batch.gaussians
    is_detail = torch.zeros(heads.count, 3)
    for name in _DETAILS:
        is_detail[model.part(name)] = 1
    marked = dataclasses.replace(
        heads, sh=rgb_to_dc(is_detail)[:, None].expand(*heads.batch_shape, -1, -1, -1)
    )
    black = torch.zeros(*batch.cameras.focal.shape, 3)
    return look(marked, batch.cameras, size, black)[0][:, :, 0].clamp(0, 1)


@dataclass(frozen=True)
class Options:
    """Distil parametric heads into a small generator."""

    # ICT-FaceKit Light: one .npz, or the folder of its OBJ files.
    data: Path
    # The folder of the run; what it holds is resumed.
    out: Path
    settings: tyro.conf.OmitArgPrefixes[DistillSettings] = DistillSettings()


def main(arguments: list[str] | None = None) -> int:
    """Train from the command line; 0 if that went well."""
    options = tyro.cli(Options, prog="python -m training.distill", args=arguments)
    try:
        model = HeadModel.load(options.data)
        with tqdm(total=options.settings.steps, unit="step") as bar:
            for step in distill(model, options.settings, options.out):
                bar.n = step.done
                bar.set_description_str(f"loss {step.loss:.3f}", refresh=False)
                bar.update(0)
                if step.psnr is not None:
                    bar.write(f"step {step.done}: {step.psnr:.2f} dB on heads never seen")
    except SplatheadError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
