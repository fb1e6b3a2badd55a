"""The forms in which TensorFlow runs a function of tensors."""

from typing import Any

import pytest
import tensorflow as tf

FORMS: dict[str, Any] = {
    "eager": lambda f: f,
    "function": lambda f: tf.function(f),
    "jit": lambda f: tf.function(f, jit_compile=True),
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
