"""The parametric head: a latent in, a head of splats out, always with the same splats.

Splat i is the same place of the same part of every head. What does not depend on z is in `anatomy`;
the rest is linear in identity and expression, or done by `cpu_kernels`.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import C0
from training.synthetic.anatomy import DRIVERS, EXPRESSION_NAMES, Anatomy, powers
from training.synthetic.geometry import Array
from training.synthetic.hair import REACH
from training.synthetic.lighting import lamps_of, sight_of
from training.synthetic.mesh import Mesh, load_mesh
from training.synthetic.parameters import HAIR_STYLES, IDENTITIES, Z_DIM, Traits, traits_of

# Where the mesh, in centimetres, sits in the world: as the GAN's own heads do.
CM = 0.0192
ORIGIN = (0.0, -0.0166, -0.0738)
EARS = np.array([[-8.0, 4.0, -0.2], [8.0, 4.0, -0.2]])  # cm, where glasses rest on the neutral head


class HeadModel:
    """Makes heads. May be called from several threads at once; build it with `load`."""

    def __init__(self, mesh: Mesh, splats: int = 62_000, seed: int = 0) -> None:
        """Make everything that is the same for every head.

        Args:
            mesh: With the expressions `EXPRESSION_NAMES`.
            splats: About how many; the finer parts get their share.
            seed: Of the noise and of where hairs stand: another seed, another family of heads.
        """
        self.seed = seed
        self._anatomy = Anatomy(mesh, splats, seed)
        self._see()

    @staticmethod
    def load(path: str | Path, splats: int = 62_000, seed: int = 0) -> HeadModel:
        """Read the mesh and build the model.

        Args:
            path: ICT-FaceKit Light as one .npz, or the folder of its OBJ files.
            splats: About how many each head has.
            seed: Of the noise and of where hairs stand.

        Raises:
            LoadError: The file is missing, damaged or something else.
        """
        return HeadModel(load_mesh(path, IDENTITIES, EXPRESSION_NAMES), splats, seed)

    @property
    def count(self) -> int:
        """N, the number of splats of every head."""
        return self._anatomy.count

    def part(self, name: str) -> slice:
        """The splats of "skin", "mouth", "threads", "eyes", "shirt", "glasses" or "hair"."""
        return self._anatomy.ranges[name].slice

    def attributes(self, z: Array | torch.Tensor) -> dict[str, Any]:
        """What is known of the head of one latent, by name: floats, colours in [0, 1], a style.

        Args:
            z: [512]
        """
        t = traits_of(_one(z))
        names = (
            "mouth_open", "smile", "blink", "brow_height", "pucker", "squint", "mouth_side", "upper_lip",
            "lightness", "blush", "brow_weight", "hair_length", "curl", "volume", "bald", "beard",
            "beard_length", "stubble", "glasses", "glasses_round", "warmth",
        )  # fmt: skip
        found: dict[str, Any] = {name: float(getattr(t, name)) for name in names}
        found["gaze_left"], found["gaze_up"] = (float(angle) for angle in t.gaze)
        found["light_left"], found["light_up"] = (float(angle) for angle in t.light)
        found["hair_style"] = HAIR_STYLES[int(np.argmax(t.hair_style))]
        found["identity"] = [float(value) for value in t.identity]
        for name in ("skin", "lips", "iris", "hair", "frame", "shirt"):
            linear = np.clip(getattr(t, name), 0, 1)
            srgb = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
            found[f"{name}_colour"] = [float(value) for value in srgb]
        return found

    def head(self, z: Array | torch.Tensor) -> Gaussians:
        """Make the head of one latent: the same z, the same head.

        Args:
            z: [512], drawn from N(0, I); only its direction counts.
        """
        return self.heads(_one(z)[None])[0]

    def heads(self, z: Array | torch.Tensor, threads: int | None = None) -> Gaussians:
        """Make a batch of heads.

        Args:
            z: [B, 512]
            threads: How many heads to make at once; as many as there are processors if None.
        """
        latents = z.detach().cpu().numpy() if isinstance(z, torch.Tensor) else np.asarray(z)
        assert latents.ndim == 2, latents.shape
        assert latents.shape[1] == Z_DIM, latents.shape
        batch = len(latents)
        out = _Batch(batch, self.count)
        jobs = [(traits_of(latents[b]), out.head(b)) for b in range(batch)]
        workers = min(threads or os.cpu_count() or 1, batch)
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda job: self._make(*job), jobs))
        else:
            for job in jobs:
                self._make(*job)
        return out.gaussians()

    def _see(self) -> None:
        """Find out how much of the world each splat sees on the neutral head without hair."""
        sight = np.zeros((self.count, 10), np.float32)
        sight[:, 0], sight[:, 9] = 1 / C0, 1  # everything
        self._use_sight(sight)
        calm = traits_of(np.eye(1, Z_DIM, Z_DIM - 1)[0])
        self._make(calm, _Batch(1, self.count).head(0))
        points, frames = self._own.canvas.points, self._own.canvas.frames
        body = slice(0, self.part("shirt").stop)
        solid = np.concatenate([points[self.part("skin")], points[self.part("shirt")]])
        sight[body] = sight_of(points[body], frames[body, :3], solid)
        sight[self.part("mouth")] = self._anatomy.inside_sight
        threads = self.part("threads")
        sight[threads, 9] = np.maximum(sight[threads, 9], 0.5)
        sight[self.part("hair")] = self._anatomy.sight_of_hair()
        self._use_sight(sight)

    def _use_sight(self, sight: Array) -> None:
        self._sight = np.ascontiguousarray(sight[:, :9])
        self._sky_seen = np.ascontiguousarray(sight[:, 9])
        self._own = threading.local()  # canvases remember it

    def _make(self, t: Traits, out: _Head) -> None:
        """Draw one head on this thread's canvas, then light it into `out`."""
        if not hasattr(self._own, "canvas"):
            self._own.canvas = _Canvas(self.count, len(self._anatomy.neutral))
            # Every lamp reaches hair alike.
            self._own.canvas.reached[self.part("hair")] = self._sky_seen[self.part("hair"), None]
        canvas: _Canvas = self._own.canvas
        # Geometry is linear in identity and expression.
        a = self._anatomy
        identity = t.identity[: len(a.warps)]
        canvas.warp = np.einsum("i,ipc->pc", identity, a.warps).astype(np.float32)
        self._deform(t, identity, canvas)
        self._lay_skin(t, canvas, out.opacities)
        self._set_threads(t, canvas, out.opacities)
        self._set_eyes(t, identity, canvas, out.opacities)
        self._dress(t, identity, canvas, out.opacities)
        self._grow_hair(t, canvas, out.opacities)
        self._light(t, canvas, out)
        np.clip(out.opacities, 1e-4, 0.97, out=out.opacities)

    def _deform(self, t: Traits, identity: Array, canvas: _Canvas) -> None:
        from training.synthetic import cpu_kernels as kernels  # numba, when it is first needed

        a, vertices = self._anatomy, canvas.vertices
        weights = np.concatenate([identity, driver_weights(t)]).astype(np.float32)
        kernels.move_vertices(
            a.neutral.ravel(), a.basis, weights, canvas.moves.ravel(), vertices.ravel()
        )
        kernels.vertex_normals(vertices, a.quads, canvas.normals)

    def _lay_skin(self, t: Traits, canvas: _Canvas, opacities: Array) -> None:
        from training.synthetic import cpu_kernels as kernels

        a, skin, mouth = self._anatomy, self.part("skin"), self.part("mouth")
        both = slice(0, mouth.stop)
        kernels.place_surface(
            canvas.vertices, canvas.normals, a.corners, a.place, a.extent,
            canvas.points[both], canvas.frames[both], canvas.sizes[both],
        )  # fmt: skip
        covered = (1 - t.bald) * min(t.hair_length / 3, 1)
        look = np.array([t.blush, t.brow_weight, t.stubble, t.beard, t.bald, covered], np.float32)
        tones = np.stack([t.skin, t.lips, t.hair]).astype(np.float32)
        kernels.color_skin(a.maps, tones, look, canvas.albedo[skin], canvas.gloss[skin])
        canvas.albedo[mouth], canvas.gloss[mouth] = a.inside_colors, 0.1
        opacities[both] = 0.97

    def _set_threads(self, t: Traits, canvas: _Canvas, opacities: Array) -> None:
        from training.synthetic import cpu_kernels as kernels

        a, s = self._anatomy, self.part("threads")
        looks = np.array(
            [
                [1.0, 1.0, 0.012, 0.008, 0.006],
                [1.0, 0.75 + 0.5 * t.brow_weight, *(0.85 * t.hair + 0.02 * t.skin)],
                [t.beard_length, 0.8 + 0.25 * t.beard_length, *(0.9 * t.hair)],
            ],
            np.float32,
        )
        kernels.place_threads(
            canvas.moves, a.anchors, a.thread_roots, a.thread_ways, a.threads.kinds, looks,
            canvas.points[s], canvas.frames[s], canvas.sizes[s], canvas.albedo[s],
        )  # fmt: skip
        canvas.gloss[s] = 0.0
        strength = np.array([1.0, 0.3 + 0.7 * t.brow_weight, t.beard])
        opacities[s] = a.threads.opacities * strength[a.threads.kinds]

    def _set_eyes(self, t: Traits, identity: Array, canvas: _Canvas, opacities: Array) -> None:
        eyes, spots = self._anatomy.eyes, self.part("catchlights")
        s = slice(self.part("eyes").start, spots.stop)
        points, normals, tangents = eyes.turned(t.gaze, identity)
        canvas.points[s], canvas.frames[s, :3], canvas.frames[s, 3:] = points, normals, tangents
        canvas.sizes[s, :2], canvas.sizes[s, 2] = eyes.widths[:, None], 0.01
        canvas.albedo[s] = eyes.base + eyes.iris[:, None] * t.iris
        canvas.gloss[s] = 0.05
        opacities[s] = eyes.opacities
        opacities[spots] *= 1 - t.blink

    def _dress(self, t: Traits, identity: Array, canvas: _Canvas, opacities: Array) -> None:
        from training.synthetic import cpu_kernels as kernels

        a, s = self._anatomy, self.part("shirt")
        points, canvas.frames[s], canvas.sizes[s], shade = a.shirt
        kernels.bend(points, canvas.warp, canvas.points[s])
        canvas.albedo[s] = shade[:, None] * t.shirt.astype(np.float32)
        canvas.gloss[s], opacities[s] = 0.0, 0.97
        s = self.part("glasses")
        marks = a.marks[0] + np.einsum("i,imc->mc", identity, a.marks[1])
        ears = EARS + np.einsum("np,pc->nc", powers(EARS), canvas.warp)
        worn = a.glasses.worn(marks, ears, t.glasses_round)
        canvas.points[s], canvas.frames[s], canvas.sizes[s] = worn
        canvas.albedo[s], canvas.gloss[s], opacities[s] = t.frame, 0.03, 0.97 * t.glasses

    def _grow_hair(self, t: Traits, canvas: _Canvas, opacities: Array) -> None:
        from training.synthetic import cpu_kernels as kernels

        a, s = self._anatomy, self.part("hair")
        grown = float(np.clip((t.hair_length - 3.5) / 6, 0, 1))
        grown = grown * grown * (3 - 2 * grown)
        share = a.hair.short + (a.hair.long - a.hair.short) * grown
        lengths = (share * (t.hair_length * (1 - t.bald) / REACH)).astype(np.float32)
        density = np.sqrt(2900 / len(a.hair.roots))
        thick = 0.078 * density * (1 + 0.035 * t.hair_length)
        style = np.array([t.curl, t.volume, t.hair_length, thick], np.float32)
        kernels.place_hair(
            a.tables, a.strands, lengths, t.hair_style.astype(np.float32), canvas.warp,
            canvas.moves, style, t.hair.astype(np.float32),
            canvas.points[s], canvas.frames[s], canvas.sizes[s], canvas.albedo[s], opacities[s],
        )  # fmt: skip
        opacities[s] *= 0.9 * (1 - t.bald) ** 2
        canvas.gloss[s] = 1.0 - 0.6 * t.curl

    def _light(self, t: Traits, canvas: _Canvas, out: _Head) -> None:
        """Light every part, and write the world's units before activation."""
        from training.synthetic import cpu_kernels as kernels

        lamps, harmonics, sky = lamps_of(t.light, t.warmth)
        body = slice(0, self.part("glasses").stop)
        kernels.see_lamps(self._sight[body], harmonics, canvas.reached[body])
        placement = np.array([CM, *ORIGIN], np.float32)
        for part in self._anatomy.ranges.values():
            s = part.slice
            shade = kernels.light_threads if part.is_thread else kernels.light_surface
            shade(
                canvas.points[s], canvas.frames[s], canvas.albedo[s], canvas.gloss[s],
                self._sky_seen[s], canvas.reached[s], lamps, sky,
                np.array(part.wander, np.float32), placement,
                out.means[s], out.quats[s], out.sh[s],
            )  # fmt: skip
        out.sh[self.part("catchlights")] = (0.95 - 0.5) / C0  # they need no lamp
        canvas.sizes *= CM
        np.log(canvas.sizes, out=out.log_scales)


def driver_weights(t: Traits) -> Array:
    """How strongly each of `DRIVERS` acts. [16]"""
    left, up = t.gaze
    # The mesh's eyes look about 0.6 radians to the side at full strength, 0.45 up and down.
    strengths = {
        "mouth_open": t.mouth_open,
        "smile": max(t.smile, 0.0),
        "frown": max(-t.smile, 0.0),
        "blink": t.blink,
        "brow_up": max(t.brow_height, 0.0),
        "brow_down": max(-t.brow_height, 0.0),
        "look_left": max(left, 0.0) / 0.6,
        "look_right": max(-left, 0.0) / 0.6,
        "look_up": max(up, 0.0) / 0.45,
        "look_down": max(-up, 0.0) / 0.45,
        "pucker": t.pucker,
        "squint": max(t.squint, 0.0),
        "wide": max(-t.squint, 0.0),
        "mouth_left": max(t.mouth_side, 0.0),
        "mouth_right": max(-t.mouth_side, 0.0),
        "upper_lip": t.upper_lip,
    }
    return np.array([strengths[name] for name in DRIVERS])


def _one(z: Array | torch.Tensor) -> Array:
    latent = z.detach().cpu().numpy() if isinstance(z, torch.Tensor) else np.asarray(z)
    assert latent.shape == (Z_DIM,), latent.shape
    return latent


class _Canvas:
    """The arrays that a thread draws a head on, in cm and linear light; used again for the next."""

    def __init__(self, count: int, vertices: int) -> None:
        self.vertices = np.zeros((vertices, 3), np.float32)
        self.moves, self.normals = np.zeros_like(self.vertices), np.zeros_like(self.vertices)
        self.points = np.zeros((count, 3), np.float32)
        self.frames = np.zeros((count, 6), np.float32)  # normal, tangent
        self.sizes = np.zeros((count, 3), np.float32)
        self.albedo = np.zeros((count, 3), np.float32)
        self.gloss = np.zeros(count, np.float32)
        self.reached = np.zeros((count, 3), np.float32)  # by each lamp
        self.warp = np.zeros((10, 3), np.float32)


class _Head(NamedTuple):
    """Where one head is written."""

    means: Array  # [N, 3]
    log_scales: Array  # [N, 3]
    quats: Array  # [N, 4]
    opacities: Array  # [N]
    sh: Array  # [N, 3]


class _Batch:
    """Arrays that heads are written into, before they are tensors."""

    def __init__(self, batch: int, count: int) -> None:
        widths = (3, 3, 4, 1, 3)
        parts = [np.zeros((batch, count, width), np.float32) for width in widths]
        self.means, self.log_scales, self.quats, self.opacities, self.sh = parts

    def head(self, b: int) -> _Head:
        return _Head(
            self.means[b], self.log_scales[b], self.quats[b], self.opacities[b, :, 0], self.sh[b]
        )

    def gaussians(self) -> Gaussians:
        return Gaussians(
            torch.from_numpy(self.means),
            torch.from_numpy(self.log_scales),
            torch.from_numpy(self.quats),
            torch.from_numpy(self.opacities)[..., 0].logit(),
            torch.from_numpy(self.sh)[:, :, None],
        )
