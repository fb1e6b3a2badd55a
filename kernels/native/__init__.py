"""Fused kernels in C++ and CUDA behind XLA's FFI, one library for TensorFlow and JAX.

Importing this package imports no framework and builds nothing; see README.md for the route.
"""
