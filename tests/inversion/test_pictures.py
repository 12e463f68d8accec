"""Pictures of every kind, and what is no picture."""

import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from inversion.pictures import KEPT_SIDE, Picture, decode_picture, encode_picture, read_picture
from renderer.errors import LoadError


def scene(height=30, width=50):
    """Smooth, and different at each corner. [H, W, 3] uint8"""
    y, x = np.mgrid[:height, :width]
    parts = [250 * x / (width - 1), 250 * y / (height - 1), 120 + 0 * x]
    return np.rint(np.stack(parts, axis=-1)).astype(np.uint8)


def as_bytes(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(array):
    return as_bytes(Image.fromarray(array))


def sentence(content, name="photo.jpg"):
    with pytest.raises(LoadError) as caught:
        decode_picture(content, name)
    text = str(caught.value)
    assert text.startswith(name)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# ---- what is read


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_however_the_camera_was_held(orientation):
    upright = scene()
    # How a camera held so stores it: the eight ways of EXIF.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1), 7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = as_bytes(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)

    np.testing.assert_array_equal(decode_picture(content, "a.png").pixels, upright)


def test_an_upright_photo_is_not_turned_again_after_it_was_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = as_bytes(Image.fromarray(scene()), "JPEG", exif=exif, quality=95)
    once = decode_picture(content, "a.jpg")

    again = decode_picture(encode_picture(once), "a.jpg")

    assert once.pixels.shape == again.pixels.shape == (50, 30, 3)
    assert np.abs(once.pixels.astype(int) - again.pixels).mean() < 2


def test_alpha_comes_back_and_colours_under_it_stay():
    pixels = scene()
    alpha = np.zeros((30, 50), np.uint8)
    alpha[5:20, 10:40] = 128
    content = as_bytes(Image.fromarray(np.dstack([pixels, alpha])))

    picture = decode_picture(content, "a.png")
    kept = decode_picture(encode_picture(picture), "a.png")

    for one in (picture, kept):
        np.testing.assert_array_equal(one.pixels, pixels)
        np.testing.assert_allclose(one.alpha, alpha / 255, atol=1e-6)


def test_an_alpha_that_hides_nothing_is_none():
    content = as_bytes(Image.fromarray(np.dstack([scene(), np.full((30, 50), 255, np.uint8)])))

    assert decode_picture(content, "a.png").alpha is None


def test_sixteen_bits_are_scaled_not_clipped():
    wide = (scene().astype(np.uint16) * 257)[..., ::-1]  # OpenCV writes blue first
    colors = cv2.imencode(".png", wide)[1].tobytes()
    grey = png(scene()[..., 0].astype(np.uint16) * 257)

    np.testing.assert_array_equal(decode_picture(colors, "a.png").pixels, scene())
    for channel in range(3):
        found = decode_picture(grey, "a.png").pixels[..., channel]
        np.testing.assert_array_equal(found, scene()[..., 0])


def test_a_dark_picture_of_sixteen_bits_stays_dark():
    content = png(np.full((8, 9), 1285, np.uint16))

    assert decode_picture(content, "a.png").pixels.max() == 5


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_pictures_of_floats_are_scaled_by_their_range(top):
    content = as_bytes(Image.fromarray(np.float32([[0, top / 2, top]])), "TIFF")

    np.testing.assert_array_equal(decode_picture(content, "a.tif").pixels[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("L", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("1", "BMP"), ("RGB", "WEBP")),
        *(("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")),
    ],
)
def test_every_mode_becomes_rgb(mode, kind):
    image = Image.fromarray(scene())
    expected = np.asarray(image.convert(mode).convert("RGB")).astype(int)

    picture = decode_picture(as_bytes(image.convert(mode), kind), "a")

    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape == (30, 50, 3)
    # Lossy kinds differ a little.
    assert np.abs(picture.pixels - expected).mean() < 4


def test_a_transparent_colour_of_a_palette_becomes_alpha():
    image = Image.fromarray(np.uint8([[0, 1], [1, 1]]), "L").convert("P")
    content = as_bytes(image, "PNG", transparency=0)

    np.testing.assert_array_equal(decode_picture(content, "a.png").alpha, [[0, 1], [1, 1]])


def test_of_an_animation_the_first_picture_counts():
    frames = [Image.fromarray(np.full((6, 7, 3), shade, np.uint8)) for shade in (200, 10, 90)]
    content = as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])

    np.testing.assert_array_equal(decode_picture(content, "a.gif").pixels, 200)


def test_large_pictures_are_kept_smaller_with_their_shape():
    picture = Picture(np.zeros((1500, 3000, 3), np.uint8), None, "a")

    kept = decode_picture(encode_picture(picture), "a")

    assert kept.size == (KEPT_SIDE, KEPT_SIDE // 2)


def test_a_file_is_named_as_the_user_named_it(tmp_path):
    path = tmp_path / "Jürgen ☺.png"
    path.write_bytes(png(scene()))

    assert read_picture(path).name == "Jürgen ☺.png"


def profile(primaries):
    """A minimal ICC profile: linear RGB whose primaries are given as XYZ under D50."""

    def xyz(values):
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))

    tags = [(b"wtpt", xyz((0.9642, 1.0, 0.8249)))]
    for letter, values in zip(b"rgb", primaries, strict=True):
        tags.append((bytes([letter]) + b"XYZ", xyz(values)))
        tags.append((bytes([letter]) + b"TRC", b"curv" + bytes(8)))  # no entries: linear
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return header + table + body


SRGB_PRIMARIES = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]


def test_the_colour_profile_is_applied():
    red, green, blue = SRGB_PRIMARIES
    image = Image.fromarray(np.full((4, 5, 3), (255, 0, 0), np.uint8))
    content = as_bytes(image, "PNG", icc_profile=profile([green, red, blue]))

    # What is red to the file is green to the eye.
    found = decode_picture(content, "a.png").pixels.astype(int)
    assert np.abs(found - (0, 255, 0)).max() <= 3


def test_a_broken_colour_profile_is_passed_over():
    content = as_bytes(Image.fromarray(scene()), "PNG", icc_profile=b"broken")

    np.testing.assert_array_equal(decode_picture(content, "a.png").pixels, scene())


# ---- what is not


def test_missing_and_empty_files_folders_and_other_files_are_named(tmp_path):
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.touch()
    text.write_text("not a picture at all")

    for path, says in [
        (tmp_path / "none.jpg", "does not exist"), (tmp_path, "is a folder"),
        (empty, "is empty"), (text, "is not a picture"),
    ]:  # fmt: skip
        with pytest.raises(LoadError, match=says) as caught:
            read_picture(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_truncated_picture_is_damaged(kind):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    content = as_bytes(Image.fromarray(noise), kind)

    said = sentence(content[: len(content) * 2 // 3])

    assert "damaged" in said or "not a picture" in said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_whatever_bytes_are_wrong_it_is_a_picture_or_a_sentence(kind):
    random = np.random.RandomState(5)
    whole = bytearray(as_bytes(Image.fromarray(scene()), kind))
    outcomes = set()
    for _ in range(60):
        content = bytearray(whole)
        for at in random.randint(0, len(content), 8):
            content[at] = random.randint(256)
        try:
            assert decode_picture(bytes(content), "a").pixels.dtype == np.uint8
            outcomes.add("picture")
        except LoadError:
            outcomes.add("sentence")

    assert "sentence" in outcomes


def claiming(width, height):
    """A PNG that says it is large; its pixels are missing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


@pytest.mark.parametrize("side", [12_000, 50_000, 2_000_000_000])
def test_a_picture_too_large_is_refused_before_it_is_unpacked(side):
    said = sentence(claiming(side, side), "huge.png")

    assert "megapixels" in said or "not a picture" in said


def test_a_jpeg_too_large_to_reduce_is_refused():
    content = bytearray(as_bytes(Image.fromarray(scene()), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 60_000, 60_000)

    assert "megapixels" in sentence(bytes(content))


def test_a_jpeg_of_many_megapixels_is_read_reduced():
    # Uniform: it is small on the disk. 64 megapixels unpacked would be 192 MB.
    content = as_bytes(Image.new("L", (8000, 8000), 90), "JPEG")

    picture = decode_picture(content, "a.jpg")

    assert max(picture.size) <= KEPT_SIDE
    assert abs(int(picture.pixels.mean()) - 90) < 2


def test_heic_says_what_to_install_when_its_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)

    said = sentence(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100), "a.heic")

    assert "pip install pillow-heif" in said
