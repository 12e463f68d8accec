"""One model of the stand-in mesh for all tests: it is made once, in a second or two."""

from __future__ import annotations

import numpy as np
import pytest

from training.synthetic.head import HeadModel
from training.synthetic.parameters import DIMENSIONS

SPLATS = 9000


@pytest.fixture(scope="session")
def model(mesh_file):
    return HeadModel.load(mesh_file, splats=SPLATS)


@pytest.fixture
def with_traits():
    """Make a latent whose named dimensions have the given values, whatever the others do."""

    def make(**values):
        z = np.random.RandomState(11).standard_normal(512)
        for name in DIMENSIONS:
            if not name.startswith("identity"):
                z[DIMENSIONS[name]] = -0.3
        for name, value in values.items():
            z[DIMENSIONS[name]] = value
        # Keep the length of all together, so that one value does not change the others.
        rest = slice(len(DIMENSIONS), None)
        room = 512 - (z[: len(DIMENSIONS)] ** 2).sum()
        z[rest] *= np.sqrt(room / (z[rest] ** 2).sum())
        return z

    return make
