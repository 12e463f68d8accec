"""The Camera panel: where the eye is, in numbers and named views."""

from __future__ import annotations

import math

from imgui_bundle import imgui

from renderer.camera import OrbitRig, fov_to_focal
from renderer.errors import SplatheadError
from splatviz_app import controls
from splatviz_app.pose import parse_pose, pose_text
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.fields import Number

_PLAIN = OrbitRig()
_DEGREES = 180 / math.pi

YAW = Number(
    "Yaw",
    "Angle to the side in degrees. 0 is frontal; positive shows the head's left side.",
    default=_PLAIN.yaw * _DEGREES,
    low=-180,
    high=180,
    format="%.1f°",
    speed=0.5,
    wraps=True,
)
PITCH = Number(
    "Pitch",
    "Angle upward in degrees. Positive looks down on the head.",
    default=_PLAIN.pitch * _DEGREES,
    low=-controls.PITCH_LIMIT * _DEGREES,
    high=controls.PITCH_LIMIT * _DEGREES,
    format="%.1f°",
    speed=0.5,
)
RADIUS = Number(
    "Distance",
    "From the eye to the target in world units. Models are trained at 2.7.",
    default=_PLAIN.radius,
    low=controls.RADIUS_LIMITS[0],
    high=controls.RADIUS_LIMITS[1],
    format="%.3f",
    speed=0.01,
)
TARGET = Number(
    "Target",
    "The point in the middle of the picture, x y z in world units: x to the head's left, y up, "
    "z out of its face.",
    default=0.0,
    low=-controls.TARGET_LIMIT,
    high=controls.TARGET_LIMIT,
    format="%.3f",
    speed=0.002,
)
FOV = Number(
    "Field of view",
    "Vertical, in degrees. Models are trained at 13.4°; wider shows more perspective.",
    default=_PLAIN.fov_y * _DEGREES,
    low=controls.FOV_LIMITS[0] * _DEGREES,
    high=controls.FOV_LIMITS[1] * _DEGREES,
    format="%.2f°",
    speed=0.05,
)

_VIEW_HELP = {
    "Front": "Face the head.",
    "Three-quarter": "40° to the side, a little from above.",
    "Profile": "The head's left side.",
    "Back": "From behind.",
    "Top": "From above.",
    "Frame head": "Fit the whole head into the picture; the direction is kept. (F)",
}

_POSE_HELP = {
    "Copy pose": "Put the pose on the clipboard: JSON, with the GAN's 25 numbers.",
    "Paste pose": "Take a pose from the clipboard: JSON, 25 numbers of a label, or 16 of "
    "cam_to_world.",
    "Reset": "Back to the camera the models were trained with. (Home)",
}


class CameraPanel:
    """Numbers, named views, and poses through the clipboard."""

    title = "Camera"
    dock: Dock = "right"

    def visible(self, session: Session) -> bool:
        """Always."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the views and the numbers of the rig."""
        before = session.rig
        rig = self._draw_views(session, before)
        fields.gap()
        rig = self._draw_numbers(rig)
        if rig != before:
            session.inertia = controls.Inertia()  # the hand has decided otherwise
            session.rig = controls.limited(rig)
        fields.gap()
        self._draw_clipboard(session)

    def _draw_views(self, session: Session, rig: OrbitRig) -> OrbitRig:
        summary = session.result.summary if session.result and session.scene else None
        names = [*controls.VIEWS, "Frame head"]
        whys = {} if summary else {"Frame head": "There is no head to frame yet: open one."}
        for row in (names[:3], names[3:]):
            pressed = fields.buttons(row, _VIEW_HELP, whys)
            if pressed in controls.VIEWS:
                rig = controls.view(rig, pressed)
            elif pressed and summary:
                rig = controls.frame(rig, summary.low, summary.high)
        return rig

    def _draw_numbers(self, rig: OrbitRig) -> OrbitRig:
        yaw = _angle(YAW, rig.yaw)
        pitch = _angle(PITCH, rig.pitch)
        radius = fields.drag(RADIUS, rig.radius)
        target = fields.vector(TARGET, rig.target)
        fov_y = _angle(FOV, rig.fov_y)
        focal = fov_to_focal(fov_y)
        fields.fact(
            "Focal length",
            f"{focal:.4f} heights · {focal * 24:.0f} mm",
            "In image heights, as models count it, and in millimetres of a 36 x 24 mm film.",
        )
        return OrbitRig(yaw, pitch, radius, target, fov_y)

    def _draw_clipboard(self, session: Session) -> None:
        chosen = fields.buttons(("Copy pose", "Paste pose", "Reset"), _POSE_HELP)
        if chosen == "Copy pose":
            imgui.set_clipboard_text(pose_text(session.rig))
            session.say("Copied the camera pose")
        elif chosen == "Paste pose":
            session.inertia = controls.Inertia()
            try:
                session.rig = parse_pose(imgui.get_clipboard_text() or "", session.rig)
            except SplatheadError as error:
                session.report(error)
        elif chosen == "Reset":
            session.inertia = controls.Inertia()
            session.rig = OrbitRig()


def _angle(number: Number, radians: float) -> float:
    """A row in degrees for an angle in radians; untouched, the angle keeps its bits."""
    before = radians * _DEGREES
    after = fields.drag(number, before)
    return radians if after == before else after / _DEGREES
