"""The parametric head: a latent in, a head of splats out, always with the same splats.

Splat i is the same place of the same part of every head. What does not depend on z is made once by
`HeadModel.load`; the rest is linear in identity and expression or done by `cpu_kernels`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from renderer.gaussians import Gaussians
from renderer.spherical_harmonics import C0
from training.synthetic.eyes import make_eyes
from training.synthetic.geometry import Array, Noise
from training.synthetic.hair import REACH, STEPS, make_hair
from training.synthetic.lighting import lamps_of, sight_of
from training.synthetic.mesh import Cells, Mesh, every, load_mesh, tessellate
from training.synthetic.parameters import HAIR_STYLES, IDENTITIES, Z_DIM, Traits, traits_of
from training.synthetic.skin import hairline, paint, tile_lining, tile_skin
from training.synthetic.threads import make_threads, nearest
from training.synthetic.wardrobe import Glasses, make_shirt

# Where the mesh, in centimetres, sits in the world: as the GAN's own heads do.
CM = 0.0192
ORIGIN = (0.0, -0.0166, -0.0738)

# What each driver of an expression moves, and how strongly.
DRIVERS: dict[str, dict[str, float]] = {
    "mouth_open": {"jawOpen": 1.0},
    "smile": {"mouthSmile_L": 0.95, "mouthSmile_R": 0.95, "cheekRaiser_L": 0.25, "cheekRaiser_R": 0.25},
    "frown": {"mouthFrown_L": 1.0, "mouthFrown_R": 1.0},
    "blink": {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0},
    "brow_up": {"browInnerUp_L": 0.6, "browInnerUp_R": 0.6, "browOuterUp_L": 0.7, "browOuterUp_R": 0.7},
    "brow_down": {"browDown_L": 0.8, "browDown_R": 0.8},
    "look_left": {"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0},
    "look_right": {"eyeLookIn_L": 1.0, "eyeLookOut_R": 1.0},
    "look_up": {"eyeLookUp_L": 1.0, "eyeLookUp_R": 1.0},
    "look_down": {"eyeLookDown_L": 1.0, "eyeLookDown_R": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "squint": {"eyeSquint_L": 1.0, "eyeSquint_R": 1.0},
    "wide": {"eyeWide_L": 0.8, "eyeWide_R": 0.8},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "upper_lip": {"mouthUpperUp_L": 1.0, "mouthUpperUp_R": 1.0},
}  # fmt: skip
EXPRESSION_NAMES = tuple(dict.fromkeys(name for parts in DRIVERS.values() for name in parts))

# How far light wanders in each material, red to blue.
SKIN, HAIR, CLOTH = (0.28, 0.12, 0.08), (0.6, 0.6, 0.6), (0.15, 0.15, 0.15)


@dataclass(frozen=True)
class Range:
    """The splats of one part of the head, and what they are made of."""

    first: int
    last: int  # exclusive
    wander: tuple[float, float, float]
    is_thread: bool = False

    @property
    def slice(self) -> slice:
        """For arrays of splats."""
        return slice(self.first, self.last)


class HeadModel:
    """Makes heads. May be called from several threads at once; build it with `load`."""

    def __init__(self, mesh: Mesh, splats: int = 62_000, seed: int = 0) -> None:
        """Make everything that is the same for every head.

        Args:
            mesh: With the expressions `EXPRESSION_NAMES`.
            splats: About how many; the finer parts get their share.
            seed: Of the noise and of where hairs stand: another seed, another family of heads.
        """
        rng, noise = np.random.RandomState(seed), Noise(seed)
        self.seed = seed
        self._mesh = mesh
        self._skin_cells = tile_skin(mesh, int(0.40 * splats))
        lining = tile_lining(mesh)
        inside, inside_colors, inside_sight = _inner_mouth(mesh)
        surface = [self._skin_cells, lining, *inside]
        self._threads = make_threads(
            mesh, int(0.006 * splats), int(0.018 * splats), int(0.078 * splats), noise, rng
        )
        self._eyes = make_eyes(mesh, int(0.030 * splats), noise)
        self._shirt = tuple(
            part.astype(np.float32) for part in make_shirt(int(0.08 * splats), noise)
        )
        self._glasses = Glasses(int(0.018 * splats))
        used = sum(len(cells.points) for cells in surface)
        used += len(self._threads.anchors) + len(self._eyes.side) + len(self._shirt[0])
        used += self._glasses.count
        self._hair = make_hair(mesh, max(16, (splats - used) // STEPS), noise, rng)
        self._lay_out(surface, inside_colors, noise)
        self._bind()
        self._see(inside_sight)

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
        return self._count

    def part(self, name: str) -> slice:
        """The splats of "skin", "mouth", "threads", "eyes", "shirt", "glasses" or "hair"."""
        return self._ranges[name].slice

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
        out = _Batch(batch, self._count)
        jobs = [(traits_of(latents[b]), out, b) for b in range(batch)]
        workers = min(threads or os.cpu_count() or 1, batch)
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda job: self._make(*job), jobs))
        else:
            for job in jobs:
                self._make(*job)
        return out.gaussians()

    # --- made once ---------------------------------------------------------------------------------

    def _lay_out(self, surface: list[Cells], inside_colors: Array, noise: Noise) -> None:
        """Number the splats, and paint what lies on the mesh."""
        counts = {
            "skin": len(surface[0].points) + len(surface[1].points),
            "mouth": sum(len(cells.points) for cells in surface[2:]),
            "threads": len(self._threads.anchors),
            "eyes": len(self._eyes.side) - self._eyes.catchlights,
            "catchlights": self._eyes.catchlights,
            "shirt": len(self._shirt[0]),
            "glasses": self._glasses.count,
            "hair": STEPS * len(self._hair.roots),
        }
        materials = {"threads": HAIR, "hair": HAIR, "shirt": CLOTH}
        first = 0
        self._ranges: dict[str, Range] = {}
        for name, count in counts.items():
            wander = materials.get(name, SKIN)
            self._ranges[name] = Range(first, first + count, wander, wander is HAIR)
            first += count
        self._count = first

        painted = np.concatenate([cells.points for cells in surface[:2]])
        self._maps = paint(self._mesh, painted, noise).astype(np.float32)
        self._inside_colors = inside_colors.astype(np.float32)
        overlap = [0.68, 0.70] + [0.62] * len(surface[2:])
        lift = [0.0, -0.3] + [0.0] * len(surface[2:])
        self._extent = np.concatenate(
            [
                np.concatenate(
                    [
                        o * c.share,
                        np.full((len(c.points), 1), 0.012),
                        np.full((len(c.points), 1), d),
                    ],
                    1,
                )
                for c, o, d in zip(surface, overlap, lift, strict=True)
            ]
        ).astype(np.float32)
        self._place = np.concatenate([cells.place for cells in surface]).astype(np.float32)
        self._corners = np.concatenate([cells.corners for cells in surface])

    def _bind(self) -> None:
        """Keep only the vertices that are needed, and the bases of what moves them."""
        mesh, hair = self._mesh, self._hair
        roots = nearest(mesh, hair.roots)
        faces = mesh.faces_of("skin")
        used = np.unique(
            np.concatenate([self._corners.ravel(), faces.ravel(), self._threads.anchors, roots])
        )
        number = np.zeros(len(mesh.neutral), np.int32)
        number[used] = np.arange(len(used))
        inner = [mesh.faces_of(part) for part in ("mouth", "eye_sockets", "gums", "teeth")]
        quads = np.concatenate([faces, *inner])
        quads = quads[np.isin(quads, used).all(1)]
        self._quads = number[quads]
        self._corners = number[self._corners]
        self._anchors = number[self._threads.anchors]
        self._strands = np.stack(
            [hair.layer, hair.phase, hair.tint, hair.fade, number[roots]], axis=1
        ).astype(np.float32)
        self._neutral = mesh.neutral[used].astype(np.float32)
        moves = [
            sum(weight * mesh.expression[name] for name, weight in parts.items())
            for parts in DRIVERS.values()
        ]
        basis = np.concatenate([mesh.identity, np.stack(moves)])[:, used]
        self._basis = np.ascontiguousarray(basis.reshape(len(basis), -1), np.float32)
        self._marks = (mesh.neutral[mesh.marks], mesh.identity[:, mesh.marks].astype(float))
        self._warps = fit_warps(mesh)
        self._tables = np.ascontiguousarray(hair.paths, np.float32)
        points = self._shirt[0].astype(float)
        self._shirt_powers = powers(points).astype(np.float32)
        self._thread_ways = self._threads.ways.astype(np.float32)
        self._thread_roots = self._threads.roots.astype(np.float32)

    def _see(self, inside_sight: Array) -> None:
        """Find out how much of the world each splat sees on the neutral head without hair."""
        batch = _Batch(1, self._count)
        calm = traits_of(np.eye(1, Z_DIM, Z_DIM - 1)[0])
        sight = np.zeros((self._count, 10), np.float32)
        sight[:, 0], sight[:, 9] = 1 / C0, 1  # everything
        self._use_sight(sight)
        points, frames = self._make(calm, batch, 0)
        body = slice(0, self._ranges["shirt"].last)
        solid = np.concatenate([points[self.part("skin")], points[self.part("shirt")]])
        sight[body] = sight_of(points[body], frames[body, :3], solid)
        sight[self.part("mouth")] = inside_sight
        threads = self.part("threads")
        sight[threads, 9] = np.maximum(sight[threads, 9], 0.5)
        sight[self.part("hair")] = self._sight_of_hair()
        self._use_sight(sight)

    def _use_sight(self, sight: Array) -> None:
        self._sight = np.ascontiguousarray(sight[:, :9])
        self._sky_seen = np.ascontiguousarray(sight[:, 9])

    def _sight_of_hair(self) -> Array:
        """Let less light to the strands near the scalp and in the nape. [9 S, 10]"""
        hair = self._hair
        deep = np.repeat(0.72 + 0.28 * hair.layer, STEPS)
        sight = np.zeros((len(deep), 10))
        sight[:, 0] = deep / C0
        sight[:, 9] = deep
        return sight

    # --- made for each head ------------------------------------------------------------------------

    def _make(self, t: Traits, out: _Batch, b: int) -> tuple[Array, Array]:
        """Write head `b` of a batch; returns points and frames in cm. [N, 3], [N, 6]"""
        from training.synthetic import cpu_kernels as kernels  # numba, when it is first needed

        n, r = self._count, self._ranges
        points, frames = np.zeros((n, 3), np.float32), np.zeros((n, 6), np.float32)
        sizes, albedo = np.zeros((n, 3), np.float32), np.zeros((n, 3), np.float32)
        gloss = np.zeros(n, np.float32)
        opacities = out.opacities[b]

        # Geometry is linear in identity and expression.
        identity = t.identity[: len(self._warps)]
        weights = np.concatenate([identity, driver_weights(t)]).astype(np.float32)
        moves, vertices = np.zeros((2, *self._neutral.shape), np.float32)
        kernels.move_vertices(
            self._neutral.ravel(), self._basis, weights, moves.ravel(), vertices.ravel()
        )
        normals = np.zeros_like(vertices)
        kernels.vertex_normals(vertices, self._quads, normals)
        on_mesh = slice(0, r["mouth"].last)
        kernels.place_surface(
            vertices, normals, self._corners, self._place, self._extent,
            points[on_mesh], frames[on_mesh], sizes[on_mesh],
        )  # fmt: skip
        skin, mouth = r["skin"].slice, r["mouth"].slice
        covered = (1 - t.bald) * min(t.hair_length / 3, 1)
        look = np.array([t.blush, t.brow_weight, t.stubble, t.beard, t.bald, covered], np.float32)
        tones = np.stack([t.skin, t.lips, t.hair]).astype(np.float32)
        kernels.color_skin(self._maps, tones, look, albedo[skin], gloss[skin])
        albedo[mouth] = self._inside_colors
        gloss[mouth] = 0.1
        opacities[on_mesh] = 0.97

        threads = r["threads"].slice
        looks = np.array(
            [
                [1.0, 1.0, 0.012, 0.008, 0.006],
                [1.0, 0.75 + 0.5 * t.brow_weight, *(0.85 * t.hair + 0.02 * t.skin)],
                [t.beard_length, 0.8 + 0.25 * t.beard_length, *(0.9 * t.hair)],
            ],
            np.float32,
        )
        kernels.place_threads(
            moves, self._anchors, self._thread_roots, self._thread_ways, self._threads.kinds, looks,
            points[threads], frames[threads], sizes[threads], albedo[threads],
        )  # fmt: skip
        strength = np.array([1.0, 0.3 + 0.7 * t.brow_weight, t.beard])
        opacities[threads] = self._threads.opacities * strength[self._threads.kinds]

        warp = np.tensordot(identity, self._warps, 1).astype(np.float32)  # [10, 3]
        self._set_eyes(t, identity, (points, frames, sizes, albedo, gloss, opacities))
        self._dress(t, identity, warp, (points, frames, sizes, albedo, gloss, opacities))

        hair = r["hair"].slice
        grown = float(np.clip((t.hair_length - 3.5) / 6, 0, 1))
        grown = grown * grown * (3 - 2 * grown)
        share = self._hair.short + (self._hair.long - self._hair.short) * grown
        lengths = (share * (t.hair_length * (1 - t.bald) / REACH)).astype(np.float32)
        density = np.sqrt(2900 / len(self._hair.roots))
        thick = 0.078 * density * (1 + 0.035 * t.hair_length)
        style = np.array([t.curl, t.volume, t.hair_length, thick], np.float32)
        kernels.place_hair(
            self._tables, self._strands, lengths, t.hair_style.astype(np.float32), warp, moves,
            style, t.hair.astype(np.float32),
            points[hair], frames[hair], sizes[hair], albedo[hair], opacities[hair],
        )  # fmt: skip
        opacities[hair] *= 0.9 * (1 - t.bald) ** 2
        gloss[hair] = 1.0 - 0.6 * t.curl

        lamps, harmonics, sky = lamps_of(t.light, t.warmth)
        reached = np.zeros((n, 3), np.float32)
        kernels.see_lamps(self._sight, harmonics, reached)
        placement = np.array([CM, *ORIGIN], np.float32)
        for part in r.values():
            s = part.slice
            shade = kernels.light_threads if part.is_thread else kernels.light_surface
            shade(
                points[s], frames[s], albedo[s], gloss[s], self._sky_seen[s], reached[s],
                lamps, sky, np.array(part.wander, np.float32), placement,
                out.means[b, s], out.quats[b, s], out.sh[b, s],
            )  # fmt: skip
        out.sh[b, r["catchlights"].slice] = (0.95 - 0.5) / C0
        sizes *= CM
        np.log(sizes, out=out.log_scales[b])
        np.clip(opacities, 1e-4, 0.97, out=opacities)
        return points, frames

    def _set_eyes(self, t: Traits, identity: Array, out: tuple[Array, ...]) -> None:
        points, frames, sizes, albedo, gloss, opacities = out
        s = slice(self._ranges["eyes"].first, self._ranges["catchlights"].last)
        eyes = self._eyes
        points[s], frames[s, :3], frames[s, 3:] = eyes.turned(t.gaze, identity)
        sizes[s, :2], sizes[s, 2] = eyes.widths[:, None], 0.01
        albedo[s] = eyes.base + eyes.iris[:, None] * t.iris
        gloss[s] = 0.05
        opacities[s] = eyes.opacities
        opacities[self._ranges["catchlights"].slice] *= 1 - t.blink

    def _dress(self, t: Traits, identity: Array, warp: Array, out: tuple[Array, ...]) -> None:
        points, frames, sizes, albedo, gloss, opacities = out
        s = self._ranges["shirt"].slice
        points[s] = self._shirt[0] + np.einsum("np,pc->nc", self._shirt_powers, warp)
        frames[s], sizes[s] = self._shirt[1], self._shirt[2]
        albedo[s] = self._shirt[3][:, None] * t.shirt
        opacities[s] = 0.97
        s = self._ranges["glasses"].slice
        marks = self._marks[0] + np.tensordot(identity, self._marks[1], 1)
        ears = np.array([[-8.0, 4.0, -0.2], [8.0, 4.0, -0.2]])
        ears = ears + powers(ears) @ warp
        points[s], frames[s], sizes[s] = self._glasses.worn(marks, ears, t.glasses_round)
        albedo[s], gloss[s], opacities[s] = t.frame, 0.03, 0.97 * t.glasses


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


def powers(points: Array) -> Array:
    """The ten monomials of a quadratic warp, the same as in `cpu_kernels`. [N, 10]"""
    x = np.clip(points[:, 0] / 10, -1.25, 1.25)
    y = np.clip((points[:, 1] - 3) / 10, -2, 1.25)
    z = np.clip(points[:, 2] / 10, -1.2, 1.2)
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)


def fit_warps(mesh: Mesh) -> Array:
    """Fit to each identity component how it moves the skull, neck and shoulders. [I, 10, 3]"""
    first, last = mesh.parts["skin"]
    points = mesh.points_of("skin")
    below = (points[:, 1] < -8) | (points[:, 2] < 3)
    around = np.where((hairline(points) > -2) | below, 1.0, 0.15)[:, None]
    system = powers(points) * around
    moves = mesh.identity[:, first : last + 1].astype(float)
    return np.stack([np.linalg.lstsq(system, move * around, rcond=None)[0] for move in moves])


def _inner_mouth(mesh: Mesh) -> tuple[list[Cells], Array, Array]:
    """Tile eye sockets, mouth, gums with tongue, and teeth: patches, colours and what they see."""
    tones = {
        "eye_sockets": (0.25, (0.42, 0.15, 0.12), 0.5, 1),
        "mouth": (0.5, (0.10, 0.025, 0.02), 0.12, 3),
        "gums": (0.5, (0.40, 0.11, 0.10), 0.35, 3),
        "teeth": (0.3, (0.72, 0.66, 0.56), 0.55, 2),
    }
    tiles, colors, sight = [], [], []
    for part, (size, tone, open_sky, step) in tones.items():
        quads = mesh.faces_of(part)
        if part in ("gums", "teeth"):  # only what an open mouth shows
            middle = mesh.neutral[quads].mean(1)
            facing = mesh.normals[quads].mean(1)[:, 2] > (0.1 if part == "teeth" else -0.2)
            quads = quads[(middle[:, 2] > 7.5) & facing]
        cells = every(tessellate(mesh, quads, np.full(len(quads), size)), step)
        tiles.append(cells)
        deep = 1.0 if part == "eye_sockets" else np.clip((cells.points[:, 2] - 7.5) / 3, 0.15, 1)
        count = len(cells.points)
        colors.append(np.tile(tone, (count, 1)))
        seen = np.zeros((count, 10))
        seen[:, 0], seen[:, 9] = 0.6 * open_sky * deep / C0, open_sky * deep
        sight.append(seen)
    return tiles, np.concatenate(colors), np.concatenate(sight)


def _one(z: Array | torch.Tensor) -> Array:
    latent = z.detach().cpu().numpy() if isinstance(z, torch.Tensor) else np.asarray(z)
    assert latent.shape == (Z_DIM,), latent.shape
    return latent


class _Batch:
    """Arrays that heads are written into."""

    def __init__(self, batch: int, count: int) -> None:
        self.means = np.zeros((batch, count, 3), np.float32)
        self.log_scales = np.zeros((batch, count, 3), np.float32)
        self.quats = np.zeros((batch, count, 4), np.float32)
        self.opacities = np.zeros((batch, count), np.float32)
        self.sh = np.zeros((batch, count, 3), np.float32)

    def gaussians(self) -> Gaussians:
        return Gaussians(
            torch.from_numpy(self.means),
            torch.from_numpy(self.log_scales),
            torch.from_numpy(self.quats),
            torch.from_numpy(self.opacities).logit(),
            torch.from_numpy(self.sh)[:, :, None],
        )
