// A mean per channel, and one variance, of all deviations from their channel's mean.
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

// Of kRows at least, so that a block's sums, in double, stay smaller than the block.
constexpr int64_t kBlock = 32768, kRows = 16;

int64_t rows_a_block(int64_t channels) {
  return std::max(kRows, kBlock / std::max<int64_t>(1, channels));
}

// Block [begin, end): its mean per channel, then its squared deviations from that mean per
// channel; the block is in cache for the second pass.
template <class T>
KAB_INLINE void block_moments_as(const void* data, int64_t begin, int64_t end, int64_t channels,
                                 double* mean, double* squares, int32_t /*dtype*/) {
  const T* x = static_cast<const T*>(data);
  for (int64_t i = begin; i < end; ++i) {
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) mean[c] += kab::load(x[i * channels + c]);
  }
  for (int64_t c = 0; c < channels; ++c) mean[c] /= double(end - begin);
  for (int64_t i = begin; i < end; ++i) {
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) {
      const double d = kab::load(x[i * channels + c]) - mean[c];
      squares[c] += d * d;
    }
  }
}

KAB_PER_DTYPE(block_moments,
              (const void* data, int64_t begin, int64_t end, int64_t channels, double* mean,
               double* squares, int32_t dtype),
              (data, begin, end, channels, mean, squares, dtype))

// Moments of some rows; `add` joins those of further rows.
// Source: Chan, Golub and LeVeque (1983), Algorithms for Computing the Sample Variance, eq. 2.1.
struct Moments {
  double rows = 0;
  std::vector<double> mean, squares;
  explicit Moments(int64_t channels) : mean(channels, 0.), squares(channels, 0.) {}
  void add(const Moments& other) {
    if (other.rows == 0) return;
    const double all = rows + other.rows;
    for (size_t c = 0; c < mean.size(); ++c) {
      const double d = other.mean[c] - mean[c];
      mean[c] += d * other.rows / all;
      squares[c] += other.squares[c] + d * d * rows * other.rows / all;
    }
    rows = all;
  }
};

// d_x = d_mean_c / rows + d_variance * 2 (x - mean_c) / (rows * channels).
template <class T>
KAB_INLINE void gradient_as(const void* data, int64_t begin, int64_t end, int64_t channels,
                            const float* mean, const float* shift, float scale, void* result,
                            int32_t /*dtype*/) {
  const T* x = static_cast<const T*>(data);
  T* out = static_cast<T*>(result);
  for (int64_t i = begin; i < end; ++i) {
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t at = i * channels + c;
      kab::store(out + at, shift[c] + scale * (kab::load(x[at]) - mean[c]));
    }
  }
}

KAB_PER_DTYPE(gradient,
              (const void* data, int64_t begin, int64_t end, int64_t channels, const float* mean,
               const float* shift, float scale, void* result, int32_t dtype),
              (data, begin, end, channels, mean, shift, scale, result, dtype))

}  // namespace

// An empty batch has no mean: 0/0 gives NaN, as it does in NumPy.
extern "C" void kab_batch_statistics_forward(const void* x, int32_t dtype, int64_t rows,
                                             int64_t channels, float* mean, float* variance,
                                             const kab_workers* workers) {
  const int64_t size = rows_a_block(channels), blocks = kab::ceil_div(rows, size);
  // Joined in the order of the blocks, so that the result does not depend on the threads.
  std::vector<Moments> parts(blocks, Moments(channels));
  kab::for_each_block(workers, blocks, rows * channels, [&](int64_t, int64_t block) {
    Moments& m = parts[block];
    const int64_t begin = block * size, end = std::min(rows, begin + size);
    block_moments(x, begin, end, channels, m.mean.data(), m.squares.data(), dtype);
    m.rows = double(end - begin);
  });
  Moments all(channels);
  for (const Moments& part : parts) all.add(part);
  double total = 0;
  for (int64_t c = 0; c < channels; ++c) {
    mean[c] = rows ? float(all.mean[c]) : NAN;
    total += all.squares[c];
  }
  *variance = rows > 0 && channels > 0 ? float(total / (double(rows) * double(channels))) : NAN;
}

extern "C" void kab_batch_statistics_backward(const void* x, int32_t dtype, const float* mean,
                                              const float* d_mean, const float* d_variance,
                                              int64_t rows, int64_t channels, void* d_x,
                                              const kab_workers* workers) {
  if (rows * channels == 0) return;
  std::vector<float> shift(channels);
  for (int64_t c = 0; c < channels; ++c) shift[c] = float(double(d_mean[c]) / double(rows));
  const float scale = float(2. * *d_variance / (double(rows) * double(channels)));
  const int64_t size = rows_a_block(channels);
  kab::for_each_block(workers, kab::ceil_div(rows, size), rows * channels,
                      [&](int64_t, int64_t block) {
                        const int64_t begin = block * size, end = std::min(rows, begin + size);
                        gradient(x, begin, end, channels, mean, shift.data(), scale, d_x, dtype);
                      });
}
