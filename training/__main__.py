"""`python -m training train` trains a generator, or goes on; `check` looks a dataset over.

With several GPUs or machines: `torchrun --nproc-per-node N -m training train …`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads do not spin

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from renderer.errors import SplatheadError
from training.config import PRESETS, PresetName, TrainingConfig, TrainingError
from training.data import DiskImages, ImageSource, check, require_sound
from training.launch import Processes, joined
from training.loop import require_free, save_settings, saved_settings, train
from training.made import MadeHeads
from training.start import start_from

_EXAMPLES = """examples:
  python -m training train --preset tiny --data heads --out runs/first
      train on the dataset in heads/ (64 px); the same command goes on after a stop
  python -m training train --out runs/first --kimg 200
      go on, and for longer
  torchrun --nproc-per-node 4 -m training train --preset 512 --data FFHQC --index list.json --out runs/ffhqc
      the paper's settings on four GPUs
  python -m training train --preset tiny --synthetic ict_facekit_light.npz --out runs/made
      train on synthetic heads, made on the way
  python -m training train --data FFHQC --start ffhqc_512.pkl --out runs/tuned --kimg 500
      fine-tune a published generator
  python -m training check FFHQC
      count and name what one cannot train on
"""


@dataclass(frozen=True)
class Train:
    """Train a generator, or go on with a run that was stopped."""

    # Folder of the run. If it has one, that goes on with its own settings.
    out: Path
    # Folder or zip with dataset.json, pictures and masks; of a run that goes on: its own.
    data: Path | None = None
    # JSON list of picture numbers, with repeats.
    index: Path | None = None
    # Head model (.npz) from which to make pictures without end, instead of --data.
    synthetic: Path | None = None
    # Published .pkl, generator or run's checkpoint to begin with; fresh networks if not given.
    start: Path | None = None
    # Settings from which the ones below may differ.
    preset: PresetName = "512"
    # cpu, cuda or cuda:1; the GPU if there is one.
    device: str | None = None
    # Log to Weights & Biases as well.
    wandb: bool = False
    # Settings.
    config: tyro.conf.OmitArgPrefixes[TrainingConfig] = PRESETS["512"]

    def run(self) -> None:
        """Train until done or asked to stop."""
        with joined(self.device) as processes:
            source = self._open(processes)
            # One that was stopped before its first checkpoint begins as it was told to.
            start = self.start or _path((saved_settings(self.out) or {}).get("start"))
            steps = train(
                self.out,
                self.config,
                source,
                processes,
                start=start_from(start) if start else None,
                should_stop=_asked_to_stop(),
                wandb=self.wandb,
            )
            said = ""
            for step in steps:
                if processes.is_main and step.message != said:
                    said = step.message
                    print(said, flush=True)

    def _open(self, processes: Processes) -> ImageSource:
        """Open the pictures, and look them over if this run has not yet; keep the settings."""
        saved = saved_settings(self.out) or {}
        data, synthetic = self.data, self.synthetic
        if data is None and synthetic is None:
            data, synthetic = _path(saved.get("data")), _path(saved.get("synthetic"))
        index = self.index or _path(saved.get("index"))
        start = self.start or _path(saved.get("start"))
        if (data is None) == (synthetic is None):
            raise TrainingError(
                "There must be one thing to learn from. Name a dataset with --data, or a head model "
                "with --synthetic."
            )
        source: ImageSource
        if synthetic is not None:
            source = MadeHeads.load(synthetic, self.config.resolution, self.config.seed)
        else:
            assert data is not None
            source = DiskImages(data, index, self.config.resolution)
        if processes.is_main:
            require_free(self.out)
            if isinstance(source, DiskImages) and saved.get("checked") != source.digest:
                _check(source)
            save_settings(
                self.out,
                self.config,
                preset=self.preset,
                data=str(data.absolute()) if data else None,
                index=str(index.absolute()) if index else None,
                synthetic=str(synthetic.absolute()) if synthetic else None,
                start=str(start.absolute()) if start else None,
                checked=source.digest,
            )
        processes.wait()
        return source


@dataclass(frozen=True)
class Check:
    """Read every picture of a dataset, and count and name what one cannot train on."""

    # Folder or zip.
    data: tyro.conf.Positional[Path]
    # JSON list of picture numbers, with repeats.
    index: Path | None = None
    # Which pictures, where there are several sizes.
    resolution: int | None = None

    def run(self) -> None:
        """Check and print what was found."""
        _check(DiskImages(self.data, self.index, self.resolution))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 2 with a sentence on standard error."""
    try:
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        default = _default(arguments)
        command: Train | Check = tyro.cli(
            Annotated[Train, tyro.conf.subcommand("train", default=default)]
            | Annotated[Check, tyro.conf.subcommand("check")],
            args=arguments,
            prog="python -m training",
            description=f"Train generators of heads.\n\n{_EXAMPLES}",
        )
        command.run()
    except SplatheadError as error:
        rank = os.environ.get("RANK")
        print(f"process {rank}: {error}" if rank else error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # pressed twice
        return 130
    return 0


def _default(arguments: Sequence[str]) -> Train:
    """Find from what the settings may differ: those of the run, or of the preset named.

    Raises:
        TrainingError: Another preset is named than the run was begun with.
        LoadError: The run's settings cannot be understood.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--preset")
    given, _ = parser.parse_known_args(arguments)
    saved = saved_settings(given.out) if given.out else None
    if saved is not None:
        begun: PresetName = saved.get("preset", "512")
        if given.preset not in (None, begun):
            raise TrainingError(
                f"{given.out} was begun with the preset {begun}. Leave out --preset, or choose "
                "another folder."
            )
        return Train(out=given.out, preset=begun, config=saved["config"])
    # An unknown preset is left to the parser of all arguments, which says which there are.
    preset: PresetName = given.preset if given.preset in PRESETS else "512"
    return Train(out=tyro.MISSING, preset=preset, config=PRESETS[preset])


def _check(source: DiskImages) -> None:
    """Check with a progress bar, and print what was found. Raises LoadError if not sound."""
    steps = check(source)
    with tqdm(total=len(source.names), unit=" pictures", disable=None, leave=False) as bar:
        while True:
            try:
                bar.update(next(steps).done - bar.n)
            except StopIteration as end:
                report = end.value
                break
    if report.is_sound:
        print(*report.sentences(), sep="\n", flush=True)
    require_sound(report)


def _asked_to_stop() -> Callable[[], bool]:
    """Let SIGTERM and Ctrl+C ask for a clean end; a second Ctrl+C ends at once."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return lambda: bool(asked)


def _path(text: object) -> Path | None:
    return Path(text) if isinstance(text, str) else None


if __name__ == "__main__":
    sys.exit(main())
