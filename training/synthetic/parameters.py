"""What each dimension of z decides: from a latent to named, known attributes of a head.

Only `ACTIVE` of the 512 dimensions are read. Every attribute is a smooth function of z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.synthetic.geometry import Array, ramp

Z_DIM = 512
IDENTITIES = 18  # components of the mesh

EXPRESSIONS = (
    "mouth_open", "smile", "blink", "brow_height", "gaze_x", "gaze_y",
    "pucker", "squint", "mouth_side", "upper_lip",
)  # fmt: skip
LOOKS = (
    "skin_tone", "skin_warmth", "blush", "lip_colour", "eye_colour", "eye_green",
    "brow_weight", "hair_colour", "hair_red", "hair_grey", "hair_length", "hair_style_x",
    "hair_style_y", "hair_curl", "hair_volume", "bald", "beard", "beard_length", "stubble",
    "glasses", "glasses_shape", "glasses_colour", "shirt_red", "shirt_green", "shirt_blue",
    "light_side", "light_height", "light_warmth",
)  # fmt: skip
ACTIVE = IDENTITIES + len(EXPRESSIONS) + len(LOOKS)  # the first dimensions of z
DIMENSIONS = {
    **{f"identity_{i}": i for i in range(IDENTITIES)},
    **{name: IDENTITIES + i for i, name in enumerate((*EXPRESSIONS, *LOOKS))},
}
HAIR_STYLES = ("side_left", "side_right", "middle", "back", "fringe")

# Counts up whenever the same z becomes another head: pictures of different looks do not belong together.
LOOK = 1

# Palettes in linear light, from 0 to 1.
SKIN_TONES = np.array(
    [
        (0.088, 0.040, 0.022), (0.160, 0.076, 0.042), (0.275, 0.140, 0.082),
        (0.420, 0.230, 0.145), (0.540, 0.315, 0.215), (0.620, 0.395, 0.295),
    ]
)  # fmt: skip
HAIR_TONES = np.array(
    [
        (0.012, 0.009, 0.008), (0.026, 0.015, 0.010), (0.055, 0.027, 0.013),
        (0.105, 0.054, 0.024), (0.210, 0.125, 0.055), (0.400, 0.275, 0.135),
    ]
)  # fmt: skip
RED_HAIR, GREY_HAIR = np.array([0.15, 0.036, 0.009]), np.array([0.36, 0.35, 0.345])
BROWN_EYES, BLUE_EYES, GREEN_EYES = (
    np.array(tone) for tone in ((0.085, 0.035, 0.014), (0.14, 0.24, 0.34), (0.13, 0.19, 0.10))
)


@dataclass(frozen=True)
class Traits:
    """Everything a head is drawn from. Strengths lie in [0, 1] unless said; colours are linear."""

    identity: Array  # [18] standard deviations of the mesh's components
    mouth_open: float
    smile: float  # -1 frowns
    blink: float
    brow_height: float  # -1 to 1
    gaze: tuple[float, float]  # radians towards the head's left, and up
    pucker: float
    squint: float  # -1 opens the eyes wide
    mouth_side: float  # -1 to 1, towards the head's left
    upper_lip: float
    lightness: float  # of the skin
    skin: Array  # [3]
    blush: float
    lips: Array  # [3]
    iris: Array  # [3]
    brow_weight: float
    hair: Array  # [3]
    hair_length: float  # cm
    hair_style: Array  # [5] shares of `HAIR_STYLES`
    curl: float
    volume: float
    bald: float
    beard: float
    beard_length: float  # cm
    stubble: float
    glasses: float
    glasses_round: float
    frame: Array  # [3]
    shirt: Array  # [3]
    light: tuple[float, float]  # of the key lamp: radians towards the head's left, and up
    warmth: float  # -1 to 1


def normalize(z: Array) -> Array:
    """Scale z as the mapping network does, so that both see the same latent. [..., Z]"""
    return z / np.sqrt((z**2).mean(-1, keepdims=True) + 1e-8)


def traits_of(z: Array) -> Traits:
    """Read one latent. [512]"""
    assert z.shape == (Z_DIM,), z.shape
    n = normalize(z.astype(float))
    g = {name: float(n[i]) for name, i in DIMENSIONS.items()}
    u = {name: 0.5 * (1 + math.erf(value / math.sqrt(2))) for name, value in g.items()}
    lightness = u["skin_tone"]
    length = 0.6 + 13.4 * u["hair_length"] ** 1.2
    style = np.arange(5) * 2 * np.pi / 5
    pull = 5 * (np.cos(style) * g["hair_style_x"] + np.sin(style) * g["hair_style_y"])
    shares = np.exp(pull - pull.max())
    beard = _switch(g["beard"] - 0.25 * g["hair_length"] - 0.75)
    skin = _skin(lightness, g["skin_warmth"])
    return Traits(
        identity=2.0 * np.tanh(n[:IDENTITIES] / 2.0),
        mouth_open=0.75 * _above(g["mouth_open"], 0.55),
        smile=_above(g["smile"], -0.1) - 0.6 * _above(-g["smile"], 0.8),
        blink=_above(g["blink"], 1.3),
        brow_height=math.tanh(0.8 * g["brow_height"]),
        gaze=(0.30 * math.tanh(0.7 * g["gaze_x"]), 0.20 * math.tanh(0.7 * g["gaze_y"])),
        pucker=0.7 * _above(g["pucker"], 0.8),
        squint=0.6 * math.tanh(0.6 * g["squint"]),
        mouth_side=0.45 * math.tanh(0.5 * g["mouth_side"]),
        upper_lip=0.7 * _above(g["upper_lip"], 0.7),
        lightness=lightness,
        skin=skin,
        blush=0.3 + 1.0 * u["blush"],
        lips=_lips(skin, u["lip_colour"] * (1 - 0.6 * beard)),
        iris=_iris(g["eye_colour"] - 0.9 + 1.4 * lightness, u["eye_green"]),
        brow_weight=0.35 + 0.65 * u["brow_weight"],
        hair=_hair(g, lightness),
        hair_length=length,
        hair_style=shares / shares.sum(),
        curl=_gate(1.6 * (g["hair_curl"] + 0.5 * (0.5 - lightness)) - 1.0, 2.5),
        volume=u["hair_volume"],
        bald=_switch(g["bald"] - 1.3),
        beard=beard,
        beard_length=0.35 + 1.9 * u["beard_length"] ** 2,
        stubble=0.6 * _switch(g["stubble"] - 0.6 - 0.25 * g["hair_length"], 0.5),
        glasses=_switch(g["glasses"] - 0.58),
        glasses_round=u["glasses_shape"],
        frame=_frame(u["glasses_colour"]),
        shirt=_shirt(np.array([u["shirt_red"], u["shirt_green"], u["shirt_blue"]])),
        light=(
            0.2 + 0.95 * math.tanh(0.8 * g["light_side"]),
            0.5 + 0.3 * math.tanh(g["light_height"]),
        ),
        warmth=math.tanh(0.7 * g["light_warmth"]),
    )


def _above(value: float, threshold: float) -> float:
    """Rise smoothly from 0 under the threshold towards 1. In [0, 1)"""
    return math.tanh(0.75 * math.log1p(math.exp(3.5 * (value - threshold))) / 3.5)


def _switch(value: float, width: float = 0.18) -> float:
    """Go from 0 to 1 around 0, smoothly, and be exactly 0 and 1 beyond `width`."""
    return float(ramp(-width, width, np.array(value)))


def _gate(value: float, steepness: float) -> float:
    """Go from 0 to 1 around 0 along the logistic curve."""
    return 1 / (1 + math.exp(-steepness * value))


def _along(palette: Array, at: float) -> Array:
    """Go along a palette. [3]"""
    knots = np.linspace(0, 1, len(palette))
    return np.array([np.interp(at, knots, palette[:, k]) for k in range(3)])


def _skin(lightness: float, warmth: float) -> Array:
    return _along(SKIN_TONES, lightness) * (1 + 0.07 * np.tanh(warmth) * np.array([0.6, 0.0, -1.0]))


def _lips(skin: Array, tint: float) -> Array:
    """Skin with blood, or with lipstick at the far end."""
    bare = skin * np.array([0.80, 0.50, 0.56])
    painted = 0.35 * skin + np.array([0.22, 0.012, 0.02])
    return bare + (painted - bare) * 0.9 * float(ramp(0.45, 1.0, np.array(tint)))


def _iris(blue: float, green: float) -> Array:
    light = BLUE_EYES + (GREEN_EYES - BLUE_EYES) * float(ramp(0.5, 0.8, np.array(green)))
    return BROWN_EYES + (light - BROWN_EYES) * _gate(blue - 0.5, 4)


def _hair(g: dict[str, float], lightness: float) -> Array:
    """Dark to blond, lighter with lighter skin; sometimes red or grey."""
    at = _gate(1.5 * g["hair_colour"] - 2.4 + 3.4 * lightness, 1)
    tone = _along(HAIR_TONES, at)
    tone = tone + (RED_HAIR - tone) * _gate(g["hair_red"] - 2.1 + 1.0 * lightness, 6)
    return tone + (GREY_HAIR - tone) * 0.9 * _gate(g["hair_grey"] - 1.45, 5)


def _frame(at: float) -> Array:
    """Black, tortoise brown, metal grey."""
    return _along(
        np.array([(0.01,) * 3, (0.015, 0.012, 0.01), (0.07, 0.025, 0.01), (0.09, 0.09, 0.1)]), at
    )


def _shirt(mix: Array) -> Array:
    """Muted cloth."""
    return 0.015 + 0.5 * (0.6 * mix + 0.4 * mix.mean()) ** 2.4
