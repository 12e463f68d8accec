"""`setup.sh`: what it makes, and what it makes anew. Its requirements are empty here: no network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parent.parent / "setup.sh"
TOOLS = ("cat", "cksum", "sh")  # and no dpkg-query: nothing is installed on this system

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason="needs a POSIX shell"
)


@pytest.fixture
def checkout(tmp_path):
    """A folder with a space in its name that has what `setup.sh` needs."""
    folder = tmp_path / "my heads"
    (folder / "tools").mkdir(parents=True)
    for tool in TOOLS:
        (folder / "tools" / tool).symlink_to(shutil.which(tool))
    shutil.copy(SETUP, folder)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def set_up(checkout, purpose="run", python=sys.executable):
    """Run it; return what it says."""
    env = {"PATH": str(checkout / "tools"), "PYTHON": str(python), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        ["sh", "setup.sh", purpose],
        cwd=checkout, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr


def works(checkout):
    python = checkout / ".venv/bin/python"
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0


def test_the_first_run_that_ends_well_makes_an_environment_and_the_next_does_nothing(checkout):
    (checkout / "requirements.txt").write_text("no-such-package-of-ours==9\n")
    assert set_up(checkout)[0] != 0  # as if interrupted

    (checkout / "requirements.txt").write_text("# nothing\n")
    code, said = set_up(checkout)
    assert code == 0, said
    assert "Installing Python packages" in said
    assert works(checkout)

    assert set_up(checkout) == (0, "")

    (checkout / "requirements.txt").write_text("# nothing else\n")
    assert "Installing Python packages" in set_up(checkout)[1]
    assert set_up(checkout) == (0, "")


@pytest.mark.parametrize("fault", ["no pip", "no python"])
def test_an_environment_that_does_not_work_is_made_anew(checkout, fault):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    if fault == "no python":  # as after an upgrade of the system; everything was installed before
        python = checkout / ".venv/bin/python"
        python.unlink()
        python.symlink_to(checkout / "gone")
        sums = subprocess.run(
            "cat requirements.txt requirements.txt | cksum",
            shell=True, cwd=checkout, capture_output=True, text=True, check=True,
        )  # fmt: skip
        (checkout / ".venv/.run.stamp").write_text(sums.stdout.strip())
    assert not (checkout / ".venv/bin/pip").exists()

    code, said = set_up(checkout)

    assert code == 0, said
    assert works(checkout)
    assert set_up(checkout) == (0, "")


@pytest.mark.parametrize("kind", ["absent", "too old"])
def test_a_python_that_will_not_do_is_a_sentence(checkout, kind):
    python = checkout / "my python"
    if kind == "too old":
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)

    code, said = set_up(checkout, python=python)

    assert code == 1
    assert said.startswith(f"Splathead needs Python 3.11 or newer as '{python}'.")
    assert not (checkout / ".venv").exists()
