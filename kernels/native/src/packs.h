// What host and device share: many tensors in one launch, within the 4 KiB of kernel parameters.
#pragma once
#include "tensors.h"

namespace kab {

constexpr int kThreads = 256;      // of every launch
// Columns that a block of a column kernel takes; its other axis is rows. As many float32 as one
// sector of memory holds: with fewer blocks, a kernel of 512 units is the work of 16 of them.
constexpr int kColumns = 8;
constexpr int kChunk = 8192;       // elements that a block of an elementwise kernel takes
constexpr int kTile = 4096;        // elements of one SM3 tile: lines of the last axis by its columns
constexpr int kStrips = 8;         // blocks to a row in cross-entropy's backward pass

// Tensor i owns the blocks [first[i], first[i + 1]).
template <class T>
struct Pack {
  static constexpr int kSize = int((4000 - 16) / (sizeof(T) + 4));
  T item[kSize];
  int first[kSize + 1];
  int n;
};

// Adafactor's intermediate numbers live in `scratch`: sums of w^2 and of u^2 for each row, the mean
// of r for each matrix, then max(eps, RMS(w)) and the scale of the step.
struct AdafactorItem {
  kab_adafactor_tensor t;
  double* scratch;
};

}  // namespace kab
