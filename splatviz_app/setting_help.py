"""What settings mean: the comments over the fields of their types, which are the command line's help too."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cache


@cache
def comments_of(kind: type) -> Mapping[str, str]:
    """The comment over each field of a dataclass that has one, by the field's name."""
    said: list[str] = []
    found: dict[str, str] = {}
    names = {entry.name for entry in dataclasses.fields(kind)}
    for line in inspect.getsource(kind).splitlines():
        line = line.strip()
        if line.startswith("#"):
            said.append(line.lstrip("# "))
            continue
        name = line.partition(":")[0]
        if name in names and said:
            found[name] = " ".join(said)
        said = []
    return found
