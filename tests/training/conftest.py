"""The file of the stand-in mesh, made once for all tests of training."""

import numpy as np
import pytest

from tests.training.synthetic.stand_in import stand_in


@pytest.fixture(scope="session")
def mesh_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "egg.npz"
    np.savez(path, **stand_in())
    return path
