"""Keeps TensorFlow out of the process that imports this, as if it were not installed.

Keras seeds TensorFlow too where it is there. PyTorch's CUDA build brings Triton, and Triton 3.9 and
TensorFlow 2.21 an LLVM each that end a process they meet in ("registered more than once").
"""

import sys

sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
