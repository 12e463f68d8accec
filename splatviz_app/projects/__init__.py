"""Projects: the document in a file, in a picture's metadata and in a `.ply`'s comments. Never a pickle."""
