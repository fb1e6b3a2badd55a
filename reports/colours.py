"""The colours of figures: stand-ins that are drawn with, and those of the page in their place."""

from __future__ import annotations

INK, MUTED, RULE, FLOOR, MARGIN, HOLLOW = (f"#0{i}0{i}0{i}" for i in range(1, 7))
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    FLOOR: "var(--floor)",
    MARGIN: "var(--margin)",
    HOLLOW: "var(--page)",
    "#070707": "var(--better)",
    "#080808": "var(--worse)",
    "#090909": "var(--equivalent)",
    "#0a0a0a": "var(--inconclusive)",
}
"""matplotlib knows no colours of a page; what is drawn by it is given these afterwards."""

VERDICTS = {
    "better": "#070707",
    "worse": "#080808",
    "equivalent": "#090909",
    "inconclusive": "#0a0a0a",
}
