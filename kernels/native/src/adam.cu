#include "device.h"
using namespace kab;

KAB_KERNEL kab_cuda_kernel_adam(const __grid_constant__ Pack<kab_adam_tensor> pack,
                                const float* alpha, float rate_1, float rate_2, float epsilon) {
  const int which = owner(pack);
  const kab_adam_tensor& t = pack.item[which];
  const int64_t begin = int64_t(blockIdx.x - pack.first[which]) * kChunk;
  const int64_t end = begin + kChunk < t.n ? begin + kChunk : t.n;
  const float rate = *alpha;
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const float g = load(t.g, i, t.dtype), m0 = load(t.m, i, t.dtype);
    const float v0 = load(t.v, i, t.dtype), w = load(t.w, i, t.dtype);
    const float m = m0 + (g - m0) * rate_1, v = v0 + (g * g - v0) * rate_2;
    store(t.m_out, i, m, t.dtype);
    store(t.v_out, i, v, t.dtype);
    store(t.w_out, i, w - m * rate / (sqrtf(v) + epsilon), t.dtype);
  }
}
