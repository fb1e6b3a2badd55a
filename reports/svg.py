"""A matplotlib figure as inline SVG that obeys the page: its colours, its font, its policy."""

from __future__ import annotations

import io
import re
from collections import Counter
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from keras_ab.reports.colours import COLOURS, INK, MUTED, RULE
from keras_ab.reports.legible import legible

STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "axes.edgecolor": RULE,
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "patch.linewidth": 0,
}
_LEFT_OUT = {"metadata", "style"}
_KEPT = re.compile("fill|stroke|opacity|text-anchor|font-size")
_RADIUS = re.compile(r"M0 ([\d.]+) C")
"""How matplotlib begins a marker that is a circle."""
_DOT = re.compile(r"M(-?[\d.]+) (-?[\d.]+)H\1(?![\d.])")
_SPACED = re.compile(r" ?([LM]) ?")
_DECIMALS = re.compile(r"-?\d+\.\d+")
_POINT = re.compile(r"([ML])(-?[\d.]+) (-?[\d.]+)( ?z)?")
_NAMED = re.compile(r"#([^)]+)")
_CENTRE = {"x": "cx", "y": "cy"}


def inline(figure: Figure, name: str, says: str) -> Markup:
    """Return a figure as an ``<svg>`` without styles, scripts or names that another could share.

    Args:
        figure: drawn with the colours above.
        name: unique on the page.
        says: what the figure shows, for those who cannot see it.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - matplotlib wrote it just now
    for element in root.iter():
        _plain(element, name)
    markers = {path.attrib["id"]: path for path in root.iter("path") if path.get("id")}
    for group in root.iter("g"):
        _circles(group, markers)
    for path in root.iter("path"):
        _dots(path)
    _say_in_markers(root, markers)
    _keep_named(root, name)
    _prune(root)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": legible(says, 1000),
    }
    _inherit(root)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - escaped by it


def _plain(element: ElementTree.Element, name: str) -> None:
    """Turn one element's style into attributes, and its names into ones of this figure alone."""
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        if child.tag.rpartition("}")[2] in _LEFT_OUT:
            element.remove(child)
    old = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    new = {key: _local(value, name) for key, value in old.items() if key not in ("style", "id")}
    if "id" in old:
        new["id"] = f"{name}-{old['id']}"
    for part in filter(None, old.get("style", "").split(";")):
        key, _, value = (word.strip() for word in part.partition(":"))
        if _KEPT.match(key) and value != "miter":  # which is how lines join; the font is the page's
            new[key] = COLOURS.get(value, value)
    if re.match(r"rotate\(-?0 ", new.get("transform", "")):
        del new["transform"]
    element.attrib = {key: _shorter(key, value) for key, value in new.items()}
    element.tail = None
    if element.tag not in ("text", "tspan"):
        element.text = None


def _local(value: str, name: str) -> str:
    return re.sub(r"^(url\()?#", rf"\g<1>#{name}-", value)


def _shorter(key: str, value: str) -> str:
    """Round coordinates to a tenth of a point."""
    if key not in ("d", "x", "y", "transform"):
        return value
    rounded = _DECIMALS.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), value)
    return _level(_SPACED.sub(r"\1", " ".join(rounded.split())))


def _level(d: str) -> str:
    """Write level and upright lines of a path with their one coordinate, ``H5`` and ``V5``.

    Lines that go on in the same direction become one.
    """
    if "C" in d or "".join(found[0] for found in _POINT.finditer(d)) != d:
        return d
    lines: list[tuple[str, str]] = []  # direction, text
    at = ("", "")
    for found in _POINT.finditer(d):
        before, at = at, (found[2], found[3])
        direction, text = "", found[0]
        for command, along, across in (("H", 0, 1), ("V", 1, 0)):
            if found[1] == "L" and at[across] == before[across]:
                onwards = float(at[along]) >= float(before[along])
                direction, text = f"{command}{onwards}", f"{command}{at[along]}{found[4] or ''}"
                break
        if direction and lines[-1][0] == direction:
            lines.pop()
        lines.append((direction, text))
    return "".join(text for _, text in lines)


def _keep_named(root: ElementTree.Element, name: str) -> None:
    """Drop the names that nothing refers to, and shorten the others."""
    values = " ".join(v for e in root.iter() for k, v in e.attrib.items() if k != "id")
    names: dict[str, str] = {}
    for element in root.iter():
        old = element.attrib.pop("id", None)
        if old and f"#{old}" in values:
            element.set("id", names.setdefault(old, f"{name}-{len(names)}"))

    def renamed(found: re.Match[str]) -> str:
        return f"#{names.get(found[1], found[1])}"

    for element in root.iter():
        for key, value in element.attrib.items():
            if key != "id" and "#" in value:
                element.set(key, _NAMED.sub(renamed, value))


def _circles(group: ElementTree.Element, markers: dict[str, ElementTree.Element]) -> None:
    """Draw markers that are circles as such: shorter."""
    for mark in [child for child in group if child.tag == "use"]:
        marker = markers[mark.attrib["href"][1:]]
        if radius := _RADIUS.match(marker.get("d", "")):
            mark.tag = "circle"
            mark.attrib = {_CENTRE.get(k, k): v for k, v in mark.attrib.items() if k != "href"}
            mark.set("r", radius[1])


def _dots(path: ElementTree.Element) -> None:
    """Draw lines of no length from place to place, in tenths of a point: far shorter."""
    found = list(_DOT.finditer(path.get("d", "")))
    if not found or "".join(dot[0] for dot in found) != path.get("d"):
        return
    places, last = [], (0, 0)
    for dot in found:
        x, y = (round(10 * float(at)) for at in dot.groups())
        places.append(f"m{x - last[0]} {y - last[1]}h0")
        last = x, y
    path.attrib |= {
        "d": "".join(places).replace(" -", "-"),
        "transform": "scale(.1)",
        "stroke-width": f"{10 * float(path.get('stroke-width', 1)):g}",
    }


def _say_in_markers(root: ElementTree.Element, markers: dict[str, ElementTree.Element]) -> None:
    """Say once in a marker, a tick, what is true of all its uses."""
    uses: dict[str, list[ElementTree.Element]] = {}
    for use in root.iter("use"):
        uses.setdefault(use.attrib["href"], []).append(use)
    for href, each in uses.items():
        marker = markers[href[1:]]
        for key, value in [item for item in each[0].attrib.items() if _KEPT.match(item[0])]:
            alike = all(use.get(key) == value for use in each)
            if alike and marker.attrib.setdefault(key, value) == value:
                for use in each:
                    del use.attrib[key]


def _inherit(root: ElementTree.Element) -> None:
    """Say once for all texts what is true of most, where every one of them says something."""
    texts = list(root.iter("text"))
    for key in ("font-size", "text-anchor"):
        values = Counter(text.get(key) for text in texts)
        ((most, _),) = values.most_common(1) or [(None, 0)]
        if most is not None and None not in values:
            root.set(key, most)
            for text in texts:
                if text.get(key) == most:
                    del text.attrib[key]


def _prune(element: ElementTree.Element) -> None:
    """Drop what shows nothing: empty groups, paths without fill and stroke, unused markers."""
    for child in list(element):
        _prune(child)
        if child.tag == "g" and not child.attrib:  # a group that says nothing
            at = list(element).index(child)
            element[at : at + 1] = list(child)
            continue
        unseen = child.get("fill") == "none" and "stroke" not in {*child.keys(), *element.keys()}
        unused = element.tag == "defs" and child.get("id") is None
        empty = child.tag in ("g", "defs") and not len(child)
        if empty or (child.tag == "path" and (unseen or unused)):
            element.remove(child)
