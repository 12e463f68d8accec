"""Everything that is the same for every head: which splats there are, and what moves and lights them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.spherical_harmonics import C0
from training.synthetic.eyes import make_eyes
from training.synthetic.geometry import Array, Noise
from training.synthetic.hair import STEPS, make_hair
from training.synthetic.mesh import Cells, Mesh, every, tessellate
from training.synthetic.skin import hairline, paint, tile_lining, tile_skin
from training.synthetic.threads import make_threads, nearest
from training.synthetic.wardrobe import Glasses, make_shirt

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


class Anatomy:
    """What `HeadModel` reads; made once."""

    def __init__(self, mesh: Mesh, splats: int, seed: int) -> None:
        rng, noise = np.random.RandomState(seed), Noise(seed)
        skin = tile_skin(mesh, int(0.40 * splats))
        lining = tile_lining(mesh)
        inside, inside_colors, inside_sight = _inner_mouth(mesh)
        surface = [skin, lining, *inside]
        self.threads = make_threads(
            mesh, int(0.006 * splats), int(0.018 * splats), int(0.078 * splats), noise, rng
        )
        self.eyes = make_eyes(mesh, int(0.030 * splats), noise)
        self.shirt = tuple(
            part.astype(np.float32) for part in make_shirt(int(0.08 * splats), noise)
        )
        self.glasses = Glasses(int(0.018 * splats))
        used = sum(len(cells.points) for cells in surface)
        used += len(self.threads.anchors) + len(self.eyes.side) + len(self.shirt[0])
        used += self.glasses.count
        self.hair = make_hair(mesh, max(16, (splats - used) // STEPS), noise, rng)
        self._lay_out(mesh, surface, inside_colors, noise)
        self._bind(mesh)
        self.inside_sight = inside_sight

    def _lay_out(
        self, mesh: Mesh, surface: list[Cells], inside_colors: Array, noise: Noise
    ) -> None:
        """Number the splats, and paint what lies on the mesh."""
        counts = {
            "skin": len(surface[0].points) + len(surface[1].points),
            "mouth": sum(len(cells.points) for cells in surface[2:]),
            "threads": len(self.threads.anchors),
            "eyes": len(self.eyes.side) - self.eyes.catchlights,
            "catchlights": self.eyes.catchlights,
            "shirt": len(self.shirt[0]),
            "glasses": self.glasses.count,
            "hair": STEPS * len(self.hair.roots),
        }
        materials = {"threads": HAIR, "hair": HAIR, "shirt": CLOTH}
        first = 0
        self.ranges: dict[str, Range] = {}
        for name, count in counts.items():
            wander = materials.get(name, SKIN)
            self.ranges[name] = Range(first, first + count, wander, wander is HAIR)
            first += count
        self.count = first

        painted = np.concatenate([cells.points for cells in surface[:2]])
        self.maps = paint(mesh, painted, noise).astype(np.float32)
        self.inside_colors = inside_colors.astype(np.float32)
        overlap = [0.68, 0.70] + [0.62] * len(surface[2:])
        lift = [0.0, -0.3] + [0.0] * len(surface[2:])
        self.extent = np.concatenate(
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
        self.place = np.concatenate([cells.place for cells in surface]).astype(np.float32)
        self.corners = np.concatenate([cells.corners for cells in surface])

    def _bind(self, mesh: Mesh) -> None:
        """Keep only the vertices that are needed, and the bases of what moves them."""
        hair = self.hair
        roots = nearest(mesh, hair.roots)
        faces = mesh.faces_of("skin")
        used = np.unique(
            np.concatenate([self.corners.ravel(), faces.ravel(), self.threads.anchors, roots])
        )
        number = np.zeros(len(mesh.neutral), np.int32)
        number[used] = np.arange(len(used))
        inner = [mesh.faces_of(part) for part in ("mouth", "eye_sockets", "gums", "teeth")]
        quads = np.concatenate([faces, *inner])
        quads = quads[np.isin(quads, used).all(1)]
        self.quads = number[quads]
        self.corners = number[self.corners]
        self.anchors = number[self.threads.anchors]
        self.strands = np.stack(
            [hair.layer, hair.phase, hair.tint, hair.fade, number[roots]], axis=1
        ).astype(np.float32)
        self.neutral = mesh.neutral[used].astype(np.float32)
        moves = [
            sum(weight * mesh.expression[name] for name, weight in parts.items())
            for parts in DRIVERS.values()
        ]
        basis = np.concatenate([mesh.identity, np.stack(moves)])[:, used]
        self.basis = np.ascontiguousarray(basis.reshape(len(basis), -1), np.float32)
        self.marks = (mesh.neutral[mesh.marks], mesh.identity[:, mesh.marks].astype(float))
        self.warps = fit_warps(mesh)
        self.tables = np.ascontiguousarray(hair.paths, np.float32)
        self.thread_ways = self.threads.ways.astype(np.float32)
        self.thread_roots = self.threads.roots.astype(np.float32)

    def sight_of_hair(self) -> Array:
        """Let less light to the strands near the scalp and in the nape. [9 S, 10]"""
        hair = self.hair
        deep = np.repeat(0.72 + 0.28 * hair.layer, STEPS)
        sight = np.zeros((len(deep), 10))
        sight[:, 0] = deep / C0
        sight[:, 9] = deep
        return sight


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
