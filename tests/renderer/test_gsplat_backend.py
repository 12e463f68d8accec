"""What can be known of the CUDA twin without a GPU: when it is chosen, and how it says that it cannot run."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from renderer import gsplat_backend
from renderer.drawing import Layers
from renderer.errors import BackendError
from renderer.rasterize import default_backend, device_of
from tests.renderer.scenes import cloud


@pytest.fixture(autouse=True)
def forget():
    """Answers are remembered; not beyond a test."""
    yield
    gsplat_backend.why_not_built.cache_clear()


def test_the_fastest_rasterizer_of_a_gpu_is_gsplat_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(gsplat_backend, "why_not", lambda: None)
    assert default_backend("cuda") == "gsplat"

    monkeypatch.setattr(gsplat_backend, "why_not", lambda: "gsplat is not installed.")
    assert default_backend("cuda") == "cpu"


@pytest.mark.parametrize("there", ["nothing", "nvcc", "kernels"])
def test_a_gpu_where_the_kernels_can_never_be_built_is_told_so_at_once(
    monkeypatch, tmp_path, there
):
    pytest.importorskip("gsplat")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(gsplat_backend, "is_compiled", lambda: there == "kernels")
    if there == "nvcc":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/nvcc").touch(mode=0o755)

    reason = gsplat_backend.why_not.__wrapped__()

    if there == "nothing":
        assert "finds no nvcc" in reason
        assert "choose the cpu rasterizer" in reason
    else:
        assert reason is None


def test_the_cpu_rasterizer_draws_in_main_memory_wherever_the_head_is():
    gpu = torch.device("cuda")

    assert device_of("cpu", gpu) == torch.device("cpu")
    assert device_of("gsplat", gpu) == gpu
    assert device_of("torch", gpu) == gpu


def backend_module(kernels):
    module = ModuleType("gsplat.cuda._backend")
    module._C = kernels
    return module


def test_kernels_that_could_not_be_built_are_a_sentence_that_names_another_rasterizer(monkeypatch):
    for name in ("gsplat", "gsplat.cuda"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", backend_module(None))

    assert "no nvcc was found" in gsplat_backend.why_not_built()
    assert "choose the cpu rasterizer" in gsplat_backend.why_not_built()


def test_a_failed_build_is_tried_once(monkeypatch):
    class Compiler(ModuleType):
        runs = 0

        def __getattr__(self, name):
            if name == "_C":
                Compiler.runs += 1
                raise RuntimeError("Error building extension 'gsplat_cuda'\n" + 9 * "a page\n")
            raise AttributeError(name)

    for name in ("gsplat", "gsplat.cuda"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", Compiler("gsplat.cuda._backend"))

    sentences = {gsplat_backend.why_not_built() for _ in range(3)}

    assert Compiler.runs == 1
    assert len(sentences) == 1
    assert "(Error building extension 'gsplat_cuda')" in sentences.pop()


def test_kernels_that_were_built_are_no_reason(monkeypatch):
    for name in ("gsplat", "gsplat.cuda"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "gsplat.cuda._backend", backend_module(object()))

    assert gsplat_backend.why_not_built() is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it can draw")
def test_without_a_gpu_drawing_is_refused_in_a_sentence():
    with pytest.raises(BackendError, match="needs an NVIDIA GPU"):
        gsplat_backend.draw(cloud(7, (11, 9)))


@pytest.mark.gpu
def test_nothing_to_draw_is_the_background():
    drawing = cloud(0, (11, 9))
    from tests.renderer.test_rasterize import draw_on_its_device

    layers = draw_on_its_device("gsplat", drawing)

    assert isinstance(layers, Layers)
    assert torch.equal(layers.color, drawing.background[:, None, None].expand(3, 9, 11))
    assert float(layers.alpha.abs().max()) == float(layers.depth.abs().max()) == 0
