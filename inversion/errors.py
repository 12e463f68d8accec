"""What can go wrong on the way from a photo to a head."""

from renderer.errors import SplatheadError


class InversionError(SplatheadError):
    """No face was found, something that is needed is missing, or the optimisation diverged."""
