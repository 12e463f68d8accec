"""How fast z becomes a head, and a file the first picture: `python -m benchmarks.generator`.

Against `plain_generator.py`, a plain float32 transcription of the network in torch; all take turns in
one run and the fastest turn counts. Weights are random, with layer scales that are not 0, so that
every part of the network works; the head fills the picture, so that the error of the fast mode is
measured where splats are. The file is in the layout of the published ones and is opened by a process
of its own, its kernels warm, because only so its memory can be told.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor

from benchmarks.plain_generator import PlainGenerator
from models.checkpoint import load_generator
from models.fast_generator import has_bfloat16
from models.generator import CgsConfig, CgsGenerator, HeadGenerator, Precision
from models.latents import random_z
from renderer.camera import OrbitRig
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize

FAST: Precision = "fast"


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--open", type=Path, help="only open this file, and print how that went")
    options = parser.parse_args()
    if options.open is not None:
        print(json.dumps(_open(options.open)))
        return
    print(f"{torch.get_num_threads()} threads, bfloat16 {has_bfloat16(torch.device('cpu'))}")
    figures: dict[str, float] = {}
    with torch.no_grad():
        for resolution in options.resolutions:
            figures |= _compare(resolution, options.turns)
    figures |= _first_picture(min(3, options.turns))
    print(json.dumps({name: float(f"{value:.4g}") for name, value in figures.items()}))


def random_generator(
    resolution: int, seed: int = 0, *, points: int = 512, width: int = 512
) -> CgsGenerator:
    """Return a generator with random weights whose heads are opaque and fill the picture."""
    torch.manual_seed(seed)
    generator = CgsGenerator(CgsConfig.for_resolution(resolution, points=points, width=width))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if ".ls_" in name:
                parameter.normal_(std=0.3)
            elif "scale" in name and name.endswith("bias"):
                parameter.fill_(2.0)
            elif "gaussians.opacity" in name and name.endswith("bias"):
                parameter.fill_(3.0)
        generator.w_avg.normal_(std=0.1)
    return generator


def _compare(resolution: int, turns: int) -> dict[str, float]:
    """Time mapping and synthesis of one model, and measure the error of both precisions."""
    generator = random_generator(resolution)
    config = generator.config
    plain = PlainGenerator(generator.state_dict(), config.levels, **config.placement._asdict())
    ours, fast = generator.prepared(), generator.prepared(FAST)
    z = random_z(1, 1, config.z_dim)
    w = plain.map(z)
    best = _fastest(
        {
            "mapping, plain": lambda: plain.map(z),
            "mapping, ours": lambda: ours.map(z),
            "synthesis, plain": lambda: plain.synthesize(w[:, 0]),
            "synthesis, module": lambda: generator.synthesize(w),
            "synthesis, float32": lambda: ours.synthesize(w),
            "synthesis, fast": lambda: fast.synthesize(w),
        },
        turns,
    )
    print(f"{resolution} px, {config.splats:,} splats, the fastest of {turns} turns")
    for name, seconds in best.items():
        print(f"  {name:20} {seconds * 1e3:8.1f} ms")
    figures = {
        f"plain_over_ours_{resolution}": best["synthesis, plain"] / best["synthesis, float32"],
        f"plain_over_fast_{resolution}": best["synthesis, plain"] / best["synthesis, fast"],
        f"ms_mapping_{resolution}": best["mapping, ours"] * 1e3,
        f"ms_float32_{resolution}": best["synthesis, float32"] * 1e3,
        f"ms_fast_{resolution}": best["synthesis, fast"] * 1e3,
    }
    return figures | _errors(plain, ours, fast, w, resolution)


def _errors(
    plain: PlainGenerator, ours: HeadGenerator, fast: HeadGenerator, w: Tensor, resolution: int
) -> dict[str, float]:
    """Compare splats with the plain ones, and pictures with the float32 ones."""
    expected, found = plain.synthesize(w[:, 0]), ours.synthesize(w)
    worst = max(
        float(((a - b).abs() / a.abs().clamp_min(1)).max())
        for a, b in (
            (expected["xyz"], found.means),
            (expected["scale"], found.log_scales),
            (expected["rotation"], found.quats),
            (expected["opacity"][..., 0], found.opacity_logits),
            (expected["color"], found.sh[..., 0, :]),
        )
    )
    exact, coverage = _picture(found[0])
    psnr = _psnr(_picture(fast.synthesize(w)[0])[0], exact)
    print(
        f"  float32 differs from plain by at most {worst:.1e} of values before activation, or of 1"
    )
    print(
        f"  fast differs from float32 by {psnr:.1f} dB; splats cover {coverage:.0%} of the picture"
    )
    suffix = "" if resolution == 512 else f"_{resolution}"
    return {f"fast_psnr_db{suffix}": psnr, f"float32_worst{suffix}": worst}


def _first_picture(turns: int) -> dict[str, float]:
    """Write a file as published, and open it in processes of their own."""
    from tests.models.published import write_published  # the one that knows the layout

    generator = random_generator(512)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "published.pkl")
        state = generator.state_dict()
        write_published(path, state, ["mapping_network.w_avg"], {"img_resolution": 512})
        weights = sum(tensor.nbytes for tensor in state.values())
        print(f"a published file of {path.stat().st_size / 1e6:.0f} MB, {turns} turns")
        command = [sys.executable, "-m", "benchmarks.generator", "--open", str(path)]
        opened = []
        for _ in range(turns):
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            opened.append(json.loads(output.splitlines()[-1]))
    best = min(opened, key=lambda figures: figures["seconds"])
    print(
        f"  {best['seconds']:.2f} s to the first picture, {best['bytes'] / 1e6:.0f} MB at its peak"
    )
    return {"pickle_load_s_512": best["seconds"], "peak_rss_over_weights": best["bytes"] / weights}


def _open(path: Path) -> dict[str, float]:
    """Open a file and draw its average head; say how long it took and how much memory more."""
    warm = random_z(0, 50, 14)
    _picture(
        Gaussians(warm[:, :3] / 9, warm[:, 3:6] - 4, warm[:, 6:10], warm[:, 10], warm[:, None, 11:])
    )
    before = psutil.Process().memory_info().rss
    begin = time.perf_counter()
    generator = load_generator(path).generator.prepared(FAST)
    picture, _ = _picture(generator.synthesize(generator.w_avg.expand(1, 1, -1))[0])
    seconds = time.perf_counter() - begin
    assert picture.isfinite().all()
    return {"seconds": seconds, "bytes": _peak_memory() - before}


def _peak_memory() -> int:
    """Return the most memory this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would begin at what the parent process held
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _picture(head: Gaussians) -> tuple[Tensor, float]:
    """Draw a head from the side, as 8-bit screens clamp it; also how much of the picture it covers."""
    rendered = rasterize(head, OrbitRig(yaw=0.4, pitch=0.2).camera(), (512, 512), backend="cpu")
    return rendered.color.clamp(0, 1), float((rendered.alpha > 0.5).float().mean())


def _psnr(found: Tensor, expected: Tensor) -> float:
    """In decibels; values in [0, 1]."""
    return -10 * math.log10(float((found - expected).square().mean()))


def _fastest(works: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Let all take turns, and keep the seconds of each one's fastest."""
    best = dict.fromkeys(works, math.inf)
    for turn in range(turns + 1):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            if turn:  # the first only warms up
                best[name] = min(best[name], time.perf_counter() - begin)
    return best


if __name__ == "__main__":
    main()
