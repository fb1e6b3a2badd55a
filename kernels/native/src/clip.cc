// Adaptive gradient clipping, Brock, De, Smith and Simonyan (2021), arXiv 2102.06171, equation 3.
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

// Both strips of one block stay in a core's cache between the two passes over the gradient.
constexpr int64_t kStripElements = 65536;

int64_t strip_width(const kab_clip_tensor& t) {
  const int64_t fits = kStripElements / std::max<int64_t>(1, t.fan_in) / 16 * 16;
  return std::min(t.units, std::max<int64_t>(16, fits));
}

// One unit that owns the whole tensor: a plain sum, split into lanes so that it vectorises. Sums
// are double: a gradient of 1e20 squares to infinity in float32.
template <class T>
KAB_INLINE double squares(const T* x, int64_t n) {
  constexpr int64_t kLanes = 16;
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t k = 0; k < kLanes; ++k) lane[k] += double(kab::load(x[i + k])) * kab::load(x[i + k]);
  for (; i < n; ++i) lane[0] += double(kab::load(x[i])) * kab::load(x[i]);
  double sum = 0;
  for (double part : lane) sum += part;
  return sum;
}

KAB_INLINE float factor(double w_squares, double g_squares, double clipping, double epsilon) {
  const double limit = clipping * std::max(std::sqrt(w_squares), epsilon);
  const double norm = std::sqrt(g_squares);
  return norm > limit ? float(limit / norm) : 1.f;  // a NaN norm leaves the gradient as it is
}

template <class T>
KAB_INLINE void whole_as(const kab_clip_tensor* t, double clipping, double epsilon,
                         int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(t->w), *g = static_cast<const T*>(t->g);
  T* out = static_cast<T*>(t->g_out);
  const float f = factor(squares(w, t->fan_in), squares(g, t->fan_in), clipping, epsilon);
#pragma GCC ivdep
  for (int64_t i = 0; i < t->fan_in; ++i) kab::store(out + i, kab::load(g[i]) * f);
}

KAB_PER_DTYPE(whole, (const kab_clip_tensor* t, double clipping, double epsilon, int32_t dtype),
              (t, clipping, epsilon, dtype))

template <class T>
KAB_INLINE void strip_as(const kab_clip_tensor* t, int64_t begin, int64_t end, double clipping,
                         double epsilon, double* sums, float* f, int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(t->w), *g = static_cast<const T*>(t->g);
  T* out = static_cast<T*>(t->g_out);
  const int64_t width = end - begin;
  double *w_sums = sums, *g_sums = sums + width;
  std::fill(sums, sums + 2 * width, 0.);
  for (int64_t row = 0; row < t->fan_in; ++row) {
    const int64_t at = row * t->units + begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < width; ++k) {
      const double x = kab::load(w[at + k]), y = kab::load(g[at + k]);
      w_sums[k] += x * x;
      g_sums[k] += y * y;
    }
  }
  for (int64_t k = 0; k < width; ++k) f[k] = factor(w_sums[k], g_sums[k], clipping, epsilon);
  for (int64_t row = 0; row < t->fan_in; ++row) {
    const int64_t at = row * t->units + begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < width; ++k) kab::store(out + at + k, kab::load(g[at + k]) * f[k]);
  }
}

KAB_PER_DTYPE(strip,
              (const kab_clip_tensor* t, int64_t begin, int64_t end, double clipping,
               double epsilon, double* sums, float* f, int32_t dtype),
              (t, begin, end, clipping, epsilon, sums, f, dtype))

}  // namespace

extern "C" void kab_adaptive_clip(const kab_clip_tensor* tensors, int64_t count, double clipping,
                                  double epsilon, const kab_workers* workers) {
  kab::Blocks blocks;
  int64_t elements = 0;
  for (int64_t i = 0; i < count; ++i) {
    const kab_clip_tensor& t = tensors[i];
    elements += t.fan_in * t.units;
    blocks.add(t.fan_in * t.units == 0 ? 0 : kab::ceil_div(t.units, strip_width(t)));
  }
  kab::for_each_block(workers, blocks.total(), elements, [&](int64_t, int64_t block) {
    const auto place = blocks.find(block);
    const kab_clip_tensor& t = tensors[place.tensor];
    if (t.units == 1) return whole(&t, clipping, epsilon, t.dtype);
    const int64_t begin = place.block * strip_width(t);
    const int64_t end = std::min(t.units, begin + strip_width(t));
    std::vector<double> sums(2 * (end - begin));
    std::vector<float> factors(end - begin);
    strip(&t, begin, end, clipping, epsilon, sums.data(), factors.data(), t.dtype);
  });
}
