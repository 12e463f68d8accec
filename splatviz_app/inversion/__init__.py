"""From photos to a head, within the session: its desk and its jobs."""
