"""`python -m inversion photo.jpg --out DIR` finds the head of a photo, without a window."""

from __future__ import annotations

import os

# Before torch: idle threads spin for a moment and then sleep. A step took 87 ms where they sleep at once,
# as they do beside a window, and 46 ms so; spinning on, they would starve beside other programs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import inspect
import sys
from collections.abc import Sequence

import tyro

from inversion.command import Options, Stopped, work_through
from renderer.errors import SplatheadError

_EXAMPLES = """examples:
  python -m inversion me.jpg --out me
      find the head in the generator that comes with the program, then tune that to the photo
  python -m inversion front.jpg left.jpg right.jpg --model ffhqc_512.pkl --out me
      the same with three photos of one person and a published generator
  python -m inversion me.jpg --out me --only-prepare
      only look: where the face is, the crop, the matte
  python -m inversion turn.mp4 --frames 0 40 80 --out me --no-tuning
      three frames of a video; no tuning
  python -m inversion me.jpg --out me --points 412 380 540 384 470 460 420 540 530 543
      with the landmarks by hand: eyes, nose, corners of the mouth
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Returns:
        The exit status: 0; 2 with a sentence on standard error; 130 after Ctrl+C, which keeps the best
        head so far, the first time.
    """
    try:
        options = tyro.cli(
            Options,
            prog="python -m inversion",
            args=sys.argv[1:] if arguments is None else arguments,
            description=f"{inspect.getdoc(Options)}\n\n{_EXAMPLES}",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        for said in work_through(options):
            print(said, flush=True)
    except SplatheadError as error:
        print(error, file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
