"""The loops over splats that make a head within milliseconds, compiled by numba.

All in one file: numba's cache of machine code sees a change only in the file of the entry point.
"""

from training.synthetic.cpu_kernels.kernels import (
    bend,
    color_skin,
    light_surface,
    light_threads,
    move_vertices,
    place_hair,
    place_surface,
    place_threads,
    see_lamps,
    vertex_normals,
)

__all__ = [
    "bend",
    "color_skin",
    "light_surface",
    "light_threads",
    "move_vertices",
    "place_hair",
    "place_surface",
    "place_threads",
    "see_lamps",
    "vertex_normals",
]
