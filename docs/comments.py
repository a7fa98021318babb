"""Griffe extension: the comment after a field of a named tuple, ``h: jax.Array  # (..., H)``, is its description."""

import re
from typing import Any

import griffe

FIELD = re.compile(r"^(?P<name>\w+): [^#]*# (?P<description>.+)$")


class Comments(griffe.Extension):
    """Adds an "Attributes" section to the docstring of a class whose fields are explained by comments."""

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Called when all members of ``cls`` are known."""
        if cls.docstring is None or "Attributes:" in cls.docstring.value:
            return
        fields = [match for line in cls.lines if (match := FIELD.match(line.strip())) and match["name"] in cls.members]
        if fields:
            lines = [f"    {match['name']}: {match['description']}" for match in fields]
            cls.docstring.value += "\n\nAttributes:\n" + "\n".join(lines)
