"""Write a data set of synthetic heads.

python -m training.synthetic --data ict_facekit_light.npz --out heads --count 10000
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: its threads must not spin

import tyro
from tqdm import tqdm

from renderer.errors import SplatheadError
from training.synthetic.dataset import DatasetSettings, Written, write_dataset
from training.synthetic.head import HeadModel


@dataclass(frozen=True)
class Options:
    """Write images of synthetic heads with their cameras, masks and attributes.

    Stopped at any time, it leaves a whole smaller data set; the same command goes on.
    """

    # The head model, ICT-FaceKit Light: one .npz file, or the folder of its .obj files.
    data: Path
    # The folder to write; made if it does not exist.
    out: Path
    # What to draw.
    settings: Annotated[DatasetSettings, tyro.conf.arg(name="")]
    # About how many splats a head has.
    splats: int = 62_000


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = tyro.cli(
        Options, prog="python -m training.synthetic", args=arguments, description=Options.__doc__
    )
    try:
        options.settings.check()
        model = HeadModel.load(options.data, options.splats)
        _write(model, options)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    print(f"{options.settings.count} images in {options.out}")
    return 0


def _write(model: HeadModel, options: Options) -> None:
    work = write_dataset(model, options.out, options.settings)
    bar = tqdm(total=options.settings.count, unit="image", disable=not sys.stderr.isatty())
    done = Written(0, options.settings.count, "")
    try:
        for done in work:
            bar.update(done.done - bar.n)
    finally:
        work.close()  # lists what there is
        bar.close()


if __name__ == "__main__":
    sys.exit(main())
