"""A parametric head with known answers: each latent is a head, its attributes are known by name.

`HeadModel` makes heads, `cameras` looks at them, `dataset` writes pictures, `stream` trains on them.
"""
