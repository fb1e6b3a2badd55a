// Scaled weight standardisation, Brock et al. (2021), arXiv 2101.08692, equation 2:
// y = gain * (w - mean) * a, a = 1/sqrt(max(fan_in * variance, epsilon)), per output unit.
//
// Rows are gone through as they lie in memory: a strip of columns of a wide kernel would touch a
// page a row. Sums are double, of w and of w^2: a kernel whose mean is 10 000 of its deviations
// keeps seven digits of its variance, in one pass.
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

// kGroup rows are added to a sum at once: loading and storing it for each would take the time.
constexpr int64_t kBlock = 131072, kRows = 32, kGroup = 4;

// What a call works on.
struct Kernel {
  const void *w, *upstream;
  void* out;
  int64_t fan_in, units;
};

// Sums of one block of rows, or of all: of w and w^2; of the upstream gradient D and of D w.
struct Sums {
  std::vector<double> w, w_squares, d, d_w;
  Sums(int64_t units, bool upstream) : w(units), w_squares(units) {
    if (upstream) d.resize(units), d_w.resize(units);
  }
  void add(const Sums& other) {
    const auto each = [](std::vector<double>& to, const std::vector<double>& from) {
      for (size_t k = 0; k < to.size(); ++k) to[k] += from[k];
    };
    each(w, other.w), each(w_squares, other.w_squares), each(d, other.d), each(d_w, other.d_w);
  }
};

// What the last pass applies.
struct Factors {
  std::vector<double> mean, scale, d_mean, dot;
};

// Adds `rows` rows, a constant where it is inlined.
template <class T>
KAB_INLINE void add_rows(const T* w, const T* up, int64_t rows, int64_t units, Sums* sums) {
  double *total = sums->w.data(), *squares = sums->w_squares.data();
  double *total_d = sums->d.data(), *total_d_w = sums->d_w.data();
#pragma GCC ivdep
  for (int64_t k = 0; k < units; ++k) {
    double sum = 0, square = 0, d = 0, d_w = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const double x = kab::load(w[i * units + k]);
      sum += x, square += x * x;
      if (!up) continue;
      const double u = kab::load(up[i * units + k]);
      d += u, d_w += u * x;
    }
    total[k] += sum, squares[k] += square;
    if (up) total_d[k] += d, total_d_w[k] += d_w;
  }
}

template <class T>
KAB_INLINE void add_groups(const T* w, const T* up, int64_t rows, int64_t units, Sums* sums) {
  int64_t i = 0;
  for (; i + kGroup <= rows; i += kGroup)
    add_rows(w + i * units, up ? up + i * units : nullptr, kGroup, units, sums);
  for (; i < rows; ++i) add_rows(w + i * units, up ? up + i * units : nullptr, 1, units, sums);
}

template <class T>
KAB_INLINE void sum_rows_as(const Kernel* kernel, int64_t begin, int64_t end, Sums* sums,
                            int32_t /*dtype*/) {
  const int64_t at = begin * kernel->units;
  const T* w = static_cast<const T*>(kernel->w) + at;
  const T* up = static_cast<const T*>(kernel->upstream);
  if (up)
    add_groups(w, up + at, end - begin, kernel->units, sums);
  else
    add_groups<T>(w, nullptr, end - begin, kernel->units, sums);
}

KAB_PER_DTYPE(sum_rows,
              (const Kernel* kernel, int64_t begin, int64_t end, Sums* sums, int32_t dtype),
              (kernel, begin, end, sums, dtype))

template <class T>
KAB_INLINE void forward_as(const Kernel* kernel, int64_t begin, int64_t end, const Factors* f,
                           int32_t /*dtype*/) {
  const double *mean = f->mean.data(), *scale = f->scale.data();
  for (int64_t i = begin; i < end; ++i) {
    const T* w = static_cast<const T*>(kernel->w) + i * kernel->units;
    T* out = static_cast<T*>(kernel->out) + i * kernel->units;
#pragma GCC ivdep
    for (int64_t k = 0; k < kernel->units; ++k)
      kab::store(out + k, float((kab::load(w[k]) - mean[k]) * scale[k]));
  }
}

KAB_PER_DTYPE(forward,
              (const Kernel* kernel, int64_t begin, int64_t end, const Factors* f, int32_t dtype),
              (kernel, begin, end, f, dtype))

// d_w = gain a (D - mean(D) - dot (w - mean)), dot = [unclamped] a^2 sum(D (w - mean)).
template <class T>
KAB_INLINE void backward_as(const Kernel* kernel, int64_t begin, int64_t end, const Factors* f,
                            int32_t /*dtype*/) {
  const double *mean = f->mean.data(), *scale = f->scale.data();
  const double *d_mean = f->d_mean.data(), *dot = f->dot.data();
  for (int64_t i = begin; i < end; ++i) {
    const T* w = static_cast<const T*>(kernel->w) + i * kernel->units;
    const T* up = static_cast<const T*>(kernel->upstream) + i * kernel->units;
    T* out = static_cast<T*>(kernel->out) + i * kernel->units;
#pragma GCC ivdep
    for (int64_t k = 0; k < kernel->units; ++k) {
      const double d = kab::load(up[k]) - d_mean[k] - dot[k] * (kab::load(w[k]) - mean[k]);
      kab::store(out + k, float(scale[k] * d));
    }
  }
}

KAB_PER_DTYPE(backward,
              (const Kernel* kernel, int64_t begin, int64_t end, const Factors* f, int32_t dtype),
              (kernel, begin, end, f, dtype))

// At least kRows, so that the blocks' sums stay smaller than the kernel.
int64_t rows_a_block(const Kernel& kernel) {
  const int64_t rows = kBlock / std::max<int64_t>(1, kernel.units);
  return std::max(kRows, rows / kGroup * kGroup);
}

template <class Body>
void each_block(const Kernel& kernel, const kab_workers* workers, Body body) {
  const int64_t rows = rows_a_block(kernel);
  kab::for_each_block(workers, kab::ceil_div(kernel.fan_in, rows), kernel.fan_in * kernel.units,
                      [&](int64_t, int64_t block) {
                        const int64_t begin = block * rows;
                        body(block, begin, std::min(kernel.fan_in, begin + rows));
                      });
}

// In the order of the blocks: the same whatever the threads.
Sums all_sums(const Kernel& kernel, int32_t dtype, const kab_workers* workers) {
  const bool upstream = kernel.upstream;
  std::vector<Sums> parts(kab::ceil_div(kernel.fan_in, rows_a_block(kernel)),
                          Sums(kernel.units, upstream));
  each_block(kernel, workers, [&](int64_t block, int64_t begin, int64_t end) {
    sum_rows(&kernel, begin, end, &parts[block], dtype);
  });
  for (size_t i = 1; i < parts.size(); ++i) parts[0].add(parts[i]);
  return parts.empty() ? Sums(kernel.units, upstream) : std::move(parts[0]);
}

// Written so that a NaN stays one.
double scale_of(double squares, double epsilon) {
  return 1 / std::sqrt(squares < epsilon ? epsilon : squares);
}

Factors factors(const Kernel& kernel, const Sums& sums, const float* gain, double epsilon,
                float* d_gain) {
  Factors f;
  f.mean.resize(kernel.units), f.scale.resize(kernel.units);
  if (d_gain) f.d_mean.resize(kernel.units), f.dot.resize(kernel.units);
  const double n = double(kernel.fan_in);
  for (int64_t k = 0; k < kernel.units; ++k) {
    const double mean = sums.w[k] / n, squares = sums.w_squares[k] - sums.w[k] * mean;
    const double a = scale_of(squares, epsilon);
    f.mean[k] = mean, f.scale[k] = a * gain[k];
    if (!d_gain) continue;
    const double dot = sums.d_w[k] - sums.d[k] * mean;
    d_gain[k] = float(a * dot);
    f.d_mean[k] = sums.d[k] / n;
    f.dot[k] = squares < epsilon ? 0. : a * a * dot;
  }
  return f;
}

}  // namespace

extern "C" void kab_standardize_forward(const void* kernel, int32_t dtype, const float* gain,
                                        int64_t fan_in, int64_t units, double epsilon,
                                        void* result, const kab_workers* workers) {
  const Kernel own{kernel, nullptr, result, fan_in, units};
  const Factors f = factors(own, all_sums(own, dtype, workers), gain, epsilon, nullptr);
  each_block(own, workers,
             [&](int64_t, int64_t begin, int64_t end) { forward(&own, begin, end, &f, dtype); });
}

extern "C" void kab_standardize_backward(const void* kernel, int32_t dtype, const float* gain,
                                         const void* upstream, int64_t fan_in, int64_t units,
                                         double epsilon, void* d_kernel, float* d_gain,
                                         const kab_workers* workers) {
  const Kernel own{kernel, upstream, d_kernel, fan_in, units};
  const Factors f = factors(own, all_sums(own, dtype, workers), gain, epsilon, d_gain);
  each_block(own, workers,
             [&](int64_t, int64_t begin, int64_t end) { backward(&own, begin, end, &f, dtype); });
}
