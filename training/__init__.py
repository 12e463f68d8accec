"""Making a generator."""
