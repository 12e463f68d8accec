"""Steps 1 and 2 of the Inversion panel and the photo editor, used by a hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from imgui_bundle import imgui
from PIL import Image, ImageGrab
from skimage.data import astronaut

from inversion.alignment import Alignment
from inversion.crop import corners, from_crop, to_crop
from inversion.faces import Face
from inversion.photo import Photo
from inversion.pictures import Picture, encode_picture
from inversion.pose import align, guess_points
from splatviz_app.inversion import photo_edits
from splatviz_app.inversion.previews import decode
from splatviz_app.preferences import Preferences
from splatviz_app.session import new_session
from tests.widgets.hand import Hand, hold_key
from widgets.inversion import InversionPanel

HEAD = Alignment((210.0, 140.0), 180.0, 0.1, 0.15, 0.1)  # in the photo below


def picture(width=400, height=300):
    """A picture in which no two places look alike, and no face is."""
    down, right = np.mgrid[:height, :width]
    pixels = np.stack([right * 255 // width, down * 255 // height, (right + down) % 256], axis=-1)
    return Picture(pixels.astype(np.uint8), None, "Ada.jpg")


def prepared(name="Ada.jpg", width=400):
    """A photo as if it had been prepared: the matte is a disc in the crop's middle."""
    points = guess_points(HEAD)
    disc = cv2.circle(np.zeros((512, 512), np.uint8), (256, 256), 150, 255, -1)
    matte = cv2.imencode(".png", disc)[1].tobytes()
    return Photo(name, encode_picture(picture(width)), points, align(points), matte)


class Polled(InversionPanel):
    """The panel as the window uses it: polled in every frame."""

    def draw(self, session):
        super().draw(session)
        self.poll(session)


class EditorAlone:
    """What is in the editor's window."""

    title = "Photo"

    def __init__(self):
        self.editor = InversionPanel().editor

    def draw(self, session):
        self.editor.draw(session)
        self.editor.poll(session)


@pytest.fixture
def session(tmp_path):
    session = new_session(Preferences(backend="torch", save_folder=str(tmp_path)))
    session.viewport = (40, 24)
    return session


@pytest.fixture
def hand(session):
    with Hand(Polled(), session, size=(320, 1400)) as hand:
        yield hand


@pytest.fixture
def at_editor(session):
    """A hand before the editor with one prepared photo, shown as a whole."""
    session.inversion.photos = (prepared(),)
    with Hand(EditorAlone(), session, size=(960, 700)) as hand:
        hand.settle()
        hand.until(lambda: hand.finds("Canvas"))
        hand.click("Fit")
        yield hand


def photo(session):
    return session.inversion.photos[0]


def names(session):
    return [photo.name for photo in session.inversion.photos]


def drag_in_photo(hand, start, end, steps=5):
    """Drag over the editor's canvas from one place to another, px of the picture that it shows."""
    view = hand.panel.editor.view
    here, there = view.on_screen(start), view.on_screen(end)
    (left, top), (right, bottom) = hand.place("Canvas", (0, 0)), hand.place("Canvas", (1, 1))
    at = ((here.x - left) / (right - left), (here.y - top) / (bottom - top))
    hand.drag("Canvas", there.x - here.x, there.y - here.y, at, steps)


# ---- the photos


def test_an_empty_panel_says_what_to_do_and_that_pictures_stay_here(session, hand):
    assert hand.sees("A photo becomes a head.")
    assert hand.sees("Pictures never leave this computer.")
    assert not hand.can_use("Prepare all")


def test_two_photos_are_opened_and_the_chosen_one_is_prepared(session, hand, tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.jpg"
    Image.fromarray(astronaut()).save(one)
    Image.fromarray(astronaut()[:, ::-1]).save(two, quality=95)
    hand.click("At once")
    session.inversion.add_files((one, two))
    hand.settle()
    assert names(session) == ["one.png", "two.jpg"]
    hand.click("Photo 1")
    assert hand.sees("It is not prepared yet.")
    hand.click("Prepare this")
    hand.settle()
    assert [photo.is_ready for photo in session.inversion.photos] == [False, True]
    assert abs(session.inversion.photos[1].alignment.yaw) < 0.1
    assert hand.sees("yaw")
    hand.until(lambda: hand.sees("The head is only"))
    session.undo()
    assert [photo.is_ready for photo in session.inversion.photos] == [False, False]


def test_a_photo_without_a_face_says_so_and_can_be_given_landmarks(session, hand, tmp_path):
    path = tmp_path / "sea.png"
    Image.fromarray(picture().pixels).save(path)
    session.inversion.add_files((path,))
    hand.settle()
    assert hand.sees("No face was found in sea.png")
    assert hand.sees("Or set the landmarks by hand.")
    hand.click("Landmarks…")
    hand.frames(3)
    assert hand.panel.editor.is_open


def test_photos_are_ordered_left_out_and_removed(session, hand):
    three = [prepared(name, 400 + i) for i, name in enumerate("abc")]
    session.inversion.photos = tuple(three)
    hand.settle()

    x, y = hand.place("Photo 0")
    to_x, to_y = hand.place("Photo 2")
    hand.drag("Photo 0", to_x - x, to_y - y)
    assert names(session) == ["b", "c", "a"]

    hand.click("Photo 0", button=1)
    hand.frames(2)
    hand.click("Move right")
    hand.settle()
    assert names(session) == ["c", "b", "a"]

    hand.click("Use 1")
    hand.settle()
    assert [photo.used for photo in session.inversion.photos] == [True, False, True]

    hand.click("Photo 0", button=1)
    hand.frames(2)
    hand.click("Remove")
    hand.settle()
    assert names(session) == ["b", "a"]

    hand.move(hand.place("Photo 1"))
    hand.click("Remove 1")
    hand.settle()
    assert names(session) == ["b"]
    for expected in ("ba", "cba", "cba", "bca", "abc"):
        session.undo()
        assert names(session) == list(expected)


def test_a_double_click_opens_the_editor_for_that_photo(session, hand):
    session.inversion.photos = (prepared("a"), prepared("b", 401))
    hand.settle()
    hand.click("Photo 1", times=2)
    assert hand.panel.editor.is_open
    hand.until(lambda: hand.sees("2 of 2"))


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (NotImplementedError("xclip is required"), "The clipboard can"),
        (None, "There is no picture in the clipboard"),
    ],
)
def test_a_clipboard_without_a_picture_is_one_sentence(session, hand, monkeypatch, held, sentence):
    def grab():
        if held is not None:
            raise held

    monkeypatch.setattr(ImageGrab, "grabclipboard", grab)
    hand.click("Paste")
    hand.settle()
    assert sentence in session.banner
    assert names(session) == []


def test_a_picture_in_the_clipboard_becomes_a_photo_by_the_keys(session, hand, monkeypatch):
    session.inversion.prepare_settings = replace(session.inversion.prepare_settings, at_once=False)
    held = Image.fromarray(picture().pixels)
    monkeypatch.setattr(ImageGrab, "grabclipboard", lambda: held)
    hand.move((160.0, 500.0))
    hand.press(imgui.Key.v, imgui.Key.mod_ctrl)
    hand.settle()
    assert names(session) == ["Pasted"]
    assert decode(photo(session)).size == (400, 300)


def test_the_crop_follows_the_generator_that_is_opened(session, hand, generator_file, tmp_path):
    def open_as(name):
        path = tmp_path / name
        path.write_bytes(generator_file.read_bytes())
        session.open(path)
        hand.settle()

    open_as("ffhq512.safetensors")
    assert session.inversion.prepare_settings.recipe == "ffhq"
    hand.choose("Crop", "FFHQC, tool of 2025")
    assert session.inversion.prepare_settings.recipe == "ffhqc-2025"
    hand.settle()
    assert session.inversion.prepare_settings.recipe == "ffhqc-2025", "until another is opened"


# ---- landmarks


def test_dragging_a_landmark_moves_the_crop_and_undo_brings_both_back(session, at_editor):
    before = photo(session)
    x, y = before.points[2]
    drag_in_photo(at_editor, (x, y), (x + 12, y + 3))
    at_editor.settle()
    after = photo(session)
    assert after.points[2] == pytest.approx((x + 12, y + 3), abs=0.6)
    assert after.points[:2] == before.points[:2]
    assert after.alignment == align(after.points, before.alignment.recipe)
    assert after.alignment.yaw < before.alignment.yaw - 0.05, (
        "a nose to the right: seen from its right"
    )
    assert after.matte != before.matte, "it is of the crop, which moved"
    moved = photo_edits.with_alignment(before, after.alignment)
    assert after.matte != moved.matte, "not only moved: made for it"
    session.undo()
    assert photo(session) == before, "all of it is one step"
    session.redo()
    assert photo(session) == after


def test_a_trembling_click_on_a_landmark_changes_nothing(session, at_editor):
    by_hand = replace(photo(session).alignment, yaw=0.5)
    session.inversion.photos = (replace(photo(session), alignment=by_hand),)
    at_editor.settle()
    x, y = photo(session).points[0]
    drag_in_photo(at_editor, (x, y), (x + 0.2, y))
    assert photo(session).alignment == by_hand


def test_five_clicks_set_the_landmarks_where_no_face_was_found(session, at_editor):
    bare = Photo("Ada.jpg", photo(session).content)
    session.inversion.photos = (bare,)
    at_editor.settle()
    assert at_editor.sees("Click the eye on the left of the picture.")
    wanted = guess_points(HEAD)
    for i in (1, 0, 2, 4, 3):  # left and right as the person has them
        drag_in_photo(at_editor, wanted[i], wanted[i], steps=1)
    at_editor.settle()
    found = photo(session)
    assert np.allclose(found.points, wanted, atol=1.0)
    assert found.alignment.side == pytest.approx(align(wanted).side, rel=0.02)
    assert found.is_ready, "the matte was made without being asked"


def test_of_several_faces_another_is_taken_by_a_click_into_its_box(session, at_editor, monkeypatch):
    here = photo(session)
    x, y = here.points[2]
    faces = (
        Face((x - 40, y - 40, x + 40, y + 40), here.points, 1.0),
        Face((10, 200, 60, 260), here.points, 1.0),
    )
    monkeypatch.setattr(session.inversion, "candidates", lambda index: faces)
    taken = []
    monkeypatch.setattr(session.inversion, "choose_face", lambda *choice: taken.append(choice))
    at_editor.frames(2)
    assert at_editor.sees("2 faces were found: under Landmarks, click")
    drag_in_photo(at_editor, (x + 30, y + 35), (x + 30, y + 35), steps=1)
    assert taken == [], "it is taken already"
    drag_in_photo(at_editor, (30, 220), (30, 220), steps=1)
    assert taken == [(0, faces[1])]
    assert photo(session) == here


# ---- the crop


def test_the_square_is_moved_pulled_and_turned(session, at_editor):
    at_editor.click("Crop")
    before = photo(session).alignment
    x, y = before.centre
    drag_in_photo(at_editor, (x, y), (x + 20, y - 10))
    at_editor.frames(3)
    moved = photo(session).alignment
    assert moved.centre == pytest.approx((x + 20, y - 10), abs=0.6)
    assert (moved.side, moved.angle, moved.yaw) == (before.side, before.angle, before.yaw)

    upper_left, _, lower_right, _ = corners(moved)
    to = tuple(a + 0.25 * (b - a) for a, b in zip(lower_right, upper_left, strict=True))
    drag_in_photo(at_editor, lower_right, to)
    at_editor.frames(3)
    pulled = photo(session).alignment
    assert pulled.side == pytest.approx(0.75 * moved.side, rel=0.02)
    assert corners(pulled)[0] == pytest.approx(upper_left, abs=0.6)

    view = at_editor.panel.editor.view
    knob = (0.5, -1.6 * imgui.get_font_size() / view.scale / pulled.side)
    ((knob_x, knob_y),) = from_crop(pulled, (knob,))
    drag_in_photo(at_editor, (knob_x, knob_y), (knob_x + 40, knob_y))
    at_editor.frames(3)
    turned = photo(session).alignment
    assert turned.angle > pulled.angle + 0.1
    assert turned.angle + turned.roll == pytest.approx(pulled.angle + pulled.roll), "the head stays"
    for expected in (pulled, moved, before):
        session.undo()
        assert photo(session).alignment == expected


def test_angles_are_typed_in_degrees_and_go_back_to_automatic(session, at_editor):
    at_editor.click("Crop")
    automatic = photo(session).alignment
    at_editor.type("Yaw", "30")
    at_editor.settle()
    assert photo(session).alignment == replace(
        automatic, yaw=pytest.approx(np.radians(30), abs=1e-6)
    )
    assert at_editor.can_use("Back to automatic")
    at_editor.click("Back to automatic")
    at_editor.settle()
    assert photo(session).alignment == automatic
    assert not at_editor.can_use("Back to automatic")


# ---- the matte


def kept(hand, point):
    """How much of the head the matte says is at a place, in sides of the crop."""
    panel, session = hand.panel, hand.session
    matte = panel.editor._choice.previews(session).matte(photo(session))
    return float(matte[int(point[1] * 512), int(point[0] * 512)])


def test_the_brush_adds_alt_takes_away_and_each_stroke_is_one_step_of_undo(session, at_editor):
    at_editor.click("Matte")
    at_editor.frames(2)
    outside, inside = (0.1, 0.15), (0.5, 0.5)
    assert (kept(at_editor, outside), kept(at_editor, inside)) == (0.0, 1.0)
    drag_in_photo(at_editor, (40, 77), (80, 77))
    at_editor.settle()
    assert len(photo(session).strokes) == 1
    assert kept(at_editor, outside) > 0.99

    hold_key(imgui.Key.mod_alt, True)
    drag_in_photo(at_editor, (230, 256), (280, 256))
    hold_key(imgui.Key.mod_alt, False)
    at_editor.settle()
    assert [stroke.adds for stroke in photo(session).strokes] == [True, False]
    assert kept(at_editor, inside) < 0.01

    session.undo()
    at_editor.frames(2)
    assert (kept(at_editor, outside), kept(at_editor, inside)) == (1.0, 1.0)
    at_editor.click("Clear strokes")
    at_editor.settle()
    assert photo(session).strokes == ()
    session.undo()
    assert len(photo(session).strokes) == 1


def test_brackets_change_the_brush_and_a_matte_is_made_again(session, at_editor):
    at_editor.click("Matte")
    at_editor.frames(2)
    drag_in_photo(at_editor, (40, 77), (60, 77))
    at_editor.press(imgui.Key.right_bracket)
    drag_in_photo(at_editor, (40, 177), (60, 177))
    at_editor.settle()
    thin, thick = photo(session).strokes
    assert thick.radius == pytest.approx(1.25 * thin.radius)

    before = photo(session)
    at_editor.click("Make again")
    at_editor.settle()
    assert photo(session).matte != before.matte
    assert photo(session).strokes == before.strokes


def test_landmarks_lie_where_they_did_in_the_crop_when_the_square_is_moved(session, at_editor):
    at_editor.click("Crop")
    before = photo(session)
    x, y = before.alignment.centre
    drag_in_photo(at_editor, (x, y), (x + 20, y))
    at_editor.frames(3)
    after = photo(session)
    assert after.points == before.points
    moved = 20 / before.alignment.side
    shift = np.subtract(
        to_crop(before.alignment, before.points), to_crop(after.alignment, after.points)
    )
    assert np.allclose(np.linalg.norm(shift, axis=1), moved, atol=0.01)
