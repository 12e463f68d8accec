"""Edits of a head between the generator and the picture: frozen values, scripts among them.

`values` is what a document holds, `apply` what the pipeline calls; the head that came in is never touched.
"""
