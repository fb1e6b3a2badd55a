// Adaptive gradient clipping's factors, Brock, De, Smith and Simonyan (2021), arXiv 2102.06171,
// equation 3: by how much to scale each unit's gradient.
//
// Factors, not clipped gradients: XLA fuses the product into the update that follows, and a second
// gradient of every variable's size is neither allocated nor written.
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

constexpr int64_t kBlock = 65536;

// One unit that owns the whole tensor: a plain sum, split into lanes so that it vectorises. Sums
// are double: a gradient of 1e20 squares to infinity in float32.
template <class T>
KAB_INLINE double squares(const T* x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const double value = kab::load(x[i]);
    sum += value * value;
  }
  return sum;
}

// Adds rows [begin, end) to the units' sums of squares, of w and then of g.
template <class T>
KAB_INLINE void sum_rows_as(const kab_clip_tensor* t, int64_t begin, int64_t end, double* sums,
                            int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(t->w), *g = static_cast<const T*>(t->g);
  double *w_sums = sums, *g_sums = sums + t->units;
  if (t->units == 1) {
    *w_sums = squares(w + begin, end - begin);
    *g_sums = squares(g + begin, end - begin);
    return;
  }
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * t->units;
#pragma GCC ivdep
    for (int64_t k = 0; k < t->units; ++k) {
      const double x = kab::load(w[at + k]), y = kab::load(g[at + k]);
      w_sums[k] += x * x;
      g_sums[k] += y * y;
    }
  }
}

KAB_PER_DTYPE(sum_rows,
              (const kab_clip_tensor* t, int64_t begin, int64_t end, double* sums, int32_t dtype),
              (t, begin, end, sums, dtype))

float factor(double w_squares, double g_squares, double clipping, double epsilon) {
  const double limit = clipping * std::max(std::sqrt(w_squares), epsilon);
  const double norm = std::sqrt(g_squares);
  return norm > limit ? float(limit / norm) : 1.f;  // a NaN norm leaves the gradient as it is
}

// At least 16 rows, so that the blocks' sums stay smaller than the tensor.
int64_t rows_a_block(const kab_clip_tensor& t) {
  return std::max<int64_t>(16, kBlock / std::max<int64_t>(1, t.units));
}

}  // namespace

extern "C" void kab_adaptive_clip(const kab_clip_tensor* tensors, int64_t count, double clipping,
                                  double epsilon, const kab_workers* workers) {
  kab::Blocks blocks;
  std::vector<int64_t> first{0};  // each tensor's first sum
  int64_t elements = 0;
  for (int64_t i = 0; i < count; ++i) {
    const kab_clip_tensor& t = tensors[i];
    const int64_t own = kab::ceil_div(t.fan_in, rows_a_block(t));
    blocks.add(own);
    first.push_back(first.back() + own * 2 * t.units);
    elements += t.fan_in * t.units;
  }
  std::vector<double> sums(first.back(), 0.);
  kab::for_each_block(workers, blocks.total(), elements, [&](int64_t, int64_t block) {
    const auto place = blocks.find(block);
    const kab_clip_tensor& t = tensors[place.tensor];
    const int64_t rows = rows_a_block(t), begin = place.block * rows;
    double* own = sums.data() + first[place.tensor] + place.block * 2 * t.units;
    sum_rows(&t, begin, std::min(t.fan_in, begin + rows), own, t.dtype);
  });
  for (int64_t i = 0; i < count; ++i) {
    const kab_clip_tensor& t = tensors[i];
    for (int64_t k = 0; k < t.units; ++k) {
      double w = 0, g = 0;  // in the order of the blocks: the same whatever the threads
      for (int64_t at = first[i]; at < first[i + 1]; at += 2 * t.units) {
        w += sums[at + k];
        g += sums[at + t.units + k];
      }
      t.factor[k] = factor(w, g, clipping, epsilon);
    }
  }
}
