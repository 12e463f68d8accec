"""A working day and a hand at random in the real window; `python -m benchmarks.editing` does more of both."""

from __future__ import annotations

import pytest

from benchmarks.editing import find_generator, home_in, let_monkey
from benchmarks.working_day import live_through

pytestmark = pytest.mark.window


@pytest.fixture
def no_screen(monkeypatch, tmp_path):
    """A folder that is the user's home, and no display."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with home_in(tmp_path):
        yield tmp_path


@pytest.fixture
def few_components(monkeypatch):
    """Find components from so few heads that it takes no time."""
    from splatviz_app import latent_jobs

    original = latent_jobs.known_components
    monkeypatch.setattr(
        latent_jobs, "known_components", lambda g, name, folder, _: original(g, name, folder, 500)
    )


def test_a_working_day_looks_the_same_when_it_is_opened_again(no_screen, few_components) -> None:
    generator, direction = find_generator(no_screen / "none.safetensors", no_screen)

    day = live_through(generator, no_screen, direction)

    assert day.errors == []
    assert len(day.steps) == 30
    assert day.undone == 20
    assert day.identical_after_redo
    assert day.identical_after_reopening


def test_a_hand_at_random_breaks_nothing_and_undo_leads_back(no_screen, few_components) -> None:
    generator, _ = find_generator(no_screen / "none.safetensors", no_screen)

    outcome = let_monkey(generator, no_screen, actions=60, seed=5)

    assert outcome.errors == []
    assert outcome.actions == 60
    assert outcome.undone > 0
    assert outcome.back_at_start
