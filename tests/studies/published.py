"""Do models that no one here wrote go through ``keras-ab try``? Keras' code examples, as they are.

``python -m tests.studies.published CHECKOUT KEPT [NAME …]`` takes them from a checkout of
https://github.com/keras-team/keras-core at the commit below. What came of each goes into the file
KEPT, a line of JSON, and from the last of each docs/published-models.md is written, once all are
there: what was found in it and which of the techniques that apply to it it did not survive, tried
for two steps. An example runs as it is up to its first `fit`, in which its
model, data and batch size are caught. Only what it would load from elsewhere is made up, as random
numbers of the same shape and type, and `keras_core` is called `keras`, as the package has been
since. With a technique that worked, the command itself is run to its advice. Two examples run side
by side, so no times are told; each part of one has a quarter of an hour.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

EXAMPLES = (
    "vision/mnist_convnet",
    "vision/cct",
    "vision/eanet",
    "vision/mlp_image_classification",
    "vision/image_classification_with_vision_transformer",
    "vision/autoencoder",
    "vision/conv_lstm",
    "timeseries/timeseries_classification_from_scratch",
    "timeseries/timeseries_classification_transformer",
    "nlp/bidirectional_lstm_imdb",
    "nlp/addition_rnn",
    "tensorflow/generative/vae",
    "tensorflow/keras_recipes/antirectifier",
    "tensorflow/keras_recipes/subclassing_conv_layers",
    "tensorflow/keras_recipes/trainer_pattern",
    "tensorflow/vision/involution",
    "tensorflow/vision/mixup",
    "generative/text_generation_with_miniature_gpt",
)
COMMIT = "3a464f904dc8dd09de9c51d248a7fe7c575d7f3e"
LIMIT_S = 900
PAGE = Path(__file__).parents[2] / "docs" / "published-models.md"

MAKE = '''
"""Makes the model of {example}, which is caught as it is about to be trained."""

import runpy
from pathlib import Path
from unittest import mock

import keras
import numpy as np

HERE = Path(__file__).parent
COUNT = 1024


class Caught(Exception):
    pass


def caught(model, x=None, y=None, batch_size=None, **others):
    raise Caught(model, x, y, batch_size)


def images(*shape, classes):
    def load_data(*args, **kwargs):
        rng = np.random.default_rng(0)
        labels = (COUNT, 1) if len(shape) == 3 else (COUNT,)
        part = rng.integers(0, 256, (COUNT, *shape), np.uint8), rng.integers(0, classes, labels)
        return part, part

    return load_data


def reviews(num_words=20000, **others):
    rng = np.random.default_rng(0)
    texts = [list(rng.integers(1, num_words, rng.integers(20, 300))) for _ in range(COUNT)]
    part = np.array(texts, dtype=object), rng.integers(0, 2, COUNT)
    return part, part


def table(*args, **kwargs):
    rng = np.random.default_rng(0)
    return np.column_stack([rng.choice([-1.0, 1.0], COUNT), rng.normal(size=(COUNT, 500))])


def film(*args, **kwargs):
    path = HERE / "film.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (20, 40, 64, 64), np.uint8))
    return str(path)


def texts():
    for folder in ("train/pos", "train/neg", "test/pos", "test/neg"):
        (HERE / "aclImdb" / folder).mkdir(parents=True, exist_ok=True)
        words = np.random.default_rng(0).choice(["a", "good", "film", "this", "is", "not"], 100)
        for number in range(100):
            (HERE / "aclImdb" / folder / f"{{number}}.txt").write_text(" ".join(words))


ELSEWHERE = {{
    "keras.datasets.mnist.load_data": images(28, 28, classes=10),
    "keras.datasets.fashion_mnist.load_data": images(28, 28, classes=10),
    "keras.datasets.cifar10.load_data": images(32, 32, 3, classes=10),
    "keras.datasets.cifar100.load_data": images(32, 32, 3, classes=100),
    "keras.datasets.imdb.load_data": reviews,
    "keras.utils.get_file": film,
    "keras.utils.plot_model": lambda *args, **kwargs: None,
    "numpy.loadtxt": table,
    "matplotlib.pyplot.show": lambda *args, **kwargs: None,
    "keras.Model.fit": caught,
}}


def make():
    import contextlib
    import io
    import os

    import matplotlib

    matplotlib.use("Agg")
    texts()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(HERE))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(mock.patch.dict(os.environ))
        for name, instead in ELSEWHERE.items():
            stack.enter_context(mock.patch(name, instead))
        try:
            runpy.run_path(str(HERE / "example.py"))
        except Caught as found:
            model, x, y, batch_size = found.args
    data = x if y is None else (x, y)
    return dict(model=model, data=data, batch_size=batch_size or 32)
'''


@dataclass(frozen=True)
class Outcome:
    """What came of one example.

    Args:
        found: its model in a few words, empty where it could not be made.
        worked: the techniques that apply to it and that it survived.
        left: those for which there was no time.
        troubles: by technique, or ``make``, or ``try``: what it did not survive.
    """

    found: str
    worked: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    troubles: dict[str, str] = field(default_factory=dict)


def trying(file: str) -> Iterator[Outcome]:
    """Yield what was found in a subject, then what is known after each technique's trial."""
    import keras

    from keras_ab.bench.own import look, techniques
    from keras_ab.bench.own.change import Tried, together
    from keras_ab.bench.own.experiments import batches_a_step
    from keras_ab.bench.own.subject import Subject
    from keras_ab.bench.own.training import Trained

    own = Subject(file, "make")
    try:
        found = look.found(look.look(own))
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        yield Outcome("", troubles={"make": f"{type(error).__name__}: {error}"})
        return
    loss = found.loss or "a loss of its own"
    model = f"{found.parameters:,} parameters, {found.optimizer}, {loss}, batches of {found.batch}"
    applicable = techniques.applicable(found)
    names = tuple(technique.name for technique in applicable)
    case = {"batches": batches_a_step(found)}
    outcome = Outcome(model, left=names)
    yield outcome
    for technique in applicable:
        keras.utils.set_random_seed(0)
        try:
            Trained(own)(Tried(together([technique.change])), case).observe()
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            trouble = {technique.name: f"{type(error).__name__}: {error}"}
            outcome = replace(outcome, troubles=outcome.troubles | trouble)
        else:
            outcome = replace(outcome, worked=(*outcome.worked, technique.name))
        keras.backend.clear_session()
        outcome = replace(outcome, left=outcome.left[1:])
        yield outcome


def in_own_process(example: str, checkout: Path, limit_s: float = LIMIT_S) -> Outcome:
    """Return what came of an example: of each technique, then of the command itself with one."""
    source = (checkout / "examples" / "keras_io" / f"{example}.py").read_text(encoding="utf-8")
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "example.py").write_text(source.replace("keras_core", "keras"), encoding="utf-8")
        subject = folder / f"{Path(example).name}.py"
        subject.write_text(MAKE.format(example=example), encoding="utf-8")
        outcome = techniques_of(subject, limit_s)
        if not outcome.worked:
            return outcome
        trouble = advice_on(subject, outcome.worked[0], limit_s)
        return replace(outcome, troubles=outcome.troubles | trouble)


def techniques_of(subject: Path, limit_s: float) -> Outcome:
    """Return the last that `trying` yields in time, in a process of its own, or how that ended."""
    arguments = ("-m", "tests.studies.published", "--one", str(subject))
    code, said, word = _run(arguments, limit_s)
    *_, last = ["", *said.splitlines()]
    outcome = Outcome(**json.loads(last)) if last else Outcome("")
    if code:
        ended = {(*outcome.left, "make")[0]: f"exit {code}: {word}"}
        return replace(outcome, troubles=outcome.troubles | ended)
    if not outcome.found and not outcome.troubles:
        return Outcome("", troubles={"make": f"not made within {limit_s:g} s"})
    return outcome


def advice_on(subject: Path, technique: str, limit_s: float) -> dict[str, str]:
    """Run ``keras-ab try`` with one technique; return what it says where it ends without advice."""
    asked = ("--techniques", technique, "--budget", "1", "--runs", str(subject.parent / "runs"))
    code, said, word = _run(("-m", "keras_ab", "try", f"{subject}:make", *asked), limit_s)
    if code == 0 and f"advice for {subject.name}:make" in said:
        return {}
    return {"try": f"no advice within {limit_s:g} s" if code is None else word}


def _run(arguments: Sequence[str], limit_s: float) -> tuple[int | None, str, str]:
    """Run Python; return its exit status, None where time ended, what it says, its last error."""
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        child = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=err)
        code: int | None = None
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        out.seek(0)
        err.seek(0)
        *_, word = ["no word", *err.read().strip().splitlines()]
        return code, out.read(), word


def page(outcomes: Mapping[str, Outcome], commit: str, where: str) -> str:
    """Return the page of what came of each example."""
    rows = [
        f"| {name} | {outcome.found or 'could not be made'} | {len(outcome.worked)} | "
        f"{_codes(outcome.troubles) or ('none' if outcome.worked else 'none was tried in time')} |"
        for name, outcome in outcomes.items()
    ]
    troubles = [
        f"- {name}, `{technique}`: {_in_a_line(said)}"
        for name, outcome in outcomes.items()
        for technique, said in outcome.troubles.items()
    ]
    through = sum(bool(one.worked) and "try" not in one.troubles for one in outcomes.values())
    late = [
        f"- {name}: {_codes(outcome.left)} not tried within {LIMIT_S // 60} minutes"
        for name, outcome in outcomes.items()
        if outcome.left
    ]
    return "\n".join(
        [
            "# Models that nobody here wrote",
            "",
            "Do models as people write them go through `keras-ab try`? Code examples of",
            f"[keras-core](https://github.com/keras-team/keras-core) at commit `{commit}`, each",
            "run as it is up to its first `fit`, with random numbers in place of data that lies",
            "elsewhere. Every technique that applies to the model is applied to it and trains two",
            "batches; with one that worked, the whole of `keras-ab try` is run to its advice, for",
            f"which there are {LIMIT_S // 60} minutes. Up to two ran side by side, so no times are",
            "told. This page is made by",
            "`python -m tests.studies.published CHECKOUT KEPT`.",
            "",
            f"**{through} of {len(outcomes)} went through to their advice.**",
            "",
            "| example | model | techniques that worked | what did not |",
            "|---|---|---|---|",
            *rows,
            "",
            "## What did not work",
            "",
            *(troubles + late or ["All of it worked."]),
            "",
            where,
            "",
        ]
    )


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _in_a_line(said: str, most: int = 300) -> str:
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", said).split())
    words = plain.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")  # cut off, no pair
    return words if len(words) <= most else f"{words[:most]} …"


def main(arguments: Sequence[str]) -> None:
    """Try one subject, or all examples and write the page."""
    if arguments[:1] == ["--one"]:
        for outcome in trying(arguments[1]):
            print(json.dumps(asdict(outcome)), flush=True)
        return
    checkout, kept, names = Path(arguments[0]), Path(arguments[1]), arguments[2:] or EXAMPLES

    def keep(name: str) -> None:
        outcome = in_own_process(name, checkout)
        with kept.open("a", encoding="utf-8") as file:
            print(json.dumps({name: asdict(outcome)}), file=file)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(keep, names))
    outcomes: dict[str, Outcome] = {}
    for line in kept.read_text(encoding="utf-8").splitlines():
        outcomes |= {name: Outcome(**told) for name, told in json.loads(line).items()}
    if missing := set(EXAMPLES) - set(outcomes):
        sys.exit(f"the page is not written: {', '.join(sorted(missing))} not tried yet")
    where = f"TensorFlow {version('tensorflow-cpu')}, Keras {version('keras')}."
    made = page({name: outcomes[name] for name in EXAMPLES}, COMMIT, where)
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
