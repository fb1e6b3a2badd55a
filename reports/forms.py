"""The forms in which one text is given: Markdown for a document, plain for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from keras_ab.reports import markdown, plain

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


@dataclass(frozen=True)
class Form:
    """How a form writes what a text is made of.

    Args:
        words: strangers' words, on one line.
        code: a name, on one line.
        strong: what is to be seen first.
        heading: above a part.
        paragraph: text, or an item of a list.
        table: headings and rows.
        brief: whether a line for each arm is enough.
    """

    words: Callable[[str], str]
    code: Callable[[str], str]
    strong: Callable[[str], str]
    heading: Callable[[str], str]
    paragraph: Callable[[str], str]
    table: Table
    brief: bool = False


FORMS = {
    "table": Form(
        plain.words,
        plain.words,
        str,
        plain.heading,
        plain.paragraph,
        plain.table,
        brief=True,
    ),
    "markdown": Form(
        markdown.escape, markdown.code, "**{}**".format, "## {}".format, str, markdown.table
    ),
}
"""What `keras-ab compare --format` can ask for."""
