"""The figure of two recorded trainings: `python -m benchmarks.gan_figure WITH WITHOUT --out docs/training`.

Both folders are runs of equal settings but for `views`: with multi-view regularisation and without. Of
each the log is copied, and the sample grids of the beginning, the middle and the end are put side by
side; the metric of both is drawn over the images seen. Needs matplotlib (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from PIL import Image

from training.records import read_log

_GRIDS = ("front", "turning")
_METRIC = "stand-in"


def main() -> None:
    """Write curve.png, a strip of grids for each run, and the logs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("views", type=Path, help="the run with several views")
    parser.add_argument("single", type=Path, help="the run with one view")
    parser.add_argument("--out", type=Path, default=Path("docs/training"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    matplotlib.use("Agg")
    runs = {"log": options.views, "log_one_view": options.single}
    figures: dict[str, float] = {}
    figure, axes = pyplot.subplots(figsize=(7, 4), constrained_layout=True)
    for name, run in runs.items():
        _require_one_difference(runs["log"], run)
        views = _settings(run)["views"]
        shutil.copyfile(run / "log.jsonl", options.out / f"{name}.jsonl")
        curve = [line for line in read_log(run / "log.jsonl") if line["kind"] == "metric"]
        kimg, metric = ([line[key] for line in curve] for key in ("images", _METRIC))
        label = f"{views} views" if views > 1 else "1 view"
        axes.plot([images / 1000 for images in kimg], metric, marker="o", label=label)
        figures |= {f"first_{views}": metric[0], f"last_{views}": metric[-1]}
        for grid in _GRIDS:
            _strip(run, grid).save(options.out / f"{grid}_{views}.png", optimize=True)
    axes.set(xlabel="thousands of images", ylabel=f"{_METRIC} distance", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(options.out / "curve.png", dpi=120)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def _settings(run: Path) -> dict[str, object]:
    return json.loads((run / "settings.json").read_text(encoding="utf-8"))["config"]


def _require_one_difference(one: Path, other: Path) -> None:
    """Raise ValueError if two runs differ in more than `views`: nothing would be compared."""
    first, second = _settings(one), _settings(other)
    different = {name for name in first | second if first.get(name) != second.get(name)}
    if different - {"views"}:
        raise ValueError(f"the runs differ in {sorted(different)}, not in views alone")


def _strip(run: Path, kind: str) -> Image.Image:
    """Put the grids of the beginning, the middle and the end side by side."""
    paths = sorted((run / "grids").glob(f"{kind}-*.png"))
    chosen = [paths[0], paths[len(paths) // 2], paths[-1]]
    grids = [Image.open(path).convert("RGB") for path in chosen]
    gap = 8  # px
    width = sum(grid.width for grid in grids) + gap * (len(grids) - 1)
    strip = Image.new("RGB", (width, grids[0].height), "white")
    left = 0
    for grid in grids:
        strip.paste(grid, (left, 0))
        left += grid.width + gap
    return strip


if __name__ == "__main__":
    main()
