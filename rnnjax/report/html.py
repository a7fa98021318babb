"""HTML from the templates in ``rnnjax/report/templates``, with every value escaped unless it is ``Markup`` already."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rnnjax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> Markup:
    """The template ``<template>.html.jinja`` with ``values`` filled in."""
    return Markup(_environment().get_template(f"{template}.html.jinja").render(values))
