// The kernels by name, as XLA knows them; each has a handler for the CPU and one for CUDA.
#pragma once

#define KAB_TARGETS(X)          \
  X(adam)                       \
  X(sm3)                        \
  X(adafactor)                  \
  X(adaptive_clip)              \
  X(cross_entropy_forward)      \
  X(cross_entropy_backward)     \
  X(standardize_forward)        \
  X(standardize_backward)       \
  X(batch_statistics_forward)   \
  X(batch_statistics_backward)
