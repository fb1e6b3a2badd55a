// Softmax cross-entropy with integer labels: loss_i = log sum_j exp(x_ij) - x_i,y_i.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "number.h"
#include "parallel.h"
#include "stream.h"

namespace {

// A chunk of a row stays in the first-level cache between its maximum and its sum, so each logit
// is read from memory once.
constexpr int64_t kChunk = 4096, kLanes = 64;

// A maximum may drop a NaN here: the sum that follows meets it.
template <class T>
KAB_INLINE float chunk_maximum(const T* x, int64_t n, float top) {
  float lane[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) lane[k] = top;
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (int64_t k = 0; k < kLanes; ++k) {
      const float value = kab::load(x[j + k]);
      lane[k] = value > lane[k] ? value : lane[k];
    }
  for (; j < n; ++j) lane[0] = std::max(lane[0], kab::load(x[j]));
  for (float value : lane) top = std::max(top, value);
  return top;
}

template <class T>
KAB_INLINE float chunk_sum(const T* x, int64_t n, float top) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) sum += kab::fast_exp(kab::load(x[j]) - top);
  return sum;
}

template <class T>
KAB_INLINE void row_total_as(const void* logits, int64_t row, int64_t classes, float* maximum,
                             float* total, int32_t /*dtype*/) {
  const T* x = static_cast<const T*>(logits) + row * classes;
  float top = -INFINITY;
  double sum = 0;
  for (int64_t j = 0; j < classes; j += kChunk) {
    const int64_t n = std::min(kChunk, classes - j);
    const float before = top;
    top = chunk_maximum(x + j, n, top);
    // No chunk before, or only -inf in it: exp(-inf - -inf) would be NaN where the sum is 0.
    if (sum != 0) sum *= std::exp(double(before) - top);
    if (top != -INFINITY || j + n == classes) sum += chunk_sum(x + j, n, top);
    else if (chunk_sum(x + j, n, 0.f) != 0) sum = NAN;  // a NaN among the -inf
  }
  *maximum = top;
  *total = float(sum);
}

KAB_PER_DTYPE(row_total,
              (const void* logits, int64_t row, int64_t classes, float* maximum, float* total,
               int32_t dtype),
              (logits, row, classes, maximum, total, dtype))

template <class T>
KAB_INLINE void chunk_gradient(const T* x, int64_t n, float maximum, float scale, T* d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j)
    kab::store(d + j, kab::fast_exp(kab::load(x[j]) - maximum) * scale);
}

template <class T>
KAB_INLINE void row_gradient_as(const void* logits, int64_t row, int64_t classes, float maximum,
                                float scale, void* d_logits, bool past_cache, int32_t /*dtype*/) {
  const T* x = static_cast<const T*>(logits) + row * classes;
  T* d = static_cast<T*>(d_logits) + row * classes;
  if (!past_cache) return chunk_gradient(x, classes, maximum, scale, d);
  alignas(64) T chunk[kChunk];
  for (int64_t j = 0; j < classes; j += kChunk) {
    const int64_t n = std::min(kChunk, classes - j);
    chunk_gradient(x + j, n, maximum, scale, chunk);
    kab::stream(d + j, chunk, n * sizeof(T));
  }
  kab::end_of_stream();
}

KAB_PER_DTYPE(row_gradient,
              (const void* logits, int64_t row, int64_t classes, float maximum, float scale,
               void* d_logits, bool past_cache, int32_t dtype),
              (logits, row, classes, maximum, scale, d_logits, past_cache, dtype))

int64_t label_at(const void* labels, int32_t bytes, int64_t row) {
  return bytes == 8 ? static_cast<const int64_t*>(labels)[row]
                    : static_cast<const int32_t*>(labels)[row];
}

float logit_at(const void* logits, int32_t dtype, int64_t i) {
  float value = 0;
  kab::with_dtype(dtype, [&](auto* as) {
    value = kab::load(static_cast<const std::remove_pointer_t<decltype(as)>*>(logits)[i]);
  });
  return value;
}

int64_t rows_a_block(int64_t classes) {
  return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, classes));
}

// The label's entry, computed apart so that p - 1 is rounded once, also in low precision.
void store_label_gradient(void* d_logits, int32_t dtype, int64_t i, float value) {
  kab::with_dtype(dtype, [&](auto* as) { kab::store(static_cast<decltype(as)>(d_logits) + i, value); });
}

}  // namespace

extern "C" int64_t kab_cross_entropy_forward(const void* logits, int32_t dtype, const void* labels,
                                             int32_t label_bytes, int64_t batch, int64_t classes,
                                             float* loss, float* maximum, float* total,
                                             const kab_workers* workers) {
  const int64_t rows = rows_a_block(classes);
  std::atomic<int64_t> bad{batch};
  const auto forward = [&](int64_t i) {
    row_total(logits, i, classes, maximum + i, total + i, dtype);
    const int64_t label = label_at(labels, label_bytes, i);
    loss[i] = NAN;
    if (label >= 0 && label < classes) {
      // log(total) and (max - x_y) apart: their sum keeps a small loss that lse - x_y would cancel.
      loss[i] = std::log(total[i]) + (maximum[i] - logit_at(logits, dtype, i * classes + label));
      return;
    }
    for (int64_t seen = bad; i < seen && !bad.compare_exchange_weak(seen, i);) {
    }
  };
  kab::for_each_block(workers, kab::ceil_div(batch, rows), batch * classes,
                      [&](int64_t, int64_t block) {
                        const int64_t end = std::min(batch, (block + 1) * rows);
                        for (int64_t i = block * rows; i < end; ++i) forward(i);
                      });
  return bad == batch ? -1 : bad.load();
}

extern "C" void kab_cross_entropy_backward(const void* logits, int32_t dtype, const void* labels,
                                           int32_t label_bytes, int64_t batch, int64_t classes,
                                           const float* maximum, const float* total,
                                           const float* upstream, void* d_logits,
                                           const kab_workers* workers) {
  const int64_t rows = rows_a_block(classes);
  const bool past_cache = kab::outgrows_cache(batch * classes * (dtype == KAB_FLOAT32 ? 4 : 2));
  const auto backward = [&](int64_t i) {
    const int64_t label = label_at(labels, label_bytes, i);
    const bool known = label >= 0 && label < classes;
    const float scale = known ? upstream[i] / total[i] : NAN;
    row_gradient(logits, i, classes, maximum[i], scale, d_logits, past_cache, dtype);
    if (!known) return;
    const int64_t at = i * classes + label;
    const float p = kab::fast_exp(logit_at(logits, dtype, at) - maximum[i]) / total[i];
    store_label_gradient(d_logits, dtype, at, (p - 1.f) * upstream[i]);
  };
  kab::for_each_block(workers, kab::ceil_div(batch, rows), batch * classes,
                      [&](int64_t, int64_t block) {
                        const int64_t end = std::min(batch, (block + 1) * rows);
                        for (int64_t i = block * rows; i < end; ++i) backward(i);
                      });
}
