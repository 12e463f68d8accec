"""A walk over the plane keeps its speed, stays inside, and depends only on what it is given."""

import math
import random

from splatviz_app.walk import SPEED, Walk


def test_it_walks_where_it_is_heading_at_its_speed():
    walk = Walk(0.0, 0.0, math.pi / 2).after(0.05, drift=0.0)
    assert abs(walk.x) < 1e-12
    assert math.isclose(walk.y, 0.05 * SPEED)


def test_a_window_that_stood_still_makes_no_jump():
    assert Walk(0, 0, 0.0).after(7.0, 0.0) == Walk(0, 0, 0.0).after(0.1, 0.0)
    assert Walk(0.3, 0, 0.0).after(-1.0, 0.5) == Walk(0.3, 0, 0.0)


def test_it_comes_back_from_the_edge():
    for heading in (0.0, 0.7, -0.7):
        walk = Walk(0.85, 0.0, heading)
        for _ in range(200):
            walk = walk.after(0.05, 0.0)
        assert walk.x < 0.85


def test_it_sees_much_of_the_plane_and_never_leaves_it():
    draw = random.Random(3)
    walk, seen = Walk(0.0, 0.0, 0.0), set()
    for _ in range(20_000):
        before = walk
        walk = walk.after(0.05, draw.gauss(0, 1))
        assert max(abs(walk.x), abs(walk.y)) <= 1
        assert math.dist((walk.x, walk.y), (before.x, before.y)) <= 0.05 * SPEED + 1e-9
        seen.add((round(2 * walk.x), round(2 * walk.y)))
    assert len(seen) > 15
