"""Ways of forging a sentence, a page or a run; each is a function of what is there and of dice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from keras_ab.bench.lab.record.orders import orders
from keras_ab.bench.lab.record.run_file import RunWriter, read_run

Lines = list[dict[str, Any]]
_DIGIT = re.compile(r"\d")


def other_digit(text: str, place: int) -> str:
    """Return text with the digit at a place changed."""
    return f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"


def _a_digit(text: str, dice: Random, begin: str = "", end: str = r"\Z") -> str:
    """Return text with one digit changed, between two marks where these are given."""
    within = re.search(rf"{begin}(.*?){end}", text, re.DOTALL)
    assert within, (begin, end)
    places = [found.start() for found in _DIGIT.finditer(text, within.start(1), within.end(1))]
    return other_digit(text, dice.choice(places))


def _inside(text: str, dice: Random, mark: str) -> str:
    """Return text with a mark put into one of its numbers."""
    place = dice.choice([found.start() + 1 for found in re.finditer(r"\d\d", text)])
    return f"{text[:place]}{mark}{text[place:]}"


SENTENCES: dict[str, Callable[[str, Random], str]] = {
    "a digit of the result": lambda s, dice: _a_digit(s, dice, "`plain`: ", "×"),
    "a digit of the interval": lambda s, dice: _a_digit(s, dice, r"\\\[", r"\\\]"),
    "any digit": _a_digit,
    "the verdict": lambda s, _: s.replace(", better.", ", worse."),
    "the arm": lambda s, _: s.replace("`jit`", "`plain`", 1),
    "the machine": lambda s, dice: s.replace("8-core", f"{dice.choice('2469')}-core"),
    "a version": lambda s, dice: _a_digit(s, dice, "TensorFlow ", ","),
    "the digest": lambda s, dice: _a_digit(s, dice, "SHA-256 ", " "),
    "the id of the run": lambda s, _: s.replace("keras-ab:true/", "keras-ab:false/"),
    "the id of the number": lambda s, _: s.replace("/step_time_s", "/weights_bytes"),
    "a digit glued to it": lambda s, dice: dice.choice("0123456789") + s,
    "a backslash in a number": lambda s, dice: _inside(s, dice, "\\"),
    "struck through": lambda s, _: f"~~{s}~~",
    "in a comment, another claim shown": lambda s, _: f"It is 40 % faster. <!-- {s} -->",
    "“It is false that” before it": lambda s, _: f"It is false that {s}",
    "a retraction after it": lambda s, _: f"{s} This was withdrawn.",
}
"""What may be done to a true sentence, by its name in the table."""

PAGES: dict[str, Callable[[str, Random], str]] = {
    "any digit": lambda page, dice: _a_digit(page, dice, "<body>"),
    "a verdict": lambda page, _: page.replace(">better<", ">worse<", 1),
    "a headline before it": lambda page, _: page.replace("<main>", "<main><h1>40 % faster</h1>"),
    "a notice of files left out": lambda page, _: page.replace(
        "<main>\n", '<main>\n<section class="notice left-out"><p>40 % faster</p></section>\n'
    ),
}


def rounds(lines: Lines, block: int | None = None) -> Lines:
    """Return the rounds of a run, or of one of its blocks."""
    return [each for each in lines if each["kind"] == "round" and block in (None, each["block"])]


def _blocks(lines: Lines) -> int:
    return len([each for each in lines if each["kind"] == "block"])


def _seconds(lines: Lines, change: Callable[[float], float], arm: str = "jit") -> Lines:
    for each in rounds(lines):
        each["step_time_s"][arm] = change(each["step_time_s"][arm])
    return lines


def a_sample(lines: Lines, dice: Random) -> Lines:
    times = dice.choice(rounds(lines))["step_time_s"]
    times["jit"] *= 1.5
    return lines


def faster(lines: Lines, _dice: Random) -> Lines:
    return _seconds(lines, lambda seconds: 0.9 * seconds)


def invented(lines: Lines, dice: Random) -> Lines:
    return _seconds(lines, lambda _: 0.005 * dice.lognormvariate(0, 0.01))


def _slowest(lines: Lines) -> list[int]:
    """Return the numbers of the slowest round of each block."""
    blocks = range(_blocks(lines))
    return [max(rounds(lines, n), key=lambda r: r["step_time_s"]["jit"])["round"] for n in blocks]


def without_slow_rounds(lines: Lines, _dice: Random) -> Lines:
    slow = list(enumerate(_slowest(lines)))
    return [x for x in lines if x["kind"] != "round" or (x["block"], x["round"]) not in slow]


def without_slow_rounds_renumbered(lines: Lines, dice: Random) -> Lines:
    kept = without_slow_rounds(lines, dice)
    for block in range(_blocks(lines)):
        for number, each in enumerate(rounds(kept, block)):
            each["round"] = number
    return kept


def without_slow_rounds_in_order(lines: Lines, dice: Random) -> Lines:
    """Drop them as one who knows how orders follow from the seed, and writes those."""
    kept = without_slow_rounds_renumbered(lines, dice)
    head = kept[0]
    for block in range(_blocks(kept)):
        expected = orders(head["plan"]["seed"], rounds(kept)[0]["trial"], block, ["plain", "jit"])
        for each, order in zip(rounds(kept, block), expected, strict=False):
            each["order"] = order
    return kept


def without_a_block(lines: Lines, dice: Random) -> Lines:
    gone = dice.randrange(_blocks(lines) - 1)
    return [each for each in lines if each.get("block") != gone]


def without_the_last_blocks(lines: Lines, _dice: Random) -> Lines:
    return [each for each in lines if each.get("block", 0) < _blocks(lines) - 2]


def swapped_blocks(lines: Lines, dice: Random) -> Lines:
    a, b = dice.sample(range(_blocks(lines)), 2)
    head, *rest = lines
    for each in rest:
        if "block" in each:
            each["block"] = {a: b, b: a}.get(each["block"], each["block"])
    return [head, *sorted(rest, key=lambda x: x.get("block", 99 if x["kind"] == "end" else -1))]


def a_copied_block(lines: Lines, dice: Random) -> Lines:
    source, target = dice.sample(range(_blocks(lines)), 2)
    for old, new in zip(rounds(lines, source), rounds(lines, target), strict=True):
        new["step_time_s"] = dict(old["step_time_s"])
    return lines


def a_copied_block_with_noise(lines: Lines, dice: Random) -> Lines:
    for each in rounds(a_copied_block(lines, dice)):
        for arm, seconds in each["step_time_s"].items():
            each["step_time_s"][arm] = seconds * dice.lognormvariate(0, 0.001)
    return lines


def without_control(lines: Lines, _dice: Random) -> Lines:
    for each in lines:
        if each["kind"] == "block":
            each["values"].pop("control")
    return lines


def without_guards(lines: Lines, _dice: Random) -> Lines:
    return [each for each in lines if each["kind"] != "guard"]


def a_guard_that_held(lines: Lines, _dice: Random) -> Lines:
    for each in lines:
        if each["kind"] == "guard" and each["relative_error"]:
            each["relative_error"] /= 10
    return lines


def renamed_arms(lines: Lines, _dice: Random) -> Lines:
    """Give each arm out as the other."""
    text = json.dumps(lines)
    for old, new in (('"plain"', '"\\u0000"'), ('"jit"', '"plain"'), ('"\\u0000"', '"jit"')):
        text = text.replace(old, new)
    return json.loads(text)


def header_with(**facts: Any) -> Callable[[Lines, Random], Lines]:
    """Return what changes facts of the header, nested by two underscores."""

    def forge(lines: Lines, _dice: Random) -> Lines:
        for name, value in facts.items():
            *path, last = name.split("__")
            inner = lines[0]
            for part in path:
                inner = inner[part]
            inner[last] = value
        return lines

    return forge


def another_bound(lines: Lines, _dice: Random) -> Lines:
    for each in lines:
        for claim in each.get("claims", ()):
            claim["at_most"] = 2.0
    return lines


def other_code(lines: Lines, _dice: Random) -> Lines:
    for each in lines:
        if each["kind"] == "imported":
            each["files"] = dict.fromkeys(each["files"], "0" * 64)
    return lines


RUNS: dict[str, Callable[[Lines, Random], Lines]] = {
    "one sample": a_sample,
    "an arm 10 % faster throughout": faster,
    "an arm's samples invented": invented,
    "slow rounds dropped": without_slow_rounds,
    "slow rounds dropped, the rest renumbered": without_slow_rounds_renumbered,
    "slow rounds dropped, orders written anew": without_slow_rounds_in_order,
    "a block dropped": without_a_block,
    "the last two blocks dropped": without_the_last_blocks,
    "two blocks swapped": swapped_blocks,
    "a block copied over another": a_copied_block,
    "the same, with noise": a_copied_block_with_noise,
    "arms swapped": renamed_arms,
    "the control taken out": without_control,
    "the checks of guards taken out": without_guards,
    "a guard's error made smaller": a_guard_that_held,
    "a claim's bound": another_bound,
    "the seed": header_with(plan__seed=7),
    "the margin": header_with(plan__margin=0.5),
    "the machine": header_with(machine__cpu="Another processor"),
    "the versions": header_with(environment__packages={"tensorflow": "9.9.9"}),
    "the date": header_with(started="2020-01-01T00:00:00+00:00"),
    "the id": header_with(run="another"),
    "the digests of its code": other_code,
}
"""What may be done to a run, by its name in the table."""


def write_forged(
    true: Path, target: Path, forge: Callable[[Lines, Random], Lines], dice: Random
) -> None:
    """Write a run of which the records were forged, with the seal that it had."""
    lines = [json.loads(line) for line in true.read_text(encoding="utf-8").splitlines()]
    *body, seal = forge(lines[:-1], dice) + lines[-1:]
    target.write_text("".join(f"{json.dumps(line)}\n" for line in [*body, seal]), encoding="utf-8")


def seal_anew(path: Path) -> None:
    """Give a forged run the seal that fits it: no key is needed for that."""
    written = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(written[:-1]), encoding="utf-8")
    RunWriter.reopen(read_run(path)).seal()
