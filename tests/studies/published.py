"""Do models that no one here wrote go through? Those of Keras' applications, as they come.

``python -m tests.studies.published`` looks at each, tries every technique that applies for two
steps in this process, and prints what did not work.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

MODELS = {
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "DenseNet121": 64,
    "ResNet50": 64,
    "NASNetMobile": 64,
    "ConvNeXtTiny": 64,
    "VGG16": 64,
    "Xception": 75,
}
"""Each with the pixels along an edge of its images."""

MAKE = """
import keras
import numpy as np


def make():
    model = keras.applications.{name}(weights=None, input_shape=({edge}, {edge}, 3), classes=10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, {edge}, {edge}, 3)).astype("float32")
    return dict(model=model, data=(images, rng.integers(0, 10, 32)), batch_size=4)
"""


def tried(name: str, edge: int) -> list[str]:
    """Return what happened with one model, a line each."""
    import keras

    from keras_ab.bench.own import look, techniques
    from keras_ab.bench.own.change import Tried, together
    from keras_ab.bench.own.subject import Subject
    from keras_ab.bench.own.training import Trained

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name.lower()}.py"
        file.write_text(MAKE.format(name=name, edge=edge))
        own = Subject(str(file), "make")
        found = look.found(look.look(own))
        lines = [f"{name}: {found}"]
        for technique in techniques.applicable(found):
            keras.utils.set_random_seed(0)
            try:
                Trained(own)(Tried(together([technique.change])), {"batches": 2}).observe()
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                lines.append(f"  {technique.name}: {type(error).__name__}: {str(error)[:300]}")
            keras.backend.clear_session()
    return lines


if __name__ == "__main__":
    for model in sys.argv[1:] or MODELS:
        print(*tried(model, MODELS[model]), sep="\n", flush=True)
