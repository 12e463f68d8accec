"""The small pictures that panels show. Panels ask for them, the window brings them to OpenGL."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_CAPACITY = 512  # textures
_BUDGET = 192 << 20  # bytes: pictures that change while the hand moves would soon be hundreds


@dataclass(eq=False)
class _Entry:
    pixels: np.ndarray  # held, so that no other array gets its identity
    texture: int = 0  # OpenGL's name; 0 while it is not there
    asked: int = 0  # the frame in which a panel last wanted it


@dataclass(eq=False)
class Textures:
    """Which pictures are, or shall be, textures. Used by the thread of the window only.

    A picture is known by identity: an array that is shown is never changed, a new one takes its place.
    """

    capacity: int = _CAPACITY
    budget: int = _BUDGET
    _entries: dict[int, _Entry] = field(default_factory=dict)
    _frame: int = 0

    def of(self, pixels: np.ndarray) -> int:
        """OpenGL's name of a picture, 0 until the next frame. To be asked for in every frame.

        Args:
            pixels: [H, W, 4] uint8, contiguous.
        """
        assert pixels.dtype == np.uint8, pixels.dtype
        assert pixels.ndim == 3, pixels.shape
        assert pixels.shape[2] == 4, pixels.shape
        entry = self._entries.setdefault(id(pixels), _Entry(pixels))
        entry.asked = self._frame
        return entry.texture

    # ---- for the window

    def missing(self) -> list[np.ndarray]:
        """The pictures that were asked for and are not there yet. [H, W, 4] uint8 each"""
        return [entry.pixels for entry in self._entries.values() if not entry.texture]

    def bring(self, pixels: np.ndarray, texture: int) -> None:
        """Say what a picture is called from now on."""
        self._entries[id(pixels)].texture = texture

    def next_frame(self) -> list[int]:
        """Begin a frame; hand over the textures that nobody has asked for longest, to be deleted."""
        count = len(self._entries)
        size = sum(entry.pixels.nbytes for entry in self._entries.values())
        self._frame += 1
        if count <= self.capacity and size <= self.budget:
            return []
        gone = []
        for key, entry in sorted(self._entries.items(), key=lambda item: item[1].asked):
            fits = count <= self.capacity and size <= self.budget
            # Those of the last frame stay, however many they are.
            if fits or entry.asked >= self._frame - 1:
                break
            del self._entries[key]
            count, size = count - 1, size - entry.pixels.nbytes
            if entry.texture:
                gone.append(entry.texture)
        return gone

    def clear(self) -> list[int]:
        """Forget all, because the window closes; hand over the textures to be deleted."""
        textures = [entry.texture for entry in self._entries.values() if entry.texture]
        self._entries.clear()
        return textures
