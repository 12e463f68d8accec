"""What tests share: small heads and files, and a home that is not the user's.

Only the compiled kernels are kept in the user's cache, so that they are compiled once and not per run.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs
import pytest

import splatviz_app  # noqa: F401 - before torch: it keeps torch's threads from spinning

import torch  # isort: skip

from renderer.formats.ply import write_ply
from renderer.gaussians import Gaussians

torch.set_num_threads(2)


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def strange_home(tmp_path_factory):
    """Point every folder of the user to an empty one, for this process and those it starts."""
    folder = tmp_path_factory.mktemp("home")
    names = {
        "SPLATHEAD_CONFIG": folder / "config",
        "SPLATHEAD_STATE": folder / "state",
        "SPLATHEAD_WEIGHTS": folder / "weights",
        "TORCH_HOME": folder / "torch",
        "XDG_CONFIG_HOME": folder / ".config",
        "XDG_CACHE_HOME": folder / ".cache",
        "XDG_DATA_HOME": folder / ".local",
        "XDG_PICTURES_DIR": folder / "Pictures",
        "XDG_DOCUMENTS_DIR": folder / "Documents",
    }
    kernels = Path(platformdirs.user_cache_dir("splathead", appauthor=False)) / "kernels"
    with suppress(OSError):  # then they are compiled for this run only
        kernels.mkdir(parents=True, exist_ok=True)
    (folder / ".cache" / "splathead").mkdir(parents=True)
    if kernels.is_dir():
        (folder / ".cache" / "splathead" / "kernels").symlink_to(kernels)
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(path) for name, path in names.items()})
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def some_splats(count: int = 7, bases: int = 1, seed: int = 0) -> Gaussians:
    """Make splats around the origin that differ in everything; float32, no batch."""
    draw = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=torch.randn(count, 3, generator=draw) * 0.1,
        log_scales=torch.randn(count, 3, generator=draw) * 0.4 - 3.2,
        quats=torch.randn(count, 4, generator=draw),
        opacity_logits=torch.randn(count, generator=draw) + 1,
        sh=torch.randn(count, bases, 3, generator=draw) * 0.5,
    )


@pytest.fixture
def head() -> Gaussians:
    """Seven splats."""
    return some_splats()


@pytest.fixture
def head_ply(tmp_path, head) -> Path:
    """A file of the seven splats, in our own axes."""
    path = tmp_path / "seven.ply"
    write_ply(path, head)
    return path


@pytest.fixture(scope="session")
def generator_file(tmp_path_factory) -> Path:
    """A checkpoint of a small generator in which every path counts."""
    from models.checkpoint import save_generator
    from tests.models.small import small_generator

    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_generator(path, small_generator())
    return path
