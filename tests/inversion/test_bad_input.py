"""Whatever is wrong with a photo, a folder or a network: one sentence, exit status 2, nothing lost."""

import io
import json
import math
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from inversion.__main__ import main
from models.checkpoint import load_generator
from models.latents import random_z
from models.zoo import DEMO_GENERATOR
from renderer.camera import OrbitRig
from renderer.rasterize import rasterize


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def look(generator_file, out, capsys):
    """Prepare photos; the exit status, what was printed, and the sentences on standard error."""

    def prepare(*arguments):
        fixed = ["--model", generator_file, "--out", out, "--only-prepare", "--size=32"]
        status = main([str(argument) for argument in (*fixed, *arguments)])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return status, said.out, said.err

    return prepare


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def landscape():
    """A sky over hills: soft noise, no face. [300, 400, 3]"""
    draw = np.random.default_rng(3)
    y, x = np.mgrid[0:300, 0:400]
    hills = y > 170 + 30 * np.sin(x / 50) + 12 * np.sin(x / 17)
    picture = np.where(hills[..., None], (70, 110, 50), (150, 180, 230)) + draw.normal(
        0, 6, (300, 400, 3)
    )
    return picture.clip(0, 255).astype(np.uint8)


def refuses(answer, sentence, out):
    """One sentence with those words, exit status 2, and no file left behind."""
    status, _, said = answer
    assert status == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert said.strip().endswith(".")
    assert not out.exists() or not list(out.iterdir())


# ---- photos that show the wrong thing


def test_a_landscape_has_no_face(look, out, tmp_path):
    path = saved(tmp_path / "hills.jpg", landscape())

    refuses(look(path), "No face was found in hills.jpg", out)


def test_of_ten_faces_one_is_taken_and_another_can_be_chosen(look, out, tmp_path):
    one = astronaut()[30:230, 125:325]
    path = saved(tmp_path / "crew.png", np.tile(one, (2, 5, 1)))  # 1000 x 400

    status, said, _ = look(path)
    assert status == 0
    assert "crew.png shows 10 faces; --face 0 to 9 chooses one" in said
    look(path, "--face", 9)
    places = [
        json.loads((out / name).read_text())["photos"][0]["alignment"]["centre"]
        for name in ("report.json", "report-2.json")
    ]
    # Whichever they are, both lie on the grid of the copies, and are not the same copy.
    apart = np.abs(np.subtract(*places)) / 200
    assert np.abs(apart - apart.round()).max() < 0.1
    assert apart.round().any()


def test_a_face_that_is_not_there_cannot_be_chosen(look, out, tmp_path):
    path = saved(tmp_path / "one.png", astronaut())

    refuses(look(path, "--face", 3), "There is no face 3 in one.png: one face was found", out)


def resized(factor):
    image = Image.fromarray(astronaut())
    side = round(512 * factor)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def test_a_face_of_a_few_pixels_is_too_small(look, out, tmp_path):
    path = saved(tmp_path / "far.png", resized(0.28))  # some 30 px

    refuses(look(path), "at least 40 are needed", out)


def test_a_face_of_hardly_enough_pixels_is_taken_with_a_warning(look, tmp_path):
    path = saved(tmp_path / "near.png", resized(0.48))  # some 50 px

    status, said, _ = look(path)

    assert status == 0
    assert "The head is only" in said


def test_a_profile_is_taken_with_a_warning(look, tmp_path):
    loaded = load_generator(DEMO_GENERATOR).generator
    with torch.no_grad():
        head = loaded.synthesize(loaded.map(random_z(2, 1, loaded.z_dim)))[0]
    camera = OrbitRig(yaw=math.radians(85)).camera()
    drawn = rasterize(head, camera, (512, 512), background=torch.full((3,), 0.6)).color
    pixels = (drawn.clamp(0, 1).movedim(0, -1) * 255).byte().numpy()

    status, said, _ = look(saved(tmp_path / "side.png", pixels))

    assert status == 0
    assert "turned very far" in said


def test_an_upside_down_photo_says_so(look, out, tmp_path):
    path = saved(tmp_path / "turned.png", np.ascontiguousarray(astronaut()[::-1, ::-1]))

    refuses(look(path), "The face in turned.png lies upside down", out)


# ---- files that are no photos


def png_of_200_megapixels():
    """Say in a PNG's header that it is 20000 x 10000, with honest checksums and little content."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_200_megapixels_are_refused_before_they_are_unpacked(look, out, tmp_path):
    path = tmp_path / "wall.png"
    path.write_bytes(png_of_200_megapixels())

    refuses(
        look(path), "wall.png has more than 120 megapixels. Make the picture smaller first.", out
    )


def jpeg():
    stream = io.BytesIO()
    Image.fromarray(astronaut()).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("half.jpg", jpeg()[: len(jpeg()) // 2], "is damaged or incomplete"),
        ("header.jpg", jpeg()[:200], "is damaged or incomplete"),
        ("garbled.jpg", jpeg()[:3] + bytes(range(256)) * 40, "is damaged or incomplete"),
        ("text.jpg", b"This is no picture at all.", "is not a picture that can be read"),
        ("empty.png", b"", "is empty"),
    ],
)
def test_damaged_files_are_refused(name, content, sentence, look, out, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)

    refuses(look(path), sentence, out)


def test_what_is_not_there_is_named(look, out, tmp_path):
    refuses(look(tmp_path / "nobody.jpg"), "nobody.jpg does not exist", out)


def test_a_folder_is_no_photo(look, out, tmp_path):
    refuses(look(tmp_path), "is a folder", out)


def test_one_bad_photo_among_good_ones_stops_before_any_work(look, out, tmp_path):
    good = saved(tmp_path / "good.png", astronaut())
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no")

    refuses(look(good, bad), "bad.jpg is not a picture", out)


def test_a_damaged_video_is_refused(look, out, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\0" * 4000)

    refuses(look(path, "--frames", 0), "film.mp4 is no video that can be read", out)


# ---- options that do not fit


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--points", "1", "2", "3"], "--points takes ten numbers"),
        (["--face", "-1"], "--face and --frames are counted from 0"),
        (["--frames", "0", "1"], "--frames are those of one video"),
        (["--size", "7"], "--size is between 16 and 4096 px"),
        (["--device", "abacus"], "There is no device 'abacus' here"),
        (["--weights", "nowhere"], "is no folder"),
        (["--model", "nobody.safetensors"], "nobody.safetensors"),
        (["--points", *["200"] * 10], "landmarks"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, sentence, look, out, tmp_path):
    path = saved(tmp_path / "one.png", astronaut())

    refuses(look(path, *arguments), sentence, out)


def test_no_photo_at_all_is_refused(look, out):
    refuses(look(), "There is no photo", out)


# ---- folders and networks that are not there


def test_a_folder_that_cannot_be_made_is_refused_before_any_work(generator_file, tmp_path, capsys):
    photo = saved(tmp_path / "one.png", astronaut())
    blocked = photo / "out"  # below a file

    assert main([str(photo), "--model", str(generator_file), "--out", str(blocked)]) == 2

    said = capsys.readouterr().err
    assert "out cannot be made" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg"])
def test_a_network_without_its_weights_is_refused_before_any_work(
    name, generator_file, out, tmp_path, capsys
):
    photo = saved(tmp_path / "one.png", astronaut())
    weights = tmp_path / "weights"
    weights.mkdir()

    arguments = [
        photo,
        "--model",
        generator_file,
        "--out",
        out,
        "--perceptual",
        name,
        "--weights",
        weights,
    ]
    status = main([str(argument) for argument in arguments])

    refuses((status, "", capsys.readouterr().err), "LPIPS", out)


def test_a_matte_by_a_network_that_is_not_here_is_refused(look, out, tmp_path):
    photo = saved(tmp_path / "one.png", astronaut())

    refuses(look(photo, "--matte", "modnet"), "modnet", out)


def test_a_photo_without_alpha_has_no_matte_of_its_own(look, out, tmp_path):
    photo = saved(tmp_path / "one.png", astronaut())

    refuses(look(photo, "--matte", "file"), "no transparency of its own", out)
