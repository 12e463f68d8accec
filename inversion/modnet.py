"""MODNet, a network that cuts people out (Ke et al. 2022), for the user's weights; OpenCV runs it.

The file is an ONNX graph: a picture [B, 3, H, W] in [-1, 1], sides multiples of 32, to mattes [B, 1, H, W].
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from inversion import weights
from inversion.errors import InversionError
from inversion.weights import WeightsFile

_SIDE = 512  # px, at which the network was trained
_SHAPE = (1, 3, _SIDE, _SIDE)
_FILES = (weights.MODNET, weights.MODNET_EXPORT)  # the same network
# Where an ONNX model tells the shape of its input: the numbers of nested fields, ModelProto.graph,
# GraphProto.input, ValueInfoProto.type, TypeProto.tensor_type, Tensor.shape.
_INPUT_SHAPE = (7, 11, 2, 1, 2)


def find_weights() -> tuple[WeightsFile, Path] | None:
    """Find the network's file; None if the user has none."""
    for file in _FILES:
        path = weights.find(file)
        if path is not None:
            return file, path
    return None


def matte_by_network(crop: np.ndarray) -> np.ndarray:
    """Cut the people out of a picture.

    Args:
        crop: Colours. [S, S, 3] uint8

    Returns:
        In [0, 1]. [S, S] float32

    Raises:
        InversionError: The weights are not here, or OpenCV cannot run them.
        CheckpointError: The file is not the published one.
    """
    found = find_weights()
    if found is None:
        raise InversionError(f"MODNet's weights are not here. {weights.by_hand(weights.MODNET)}")
    file, path = found
    content = with_input_shape(weights.content_of(file, path), _SHAPE)
    side = crop.shape[0]
    signed = resized(crop, _SIDE).astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    try:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        network.setInput(signed)
        matte = np.asarray(network.forward(), dtype=np.float32)
    except cv2.error as error:
        raise InversionError(
            f"OpenCV {cv2.__version__} cannot run {file.name}. Choose another way to cut the head out."
        ) from error
    if matte.shape != (1, 1, _SIDE, _SIDE) or not np.isfinite(matte).all():
        raise InversionError(f"{file.name} gave no matte. Choose another way to cut the head out.")
    return np.clip(resized(matte[0, 0], side), 0, 1)


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Bring a square picture to another side. [s, s, ...] -> [side, side, ...]"""
    smaller = side < picture.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(picture, (side, side), interpolation=method)


# ---- ONNX files are nested protobuf messages


def with_input_shape(model: bytes, shape: tuple[int, ...]) -> bytes:
    """Give an ONNX model a fixed input: OpenCV cannot run one whose height and width are left open."""
    dims = b"".join(_field(1, b"\x08" + _as_varint(size)) for size in shape)
    return _replaced(model, _INPUT_SHAPE, dims)


def _replaced(message: bytes, path: tuple[int, ...], content: bytes) -> bytes:
    """Replace the first field of the path's first number, or within it what the rest of the path names."""
    if not path:
        return content
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        match key & 7:  # the kind of the field
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case _:
                length, at = _varint(message, at)
                if key >> 3 == path[0]:
                    inner = _replaced(message[at : at + length], path[1:], content)
                    return message[:start] + _field(path[0], inner) + message[at + length :]
                at += length
    raise InversionError("MODNet's file does not tell the shape of its input. Download it again.")


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, with its key and length."""
    return _as_varint(number << 3 | 2) + _as_varint(len(content)) + content


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def _as_varint(number: int) -> bytes:
    """Write a number of seven bits a byte, the lowest first."""
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])
