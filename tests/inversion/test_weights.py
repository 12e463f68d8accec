"""Weights files: found where they lie, fetched whole or not at all, opened only if they are the published."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from inversion import weights
from inversion.errors import InversionError
from inversion.weights import WeightsFile
from renderer.errors import CheckpointError, SaveError
from tests.steps import result_of, steps_and_result


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


STATE = {"layer.weight": torch.arange(7e5), "layer.count": torch.tensor(3)}
CONTENT = saved(STATE)  # 2.8 MB: several parts


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT in one of the ways a network can behave."""

    def do_GET(self):
        way = self.path[1:]
        if way == "missing":
            return self.send_error(404)
        if way == "moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            return self.end_headers()
        self.send_response(200)
        if way != "endless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        try:
            if way == "stalls":
                self.wfile.write(CONTENT[:1_000_000])
                self.wfile.flush()
                self.server.may_go_on.wait(30)
            elif way == "broken-off":
                self.wfile.write(CONTENT[:2_000_000])
            elif way == "other":
                self.wfile.write(CONTENT[:-1] + b"x")
            elif way == "endless":
                while True:
                    self.wfile.write(bytes(1_000_000))
            else:
                self.wfile.write(CONTENT)
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up.set()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.may_go_on, server.hung_up = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.may_go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """An empty folder of ours, and caches of nobody else."""
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "ours"


def file_at(server, way):
    url = f"http://127.0.0.1:{server.server_port}/{way}"
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightsFile("net-1234.pth", "tests", url, digest, len(CONTENT), "hub/checkpoints")


# ---- downloads


def test_a_file_arrives_whole_and_is_found_from_then_on(server, ours):
    file = file_at(server, "whole")
    assert weights.find(file) is None

    steps, path = steps_and_result(weights.download(file))

    assert path == ours / file.name == weights.find(file)
    assert path.read_bytes() == CONTENT
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1].total == len(CONTENT)
    assert steps[-1].message == "Fetching net-1234.pth: 2.8 MB of 2.8 MB"
    assert [child.name for child in ours.iterdir()] == [file.name]


def test_a_redirection_is_followed_and_a_folder_may_be_named(server, ours, tmp_path):
    path = result_of(weights.download(file_at(server, "moved"), to=tmp_path / "there"))

    assert path == tmp_path / "there" / "net-1234.pth"
    assert path.read_bytes() == CONTENT
    assert not ours.exists()


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("broken-off", "it broke off at 2.0 MB"),
        ("other", "what came is not the published file"),
        ("endless", "what came is not the published file"),
        ("missing", "the server answers 404, Not Found"),
    ],
)
def test_what_does_not_arrive_well_leaves_nothing_and_says_what_to_do(server, ours, way, says):
    file = file_at(server, way)

    with pytest.raises(InversionError) as caught:
        result_of(weights.download(file))

    assert list(ours.iterdir()) == []
    sentence = str(caught.value)
    assert says in sentence
    assert file.name in sentence
    assert file.url in sentence
    assert str(ours) in sentence


def test_a_failed_download_leaves_the_file_that_was_there(server, ours):
    ours.mkdir()
    (ours / "net-1234.pth").write_bytes(b"older")

    with pytest.raises(InversionError):
        result_of(weights.download(file_at(server, "other")))

    assert (ours / "net-1234.pth").read_bytes() == b"older"


def test_without_a_network_one_sentence_tells_the_file_its_address_and_its_place(ours):
    with socket.socket() as unused:  # bound but not listening: it refuses
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/net"
        file = replace(weights.SQUEEZENET, url=url)

        with pytest.raises(InversionError) as caught:
            result_of(weights.download(file))

    assert str(caught.value) == (
        "squeezenet1_1-b8a52dc0.pth could not be fetched (Connection refused): check the network "
        f"and try again, or download {url} in a browser and put it into {ours}, keeping its name."
    )


def test_a_download_that_is_cancelled_hangs_up_and_leaves_nothing(server, ours):
    server.may_go_on.clear()
    server.hung_up.clear()
    work = weights.download(file_at(server, "endless"))
    while not next(work).done:
        pass

    work.close()

    assert list(ours.iterdir()) == []
    assert server.hung_up.wait(10)


def test_steps_go_on_while_the_network_stalls(server, ours):
    server.may_go_on.clear()
    work = weights.download(file_at(server, "stalls"))
    while next(work).done < 1_000_000:
        pass

    standing = [next(work).done for _ in range(3)]

    work.close()
    server.may_go_on.set()
    assert standing == [1_000_000] * 3


def test_a_disk_without_room_is_known_before_anything_is_fetched(server, ours, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))

    with pytest.raises(InversionError, match=r"needs 2\.8 MB, and only 1\.0 MB are free"):
        result_of(weights.download(file_at(server, "whole")))


def test_a_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(SaveError, match="cannot be used as a folder"):
        result_of(weights.download(file_at(server, "whole"), to=tmp_path / "file" / "below"))


def test_a_file_of_the_users_is_copied_if_it_is_the_published_one(server, ours, tmp_path):
    file = file_at(server, "missing")
    (tmp_path / "my copy.bin").write_bytes(CONTENT)
    (tmp_path / "head.ply").write_bytes(b"ply")

    path = result_of(weights.take(file, tmp_path / "my copy.bin"))

    assert path == weights.find(file)
    with pytest.raises(InversionError, match=r"head\.ply cannot be taken as net-1234\.pth"):
        result_of(weights.take(file, tmp_path / "head.ply"))
    with pytest.raises(InversionError, match="No such file"):
        result_of(weights.take(file, tmp_path / "none"))


# ---- what is here


def test_files_of_other_programs_are_found_in_torchs_cache(server, ours, tmp_path):
    file = file_at(server, "missing")
    place = tmp_path / "torch" / "hub" / "checkpoints" / file.name
    place.parent.mkdir(parents=True)

    place.write_bytes(CONTENT[:-1])
    assert weights.find(file) is None  # it broke off

    place.write_bytes(CONTENT)
    assert weights.find(file) == place
    assert tmp_path / "torch" / "checkpoints" / weights.VGGFACE2.name in weights.places(
        weights.VGGFACE2
    )


def test_only_the_published_file_is_opened(server, ours, tmp_path):
    file = file_at(server, "missing")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-1] + b"x")

    state = weights.load(file, good)

    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)
    with pytest.raises(CheckpointError, match=r"is not the published net-1234\.pth"):
        weights.load(file, bad)
    with pytest.raises(CheckpointError, match="cannot be read"):
        weights.load(file, tmp_path)
    with pytest.raises(InversionError, match="are not here"):
        weights.load(file)


def test_code_in_a_file_does_not_run_even_under_the_right_digest(server, ours, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    content = saved({"layer": Trap()})
    file = replace(file_at(server, "missing"), sha256=hashlib.sha256(content).hexdigest())
    (tmp_path / "trap").write_bytes(content)

    with pytest.raises(pickle.UnpicklingError):
        weights.load(file, tmp_path / "trap")

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", weights.KNOWN, ids=lambda file: file.name)
def test_every_known_file_is_described_in_full(file):
    assert len(bytes.fromhex(file.sha256)) == 32
    assert file.url.startswith("https://")
    assert file.url.endswith("/" + file.name)
    assert f"{file.size_bytes / 1e6:.0f}"[:2] in weights.question(file)
    if file.name.endswith(".pth"):  # torchvision's names carry the digest's begin
        assert file.sha256.startswith(file.name.rpartition("-")[2].removesuffix(".pth"))
