"""A head of splats by rules: a parametric mesh, painted, given hair and clothes, and lit once.

Inside, lengths are the mesh's centimetres (y up, the face looks to +z) and colours linear light.
"""
