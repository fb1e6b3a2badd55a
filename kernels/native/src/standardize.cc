// Scaled weight standardisation, Brock et al. (2021), arXiv 2101.08692, equation 2:
// y = gain * (w - mean) * a, a = 1/sqrt(max(fan_in * variance, epsilon)), per output unit.
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

// A strip of columns that stays in a core's cache over the passes: memory is read once, and the
// variance can be taken in two passes, which a kernel far from zero needs.
constexpr int64_t kStripElements = 131072;

int64_t strip_width(int64_t fan_in, int64_t units) {
  const int64_t fits = kStripElements / std::max<int64_t>(1, fan_in) / 16 * 16;
  return std::min(units, std::max<int64_t>(16, fits));
}

struct Strip {
  int64_t fan_in, units, begin, width;
  double epsilon;
  std::vector<double> mean, squares, dot, upstream_mean;
  Strip(int64_t fan_in, int64_t units, int64_t block, double epsilon)
      : fan_in(fan_in), units(units), epsilon(epsilon) {
    begin = block * strip_width(fan_in, units);
    width = std::min(units - begin, strip_width(fan_in, units));
    for (auto* sums : {&mean, &squares, &dot, &upstream_mean}) sums->assign(width, 0.);
  }
};

template <class T>
KAB_INLINE void center(const T* w, Strip* s) {
  double *mean = s->mean.data(), *squares = s->squares.data();
  for (int64_t i = 0; i < s->fan_in; ++i) {
    const T* row = w + i * s->units + s->begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < s->width; ++k) mean[k] += kab::load(row[k]);
  }
  for (int64_t k = 0; k < s->width; ++k) mean[k] /= double(s->fan_in);
  for (int64_t i = 0; i < s->fan_in; ++i) {
    const T* row = w + i * s->units + s->begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < s->width; ++k) {
      const double d = kab::load(row[k]) - mean[k];
      squares[k] += d * d;
    }
  }
}

// Written so that a NaN stays one.
double scale_of(double squares, double epsilon) {
  return 1 / std::sqrt(squares < epsilon ? epsilon : squares);
}

template <class T>
KAB_INLINE void forward_as(const void* kernel, const float* gain, void* result, Strip* s,
                           int32_t /*dtype*/) {
  const T* w = static_cast<const T*>(kernel);
  T* out = static_cast<T*>(result);
  center(w, s);
  for (int64_t k = 0; k < s->width; ++k)
    s->squares[k] = scale_of(s->squares[k], s->epsilon) * gain[s->begin + k];
  const double *mean = s->mean.data(), *scale = s->squares.data();
  for (int64_t i = 0; i < s->fan_in; ++i) {
    const int64_t at = i * s->units + s->begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < s->width; ++k)
      kab::store(out + at + k, float((kab::load(w[at + k]) - mean[k]) * scale[k]));
  }
}

KAB_PER_DTYPE(forward,
              (const void* kernel, const float* gain, void* result, Strip* s, int32_t dtype),
              (kernel, gain, result, s, dtype))

// With d = w - mean and D the upstream gradient: d_gain = a sum(D d), and
// d_w = gain a (D - mean(D) - [unclamped] a^2 d sum(D d)).
template <class T>
KAB_INLINE void backward_as(const void* kernel, const float* gain, const void* upstream,
                            void* d_kernel, float* d_gain, Strip* s, int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(kernel), *up = static_cast<const T*>(upstream);
  T* out = static_cast<T*>(d_kernel);
  center(w, s);
  double *mean = s->mean.data(), *dot = s->dot.data(), *up_mean = s->upstream_mean.data();
  for (int64_t i = 0; i < s->fan_in; ++i) {
    const int64_t at = i * s->units + s->begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < s->width; ++k) {
      const double u = kab::load(up[at + k]);
      dot[k] += u * (kab::load(w[at + k]) - mean[k]);
      up_mean[k] += u;
    }
  }
  double* scale = s->squares.data();
  for (int64_t k = 0; k < s->width; ++k) {
    const double a = scale_of(scale[k], s->epsilon);
    d_gain[s->begin + k] = float(a * dot[k]);
    dot[k] *= scale[k] < s->epsilon ? 0. : a * a;
    scale[k] = a * gain[s->begin + k];
    up_mean[k] /= double(s->fan_in);
  }
  for (int64_t i = 0; i < s->fan_in; ++i) {
    const int64_t at = i * s->units + s->begin;
#pragma GCC ivdep
    for (int64_t k = 0; k < s->width; ++k) {
      const double d = kab::load(w[at + k]) - mean[k];
      kab::store(out + at + k,
                 float(scale[k] * (kab::load(up[at + k]) - up_mean[k] - dot[k] * d)));
    }
  }
}

KAB_PER_DTYPE(backward,
              (const void* kernel, const float* gain, const void* upstream, void* d_kernel,
               float* d_gain, Strip* s, int32_t dtype),
              (kernel, gain, upstream, d_kernel, d_gain, s, dtype))

template <class Body>
void each_strip(int64_t fan_in, int64_t units, double epsilon, const kab_workers* workers,
                Body body) {
  const int64_t strips = units == 0 ? 0 : kab::ceil_div(units, strip_width(fan_in, units));
  kab::for_each_block(workers, strips, fan_in * units, [&](int64_t, int64_t block) {
    Strip strip(fan_in, units, block, epsilon);
    body(&strip);
  });
}

}  // namespace

extern "C" void kab_standardize_forward(const void* kernel, int32_t dtype, const float* gain,
                                        int64_t fan_in, int64_t units, double epsilon,
                                        void* result, const kab_workers* workers) {
  each_strip(fan_in, units, epsilon, workers,
             [&](Strip* s) { forward(kernel, gain, result, s, dtype); });
}

extern "C" void kab_standardize_backward(const void* kernel, int32_t dtype, const float* gain,
                                         const void* upstream, int64_t fan_in, int64_t units,
                                         double epsilon, void* d_kernel, float* d_gain,
                                         const kab_workers* workers) {
  each_strip(fan_in, units, epsilon, workers,
             [&](Strip* s) { backward(kernel, gain, upstream, d_kernel, d_gain, s, dtype); });
}
