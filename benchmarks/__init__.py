"""What is claimed to be fast, measured: each module prints a table and, last, one JSON object."""
