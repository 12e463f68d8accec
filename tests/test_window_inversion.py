"""Inversion in the real window: a dropped picture opens its panel, and the head is seen on its way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inversion.prepare import PrepareSettings
from inversion.settings import ProjectorSettings, TuningSettings
from models.checkpoint import save_generator
from splatviz_app.tuned import LiveTuning
from tests.app.photos import photo_of_head, plain_picture, visible_generator
from tests.test_window import Hand, in_window  # noqa: F401 - a fixture

pytestmark = pytest.mark.window
LONG = 120.0  # seconds; only ends a test that hangs


@pytest.fixture(scope="module")
def visible_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "visible.safetensors"
    save_generator(path, visible_generator())
    return path


def test_a_dropped_picture_brings_the_inversion_panel_to_the_front(
    in_window,  # noqa: F811
    visible_file,
    tmp_path,
) -> None:
    path = tmp_path / "wall.jpg"
    path.write_bytes(plain_picture())

    def act(hand: Hand) -> None:
        session = hand.session
        session.inversion.prepare_settings = PrepareSettings(at_once=False)
        panel = hand.ctx.window_info("//Inversion").window
        assert panel.hidden
        session.open_dropped([str(path)])
        hand.wait(lambda: len(session.inversion.photos) == 1, "the photo")
        hand.settle()
        assert not panel.hidden
        assert session.wants_panel == ""

    in_window(act, opened=visible_file)


def test_both_phases_show_the_head_on_its_way_while_the_hand_turns_it(
    in_window,  # noqa: F811
    visible_file,
) -> None:
    def act(hand: Hand) -> None:
        session = hand.session
        session.preferences = replace(
            session.preferences,
            projector=ProjectorSettings(steps=8, resolution=32, candidates=4, noise=0.0),
            tuner=TuningSettings(steps=8, resolution=32),
            perception="stand-in",
        )
        session.inversion.photos = (photo_of_head(0.3),)
        hand.settle()
        before, first = session.document, session.result.image.copy()

        session.inversion.start_inversion()
        # The first phase loads libraries, which on a busy machine takes long behind software OpenGL.
        hand.wait(
            lambda: session.result.request.latent.kept is not None, "the head on its way", LONG
        )
        hand.drag(60, 0)
        assert session.latent == before.latent or session.latent.kept is not None
        hand.wait(lambda: session.inversion.phase == "", "the end of the inversion", LONG)
        hand.settle()
        assert session.latent.kept is not None
        assert session.rig.yaw != 0

        session.inversion.start_tuning()
        seen = set()

        def is_over() -> bool:
            tuning = session.result.request.tuning
            seen.add(tuning.step if isinstance(tuning, LiveTuning) else None)
            return session.inversion.phase == ""

        hand.wait(is_over, "the end of the tuning", LONG)
        hand.settle()
        assert len(seen) > 1
        assert session.tuning is not None
        assert len(session.pipeline.live) == 0
        assert not np.array_equal(session.result.image, first)

    in_window(act, opened=visible_file)
