#include "device.h"
using namespace kab;

KAB_KERNEL kab_cuda_kernel_adam(const __grid_constant__ Pack<kab_adam_tensor> pack,
                                const float* alpha, float rate_1, float rate_2, float epsilon) {
  const int which = owner(pack);
  const kab_adam_tensor& t = pack.item[which];
  const int64_t begin = int64_t(blockIdx.x - pack.first[which]) * kChunk;
  const int64_t end = begin + kChunk < t.n ? begin + kChunk : t.n;
  const float rate = *alpha;
  const bool wide = aligned(t.w, t.m, t.v, t.g, t.w_out, t.m_out, t.v_out);
  sweep(begin, end, t.dtype, wide, [&](auto access, int64_t i, int64_t) {
    const auto g = access.load(t.g, i);
    auto m = access.load(t.m, i), v = access.load(t.v, i), w = access.load(t.w, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) {
      m.x[k] += (g.x[k] - m.x[k]) * rate_1;
      v.x[k] += (g.x[k] * g.x[k] - v.x[k]) * rate_2;
      w.x[k] -= m.x[k] * rate / (sqrtf(v.x[k]) + epsilon);
    }
    access.store(t.m_out, i, m);
    access.store(t.v_out, i, v);
    access.store(t.w_out, i, w);
  });
}
