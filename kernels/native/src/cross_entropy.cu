#include "device.h"
using namespace kab;

constexpr int kInFlight = 4;  // loads of a thread that are under way together

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
  for (int64_t j = threadIdx.x; j < classes; j += kInFlight * kThreads) {
    float x[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      const int64_t at = j + k * kThreads;
      x[k] = at < classes ? load(logits, row * classes + at, dtype) : -KAB_INFINITY;
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) t.take(x[k]);
  }
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

// kStrips blocks a row.
KAB_KERNEL kab_cuda_kernel_cross_entropy_backward(const void* logits, int dtype,
                                                  const void* labels, int label_bytes,
                                                  int64_t classes, const float* maximum,
                                                  const float* total, const float* upstream,
                                                  void* d_logits) {
  const int64_t row = blockIdx.x / kStrips, label = label_at(labels, label_bytes, row);
  const bool known = label >= 0 && label < classes;
  const float top = maximum[row], u = known ? upstream[row] : KAB_NAN, inverse = 1.f / total[row];
  const int64_t first = int64_t(blockIdx.x % kStrips) * kThreads + threadIdx.x;
#pragma unroll 4
  for (int64_t j = first; j < classes; j += kStrips * kThreads) {
    const float p = expf(load(logits, row * classes + j, dtype) - top) * inverse;
    store(d_logits, row * classes + j, (j == label ? p - 1.f : p) * u, dtype);
  }
}
