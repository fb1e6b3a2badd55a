"""Tells Keras which device PyTorch is to use, where whoever imports this was told one.

Keras asks PyTorch for a GPU when it is imported. PyTorch asks NVML, unless what it was told is an
instance of a GPU that MIG has parted: then it opens CUDA, and a process that was forked from one
that has done so cannot use it.
"""

import os

from keras_ab.bench.lab.worker.backends import told_a_gpu

if told_a_gpu():
    os.environ.setdefault("KERAS_TORCH_DEVICE", "cuda")
