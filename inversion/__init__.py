"""From a photo to a head."""
