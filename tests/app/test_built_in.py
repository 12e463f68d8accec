"""What comes with the program is found by projects that were made where the program lay elsewhere."""

from __future__ import annotations

import shutil

import pytest

from models.checkpoint import save_generator
from splatviz_app.document import Document
from splatviz_app.projects import loading
from splatviz_app.projects.content import content_of
from splatviz_app.projects.files import write_project
from splatviz_app.projects.loading import MissingModel, OpenedProject, Source, load_project
from splatviz_app.scenes import Library, scene_for
from tests.models.small import small_generator
from tests.steps import result_of


@pytest.fixture
def project(tmp_path, generator_file):
    """A project, and the generator it was made with, which then went elsewhere."""
    there, here = tmp_path / "there" / "generator.safetensors", tmp_path / "generator.safetensors"
    there.parent.mkdir()
    shutil.copy(generator_file, there)
    path = tmp_path / "projects" / "day.splathead"
    path.parent.mkdir()
    fingerprint = Library()[scene_for(there)].fingerprint
    write_project(path, content_of(Document(scene=scene_for(there)), fingerprint, path))
    shutil.move(there, here)
    return path, here


def test_the_bundled_generator_is_found_wherever_the_program_lies(project, monkeypatch):
    path, here = project
    monkeypatch.setattr(loading, "BUILT_IN", {"Demo generator": here})

    opened = result_of(load_project(Source(path), Library()))

    assert isinstance(opened, OpenedProject)
    assert opened.content.document.scene == scene_for(here)


def test_another_bundled_generator_is_not_mistaken_for_it(project, tmp_path, monkeypatch):
    path, _ = project
    later = tmp_path / "later" / "generator.safetensors"
    later.parent.mkdir()
    save_generator(later, small_generator(seed=9))
    monkeypatch.setattr(loading, "BUILT_IN", {"Demo generator": later})

    assert isinstance(result_of(load_project(Source(path), Library())), MissingModel)
