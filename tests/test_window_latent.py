"""The Latent panel in the real window: small heads become textures, and a slider moves the large one."""

from __future__ import annotations

import numpy as np
import pytest

from splatviz_app.directions import amount_of
from tests.test_window import Hand, in_window  # noqa: F401 - a fixture

pytestmark = pytest.mark.window


def test_a_strip_of_small_heads_shows_where_a_component_leads(
    in_window,  # noqa: F811
    generator_file,
    monkeypatch,
) -> None:
    from splatviz_app import latent_jobs

    original = latent_jobs.known_components
    monkeypatch.setattr(
        latent_jobs,
        "known_components",
        lambda g, weights, folder, _: original(g, weights, folder, 500),
    )

    def act(hand: Hand) -> None:
        session, before = hand.session, hand.session.result
        hand.click("//Latent/##tabs/PCA")
        hand.settle()
        hand.click("//Latent/**/##Strip of Component 1")
        hand.settle()
        shown = session.textures._entries.values()
        hand.wait(lambda: len(shown) == 7 and all(e.texture for e in shown), "seven textures")
        names = {entry.texture for entry in shown}
        assert len(names) == 7
        assert session.picture is not None
        assert session.picture.texture not in names
        assert session.result is before  # the large picture was left alone
        hand.click("//Latent/**/##Component 1 at +3.0")
        hand.settle()
        assert amount_of(session.latent, "pca:0") == 3.0
        assert not np.array_equal(session.result.image, before.image)

    session = in_window(act, opened=generator_file)
    assert not session.textures._entries  # the window has deleted them
