"""How fast training is, and that it goes on exactly: `python -m benchmarks.training`.

Steps of one and of four views take turns in one run, and the fastest turn counts. Resuming is measured
with real processes: one is stopped by SIGTERM and goes on, another is never stopped, and every tensor
of their last checkpoints is compared bit for bit. The metric is read from the log of a recorded run.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from renderer.camera import OrbitRig
from training.config import PRESETS, TrainingConfig
from training.data import DiskImages, TrainingData
from training.launch import Processes, joined, memory_in_use
from training.records import read_log
from training.state import Checkpoints, TrainingState, read
from training.steps import Stepper, speed_up

_RECORDED = Path("docs/training/log.jsonl")  # of the run that docs/ shows


def main() -> None:
    """Print what is measured, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--log", type=Path, default=_RECORDED)
    options = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = _write_dataset(Path(folder, "heads"), 64, 64)
        with joined("cpu") as processes:
            figures |= _speed(data, processes, options.turns)
        figures["resume_exact"] = _resumes_exactly(data, Path(folder))
        if torch.cuda.is_available():
            figures |= _on_gpu(Path(folder), options.turns)
    print(json.dumps(figures | _recorded(options.log)))


def _speed(data: Path, processes: Processes, turns: int) -> dict[str, object]:
    """Time steps of the `tiny` preset, as it is and with one view; R1 in one of its interval."""
    config = PRESETS["tiny"]
    several = _stepper(config, data, processes)
    single = _stepper(replace(config, views=1), data, processes)
    best = {"several": math.inf, "single": math.inf, "r1": math.inf}
    for turn in range(turns + 1):
        for name, stepper in (("several", several), ("single", single)):
            real = stepper.data.batch(turn * config.batch, config.batch)
            begin = time.perf_counter()
            stepper.discriminator_step(real)
            stepper.generator_step()
            middle = time.perf_counter()
            stepper.r1_step(real)
            if turn:  # the first only warms up
                best[name] = min(best[name], middle - begin)
                best["r1"] = min(best["r1"], time.perf_counter() - middle)
    step = best["several"] + best["r1"] / config.r1_interval
    print(
        f"tiny, {torch.get_num_threads()} threads, the fastest of {turns} steps of {config.batch}: "
        f"{best['several'] * 1e3:.0f} ms with {config.views} views, {best['single'] * 1e3:.0f} ms "
        f"with one, R1 {best['r1'] * 1e3:.0f} ms"
    )
    return {
        "images_per_s": round(config.batch / step, 2),
        "multiview_cost_ratio": round(best["several"] / best["single"], 3),
    }


def _stepper(config: TrainingConfig, data: Path, processes: Processes) -> Stepper:
    state = TrainingState.fresh(config, processes.device)
    speed_up(config, state)
    return Stepper(config, TrainingData(DiskImages(data), mirror=True, seed=0), processes, state)


def _resumes_exactly(data: Path, folder: Path) -> bool:
    """Stop a real training in its middle, let it go on, and compare with one never stopped."""
    parts, whole = folder / "parts", folder / "whole"
    process = _start(parts, data, "--kimg=100")
    end = time.monotonic() + 300
    while not any(line["kind"] == "status" for line in read_log(parts / "log.jsonl")):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the training to be stopped did not run")
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    if process.wait(300):
        raise RuntimeError("the training did not stop cleanly")
    stopped = int(Checkpoints(parts / "checkpoints").paths()[0].stem)
    goal = stopped + 5 * PRESETS["tiny"].batch
    for path, dataset in ((parts, None), (whole, data)):
        if _start(path, dataset, f"--kimg={goal / 1000}").wait(300):
            raise RuntimeError("a training failed")
    a, b = (read(Checkpoints(path / "checkpoints").path_at(goal))[1] for path in (parts, whole))
    same = a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    print(f"stopped at {stopped} images, compared {len(a)} tensors at {goal}: {same}")
    return same


def _start(out: Path, data: Path | None, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "training", "train", f"--out={out}", "--device=cpu", *more]
    if data is not None:
        command += [
            f"--data={data}", "--preset=tiny", "--metric-images=16", "--metric-real=16",
            "--status-kimg=0.016",
        ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _on_gpu(folder: Path, turns: int) -> dict[str, object]:
    """Time the paper's settings at 512 px on one GPU, a batch of 8, and its memory."""
    config = replace(PRESETS["512"], batch=8, bfloat16=True, channels_last=True)
    data = _write_dataset(folder / "large", 512, 16)
    with joined("cuda") as processes:
        stepper = _stepper(config, data, processes)
        real = stepper.data.batch(0, config.batch)
        best = math.inf
        for _ in range(turns + 1):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            stepper.discriminator_step(real)
            stepper.generator_step()
            torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begin)
        stepper.r1_step(real)  # for the memory it takes
        memory = memory_in_use(processes.device) / 2**30
    seconds = best * 1000 / config.batch
    print(f"512 px, batch 8, bfloat16: {seconds:.1f} s/kimg, {memory:.1f} GB")
    return {"s_per_kimg": round(seconds, 2), "memory_gb": round(memory, 2)}


def _recorded(log: Path) -> dict[str, object]:
    """Read the first and the last metric of a recorded run; null where none is recorded."""
    values = [
        value
        for line in read_log(log)
        if line["kind"] == "metric"
        for name, value in line.items()
        if name in ("stand-in", "fid")
    ]
    if not values:
        print(f"no recorded run in {log}")
        return {"metric_first": None, "metric_last": None}
    return {"metric_first": values[0], "metric_last": values[-1]}


def _write_dataset(folder: Path, side: int, count: int) -> Path:
    """Write pictures of soft noise with round masks: for speed it does not matter what is on them."""
    (folder / str(side)).mkdir(parents=True)
    (folder / "mask").mkdir()
    draw = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mask = Image.fromarray(((x**2 + y**2 < 0.6) * 255).astype(np.uint8))
    labels = []
    for number in range(count):
        noise = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        name = f"{number:05d}.png"
        picture = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / str(side) / name)
        mask.save(folder / "mask" / name)
        rig = OrbitRig(yaw=draw.normal() * 0.5, pitch=draw.normal() * 0.2)
        labels.append([name, rig.camera().to_label().tolist()])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
