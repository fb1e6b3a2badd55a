#include "device.h"
using namespace kab;

struct Total {
  float top, sum;  // sum of exp(x - top)
  __device__ void take(float x) {
    if (x == -KAB_INFINITY) return;
    if (x > top) {
      sum = (sum == 0.f ? 0.f : sum * expf(top - x)) + (x < KAB_INFINITY ? 1.f : KAB_NAN);
      top = x;
    } else {
      sum += x != x ? x : expf(x - top);
    }
  }
};

// A NaN sum is not 0, so it survives; an empty part has sum 0 and top -inf.
__device__ inline Total joined(Total a, Total b) {
  const float top = a.top > b.top ? a.top : b.top;
  const float x = a.sum == 0.f ? 0.f : a.sum * expf(a.top - top);
  const float y = b.sum == 0.f ? 0.f : b.sum * expf(b.top - top);
  return {top, x + y};
}

__device__ inline int64_t label_at(const void* labels, int bytes, int64_t row) {
  return bytes == 8 ? static_cast<const int64_t*>(labels)[row]
                    : static_cast<const int32_t*>(labels)[row];
}

// One block a row; a label outside [0, classes) gives NaN, since a device cannot raise.
KAB_KERNEL kab_cuda_kernel_cross_entropy_forward(const void* logits, int dtype, const void* labels,
                                                 int label_bytes, int64_t classes, float* loss,
                                                 float* maximum, float* total) {
  __shared__ Total part[kThreads];
  const int64_t row = blockIdx.x;
  Total t{-KAB_INFINITY, 0.f};
  const int64_t begin = row * classes;
  const bool wide = aligned(logits, address(logits, begin, dtype));
  sweep(begin, begin + classes, dtype, wide, [&](auto access, int64_t i, int64_t) {
    const auto x = access.load(logits, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) t.take(x.x[k]);
  });
  part[threadIdx.x] = t;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half)
      part[threadIdx.x] = joined(part[threadIdx.x], part[threadIdx.x + half]);
    __syncthreads();
  }
  if (threadIdx.x) return;
  t = part[0];
  if (t.sum == 0.f) t.sum = KAB_NAN;  // every logit -inf
  const int64_t label = label_at(labels, label_bytes, row);
  const bool known = label >= 0 && label < classes;
  maximum[row] = t.top;
  total[row] = t.sum;
  loss[row] =
      known ? logf(t.sum) + (t.top - load(logits, row * classes + label, dtype)) : KAB_NAN;
}

// kStrips blocks a row, each with a strip of it; all but the last of whole accesses.
KAB_KERNEL kab_cuda_kernel_cross_entropy_backward(const void* logits, int dtype,
                                                  const void* labels, int label_bytes,
                                                  int64_t classes, const float* maximum,
                                                  const float* total, const float* upstream,
                                                  void* d_logits) {
  const int64_t row = blockIdx.x / kStrips, label = label_at(labels, label_bytes, row);
  const bool known = label >= 0 && label < classes;
  const float top = maximum[row], u = known ? upstream[row] : KAB_NAN, inverse = 1.f / total[row];
  const int64_t strip = (classes + 8 * kStrips - 1) / (8 * kStrips) * 8;
  const int64_t from = blockIdx.x % kStrips * strip, until = from + strip;
  const int64_t begin = row * classes + from, end = row * classes + (until < classes ? until : classes);
  const bool wide = aligned(logits, d_logits, address(logits, begin, dtype));
  sweep(begin, end, dtype, wide, [&](auto access, int64_t i, int64_t j) {
    auto x = access.load(logits, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) {
      const float p = expf(x.x[k] - top) * inverse;
      x.x[k] = (from + j + k == label ? p - 1.f : p) * u;
    }
    access.store(d_logits, i, x);
  });
}
