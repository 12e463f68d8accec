"""What a head is made of, and how it becomes pixels. Knows torch and numpy, nothing else of ours."""
