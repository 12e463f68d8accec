"""A failed save leaves what was there, and a new file never takes another's name."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from renderer.errors import SaveError
from renderer.files import atomic_write, unused_name


def save(path, content):
    with atomic_write(path) as file:
        file.write(content)


def test_what_is_written_appears_whole_and_alone(tmp_path):
    save(tmp_path / "head.ply", b"new")

    assert (tmp_path / "head.ply").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["head.ply"]


def test_nothing_appears_before_the_block_has_ended(tmp_path):
    path = tmp_path / "head.ply"
    path.write_bytes(b"old")

    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [KeyError("a bug"), KeyboardInterrupt(), GeneratorExit()])
def test_a_block_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path, failure):
    path = tmp_path / "head.ply"
    path.write_bytes(b"old")

    with pytest.raises(type(failure)), atomic_write(path) as file:  # noqa: PT012
        file.write(b"half")
        raise failure

    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["head.ply"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "not permitted"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_disk_that_refuses_is_one_sentence_and_the_old_file_stays(tmp_path, code, words):
    path = tmp_path / "head.ply"
    path.write_bytes(b"old")

    with pytest.raises(SaveError, match=words) as caught, atomic_write(path) as file:  # noqa: PT012
        file.write(b"half")
        raise OSError(code, os.strerror(code))

    assert caught.value.path == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["head.ply"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full device")
def test_a_really_full_disk_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "head.ply"
    path.write_bytes(b"old")
    real_open = open

    def open_on_full_disk(name, mode):
        real_open(name, mode).close()
        return real_open("/dev/full", "wb")

    monkeypatch.setattr("builtins.open", open_on_full_disk)
    with pytest.raises(SaveError, match="disk is full"):
        save(path, b"x" * 100_000)
    monkeypatch.undo()

    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["head.ply"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SaveError, match="folder does not exist"):
        save(tmp_path / "nowhere" / "head.ply", b"")
    with pytest.raises(SaveError, match="folder does not exist"):
        unused_name(tmp_path / "nowhere" / "head.ply")


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "head.ply").mkdir()

    with pytest.raises(SaveError, match="is a folder"):
        save(tmp_path / "head.ply", b"new")

    assert os.listdir(tmp_path) == ["head.ply"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX's")
def test_mode_and_link_survive(tmp_path):
    real = tmp_path / "real.ply"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link.ply").symlink_to(real)

    save(tmp_path / "link.ply", b"new")

    assert (tmp_path / "link.ply").is_symlink()
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anything")
def test_a_write_protected_file_is_kept(tmp_path):
    path = tmp_path / "head.ply"
    path.write_bytes(b"old")
    path.chmod(0o444)

    with pytest.raises(SaveError, match="not permitted"):
        save(path, b"new")

    assert path.read_bytes() == b"old"


def test_names_count_up_past_files_and_folders(tmp_path):
    (tmp_path / "head.png").write_bytes(b"kept")
    (tmp_path / "head-2.png").mkdir()

    assert unused_name(tmp_path / "head.png").name == "head-3.png"
    assert unused_name(tmp_path / "head.png").name == "head-4.png"
    assert unused_name(tmp_path / "other.tar.gz").name == "other.tar.gz"
    assert (tmp_path / "head.png").read_bytes() == b"kept"


def test_many_who_ask_at_once_get_different_names(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(unused_name, [tmp_path / "head.png"] * 40))

    assert len(set(names)) == 40


def test_a_reserved_name_is_freed_when_saving_fails_and_filled_when_it_works(tmp_path):
    name = unused_name(tmp_path / "head.png")
    with pytest.raises(SaveError), atomic_write(name):
        raise OSError(errno.ENOSPC, "full")
    assert os.listdir(tmp_path) == []

    name = unused_name(tmp_path / "head.png")
    save(name, b"new")
    assert name.read_bytes() == b"new"


def test_an_empty_file_of_the_user_is_not_taken_for_a_reservation(tmp_path):
    path = tmp_path / "head.png"
    path.touch()

    with pytest.raises(SaveError), atomic_write(path):
        raise OSError(errno.ENOSPC, "full")

    assert path.exists()
