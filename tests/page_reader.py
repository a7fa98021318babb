"""A written page taken apart: its interactive figures with their data, and whatever it would load from elsewhere."""

import base64
import gzip
import html
import json
import re

import numpy as np


def bare(page):
    """The page without what stands in its scripts."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", page, flags=re.DOTALL)


def outside(page):
    """What a browser would load or follow outside of the file: addresses that are neither data nor anchors."""
    page = bare(page)
    styles = " ".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    loaded = re.findall(r"""\b(?:src|srcset|href|action|poster)\s*=\s*["']?([^"'>\s]+)""", page)
    result = [address[:60] for address in loaded if not address.startswith(("data:", "#"))]
    return (
        result + re.findall(r"@import[^;]*|url\([^)]*\)", styles) + re.findall(r"<(?:link|iframe|object|embed)\b", page)
    )


def models(page):
    """Every Bokeh object in the page by its id, in order, as it stands in the page's JSON."""
    (code,) = re.findall(r"const docs_json = '(.*?)';\n", page)
    result = {}

    def walk(value):
        if isinstance(value, dict):
            if "attributes" in value and "id" in value:
                result[value["id"]] = value
            value = value.values()
        if not isinstance(value, str | int | float | bool | None):
            for part in value:
                walk(part)

    walk(json.loads(html.unescape(code.replace("\\\\", "\\"))))
    return result


def of_kind(page, name):
    """The attributes of all objects of one Bokeh class."""
    return [model["attributes"] for model in models(page).values() if model["name"] == name]


def columns(source):
    """The data of a ColumnDataSource's attributes: arrays, or lists of arrays."""
    return {name: decoded(column) for name, column in dict(source["data"]["entries"]).items()}


def decoded(value):
    if isinstance(value, dict) and value.get("type") == "ndarray":
        data = value["array"]
        raw = data["data"] if isinstance(data, dict) else data
        if value["dtype"] == "object":
            return [decoded(part) for part in raw]
        packed = base64.b64decode(raw)
        unpacked = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed  # newer versions of Bokeh pack
        return np.frombuffer(unpacked, np.dtype(value["dtype"])).reshape(value["shape"])
    return [decoded(part) for part in value] if isinstance(value, list) else value


def logs(page):
    """Of each gradient log in the page its steps (S,) and log10 norms (S, L), ∞ where nothing was measured."""
    sources = [columns(source) for source in of_kind(page, "ColumnDataSource")]
    return [(np.array(source["step"]), np.concatenate(source["image"])) for source in sources if "image" in source]
