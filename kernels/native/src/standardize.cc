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
#include "stream.h"

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

// What the last pass applies, in float32: a double that is subtracted is two, the second its rest.
struct Factors {
  std::vector<float> mean, mean_rest, scale, d_mean, d_mean_rest, dot;
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

KAB_INLINE float minus(float x, float much, float rest) { return (x - much) - rest; }

template <class T>
KAB_INLINE void forward_row(const T* w, const Factors* f, int64_t column, int64_t n, T* out) {
  const float *mean = f->mean.data() + column, *rest = f->mean_rest.data() + column;
  const float* scale = f->scale.data() + column;
#pragma GCC ivdep
  for (int64_t k = 0; k < n; ++k)
    kab::store(out + k, minus(kab::load(w[k]), mean[k], rest[k]) * scale[k]);
}

// d_w = gain a (D - mean(D) - dot (w - mean)), dot = [unclamped] a^2 sum(D (w - mean)).
template <class T>
KAB_INLINE void backward_row(const T* w, const T* up, const Factors* f, int64_t column, int64_t n,
                             T* out) {
  const float *mean = f->mean.data() + column, *rest = f->mean_rest.data() + column;
  const float *d_mean = f->d_mean.data() + column, *d_rest = f->d_mean_rest.data() + column;
  const float *scale = f->scale.data() + column, *dot = f->dot.data() + column;
#pragma GCC ivdep
  for (int64_t k = 0; k < n; ++k) {
    const float d = minus(kab::load(up[k]), d_mean[k], d_rest[k]);
    const float x = minus(kab::load(w[k]), mean[k], rest[k]);
    kab::store(out + k, scale[k] * (d - dot[k] * x));
  }
}

template <class T>
KAB_INLINE void apply_as(const Kernel* kernel, int64_t begin, int64_t end, const Factors* f,
                         bool past_cache, int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(kernel->w), *up = static_cast<const T*>(kernel->upstream);
  const auto fill = [&](int64_t from, int64_t to, T* out) KAB_BODY {
    kab::row_pieces(from, to, kernel->units, [&](int64_t at, int64_t k, int64_t n) KAB_BODY {
      if (up)
        backward_row(w + at, up + at, f, k, n, out + (at - from));
      else
        forward_row(w + at, f, k, n, out + (at - from));
    });
  };
  kab::write(static_cast<T*>(kernel->out), begin * kernel->units, end * kernel->units, past_cache,
             fill);
}

KAB_PER_DTYPE(apply,
              (const Kernel* kernel, int64_t begin, int64_t end, const Factors* f, bool past_cache,
               int32_t dtype),
              (kernel, begin, end, f, past_cache, dtype))

// At least kRows, so that the blocks' sums stay smaller than the kernel.
int64_t rows_a_block(const Kernel& kernel) {
  const int64_t rows = kBlock / std::max<int64_t>(1, kernel.units);
  return std::max(kRows, rows / kGroup * kGroup);
}

// From the first block to the last, or back: the last ones are then still in a cache.
template <class Body>
void each_block(const Kernel& kernel, const kab_workers* workers, bool backwards, Body body) {
  const int64_t rows = rows_a_block(kernel), blocks = kab::ceil_div(kernel.fan_in, rows);
  kab::for_each_block(workers, blocks, kernel.fan_in * kernel.units, [&](int64_t, int64_t i) {
    const int64_t block = backwards ? blocks - 1 - i : i, begin = block * rows;
    body(block, begin, std::min(kernel.fan_in, begin + rows));
  });
}

// In the order of the blocks: the same whatever the threads.
Sums all_sums(const Kernel& kernel, int32_t dtype, const kab_workers* workers) {
  const bool upstream = kernel.upstream;
  std::vector<Sums> parts(kab::ceil_div(kernel.fan_in, rows_a_block(kernel)),
                          Sums(kernel.units, upstream));
  each_block(kernel, workers, false, [&](int64_t block, int64_t begin, int64_t end) {
    sum_rows(&kernel, begin, end, &parts[block], dtype);
  });
  for (size_t i = 1; i < parts.size(); ++i) parts[0].add(parts[i]);
  return parts.empty() ? Sums(kernel.units, upstream) : std::move(parts[0]);
}

// Written so that a NaN stays one.
double scale_of(double squares, double epsilon) {
  return 1 / std::sqrt(squares < epsilon ? epsilon : squares);
}

void split(double value, std::vector<float>* first, std::vector<float>* rest) {
  first->push_back(float(value));
  rest->push_back(float(value - first->back()));
}

Factors factors(const Kernel& kernel, const Sums& sums, const float* gain, double epsilon,
                float* d_gain) {
  Factors f;
  const double n = double(kernel.fan_in);
  for (int64_t k = 0; k < kernel.units; ++k) {
    const double mean = sums.w[k] / n, squares = sums.w_squares[k] - sums.w[k] * mean;
    const double a = scale_of(squares, epsilon);
    split(mean, &f.mean, &f.mean_rest);
    f.scale.push_back(float(a * gain[k]));
    if (!d_gain) continue;
    const double dot = sums.d_w[k] - sums.d[k] * mean;
    d_gain[k] = float(a * dot);
    split(sums.d[k] / n, &f.d_mean, &f.d_mean_rest);
    f.dot.push_back(squares < epsilon ? 0.f : float(a * a * dot));
  }
  return f;
}

void apply_all(const Kernel& kernel, int32_t dtype, const Factors& f, const kab_workers* workers) {
  const bool past_cache = kab::outgrows_cache(kernel.fan_in * kernel.units * kab::bytes_of(dtype));
  each_block(kernel, workers, true, [&](int64_t, int64_t begin, int64_t end) {
    apply(&kernel, begin, end, &f, past_cache, dtype);
  });
}

}  // namespace

extern "C" void kab_standardize_forward(const void* kernel, int32_t dtype, const float* gain,
                                        int64_t fan_in, int64_t units, double epsilon,
                                        void* result, const kab_workers* workers) {
  const Kernel own{kernel, nullptr, result, fan_in, units};
  const Factors f = factors(own, all_sums(own, dtype, workers), gain, epsilon, nullptr);
  apply_all(own, dtype, f, workers);
}

extern "C" void kab_standardize_backward(const void* kernel, int32_t dtype, const float* gain,
                                         const void* upstream, int64_t fan_in, int64_t units,
                                         double epsilon, void* d_kernel, float* d_gain,
                                         const kab_workers* workers) {
  const Kernel own{kernel, upstream, d_kernel, fan_in, units};
  const Factors f = factors(own, all_sums(own, dtype, workers), gain, epsilon, d_gain);
  apply_all(own, dtype, f, workers);
}
