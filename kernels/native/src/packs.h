// What host and device share: many tensors in one launch, within the 4 KiB of kernel parameters.
#pragma once
#include "tensors.h"

namespace kab {

constexpr int kThreads = 256;      // of every launch
// Columns that a block of a column kernel takes; its other axis is rows. As many float32 as one
// sector of memory holds: with fewer blocks, a kernel of 512 units is the work of 16 of them.
constexpr int kColumns = 8;
constexpr int kChunk = 8192;       // elements that a block of an elementwise kernel takes
constexpr int kStrips = 8;         // blocks to a row in cross-entropy's backward pass

// Tensor i owns the blocks [first[i], first[i + 1]).
template <class T>
struct Pack {
  static constexpr int kSize = int((4000 - 16) / (sizeof(T) + 4));
  T item[kSize];
  int first[kSize + 1];
  int n;
};

constexpr int kDown = 16;          // rows that a thread of a tile goes down

// How Adafactor's first pass and SM3 cut each matrix into tiles, one a block: `width` threads side by
// side, each with `step` columns (what 16 bytes hold, or one where rows are not aligned), and kDown
// rows below each.
struct Tiling {
  int step, width;
  int64_t across, down;  // tiles of a matrix
};

typedef unsigned long long Bits;

inline Bits bits_of(const void* p) { return reinterpret_cast<Bits>(p); }

// `all` has a bit where a pointer has it, or the bytes of a row.
inline Tiling tiling_of(int64_t rows, int64_t cols, int dtype, Bits all) {
  const int size = dtype == KAB_FLOAT32 ? 4 : 2;
  Tiling tiling{(all | Bits(cols * size)) % 16 ? 1 : 16 / size, 1, 0, 0};
  while (tiling.width < kThreads && tiling.width * tiling.step < cols) tiling.width *= 2;
  const int64_t wide = tiling.width * tiling.step, tall = kThreads / tiling.width * kDown;
  tiling.across = (cols + wide - 1) / wide;
  tiling.down = (rows + tall - 1) / tall;
  return tiling;
}

inline Tiling tiling_of(const kab_adafactor_tensor& t) {
  return tiling_of(t.rows, t.cols, t.dtype, bits_of(t.g) | bits_of(t.w));
}

// SM3's matrix has the last axis for columns, and all lines along it for rows.
inline Tiling tiling_of(const kab_sm3_tensor& t) {
  const int64_t n = t.dims[t.rank - 1];
  const Bits all = bits_of(t.w) | bits_of(t.g) | bits_of(t.momentum) | bits_of(t.w_out) |
                   bits_of(t.momentum_out) | bits_of(t.accumulator[t.rank - 1]);
  return tiling_of(t.n / n, n, t.dtype, all);
}

// Adafactor's intermediate numbers live in `scratch`. Of a tensor: sums of w^2 of each tile and of
// u^2 of each row, the mean of r for each matrix, max(eps, RMS(w)) and the scale of the step; then in
// float32 sums of g^2 over each row of each tile, and over each column of each tile.
struct AdafactorItem {
  kab_adafactor_tensor t;
  Tiling tiling;
  double* scratch;
};

}  // namespace kab
