"""One self-contained HTML page: no script, no request, a strict content security policy."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.lab import text
from bench.lab.errors import RecordError
from reports import arms, cautions, figures, views
from reports.judged import JudgedRun, JudgedTrial, multiplicity, reason
from reports.legible import legible, short_names
from reports.loading import Runs, load
from reports.tables import case_text, gpu_names


def write_page(paths: str | Path | Iterable[str | Path], out: str | Path) -> Path:
    """Read runs and write the page on them.

    Args:
        paths: run files, folders, globs; see `reports.load`.
        out: where the page goes.

    Raises:
        RecordError: where no run can be read, or the page cannot be written.
    """
    html = page(load(paths))
    target = Path(out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordError(
            "the report can be written", f"{target}: {error.strerror}", "name another file with -o"
        ) from error
    return target


def page(runs: Runs) -> str:
    """Return the page on runs that were loaded."""
    environment = Environment(
        loader=PackageLoader("reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals |= {
        "text": text,
        "views": views,
        "arms": arms,
        "reason": reason,
        "case_text": case_text,
        "gpu_names": gpu_names,
    }
    trials = [trial for run in runs.runs for trial in run.trials]
    confidence = min(run.header.plan["confidence"] for run in runs.runs)
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        css=Markup(css),  # noqa: S704 - our own file
        policy=policy(css),
        runs=[_run_view(run, f"r{number}") for number, run in enumerate(runs.runs, 1)],
        refused=runs.refused,
        outcomes=Counter(str(claim.outcome) for trial in trials for claim in trial.claims),
        questions=list(dict.fromkeys(trial.data.declared.question for trial in trials)),
        many=multiplicity(trials, confidence),
        version=metadata.version("keras-ab"),
    )


def policy(css: str) -> str:
    """Return the content security policy: nothing but this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _finalize(value: Any) -> Any:
    """Make every string that reaches the page legible; what is markup already stays as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return legible(str(value))
    return value


def _run_view(run: JudgedRun, anchor: str) -> dict[str, Any]:
    names = short_names([trial.data.declared for trial in run.trials])
    return {
        "anchor": anchor,
        "run": run,
        "header": run.header,
        "cautions": cautions.of_run(run),
        "trials": [
            _trial_view(trial, name, f"{anchor}t{number}")
            for number, (trial, name) in enumerate(zip(run.trials, names, strict=True), 1)
        ],
    }


def _trial_view(trial: JudgedTrial, name: str, anchor: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        # a range too narrow or too wide to draw is widened by matplotlib, which warns of it
        warnings.filterwarnings("ignore", category=UserWarning, module="matplotlib")
        drawn = {
            "ratio": figures.ratio_figure(trial, f"{anchor}-ratio"),
            "rounds": figures.rounds_figure(trial, f"{anchor}-rounds"),
            "quality": figures.quality_figure(trial, f"{anchor}-quality"),
        }
    return {
        "anchor": anchor,
        "name": name,
        "trial": trial,
        "data": trial.data,
        "declared": trial.data.declared,
        "figures": drawn,
        "cautions": cautions.of_trial(trial),
    }
