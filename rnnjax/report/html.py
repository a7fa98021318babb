"""HTML from the templates in ``rnnjax/report/templates``.

Every value is escaped unless it is ``Markup`` already, and control characters in texts are made ``printable``.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rnnjax.runtime.console import printable


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rnnjax.report"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(template: str, **values: object) -> Markup:
    """The template ``<template>.html.jinja`` with ``values`` filled in."""
    return Markup(_environment().get_template(f"{template}.html.jinja").render(values))
