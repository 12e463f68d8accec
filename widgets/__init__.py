"""The panels: they draw the session and replace parts of it, and compute nothing."""
