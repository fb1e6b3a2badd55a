#include "device.h"
using namespace kab;

__device__ inline float factor(double w_squares, double g_squares, double clipping,
                               double epsilon) {
  const double norm_w = sqrt(w_squares), norm = sqrt(g_squares);
  const double limit = clipping * (norm_w < epsilon ? epsilon : norm_w);
  return norm > limit ? float(limit / norm) : 1.f;
}

// One block for kColumns units; or one for a tensor that is a single unit.
KAB_KERNEL kab_cuda_kernel_adaptive_clip(const __grid_constant__ Pack<kab_clip_tensor> pack,
                                         double clipping, double epsilon) {
  const int which = owner(pack);
  const kab_clip_tensor& t = pack.item[which];
  const bool whole = t.units == 1;
  const int64_t unit =
      whole ? 0 : int64_t(blockIdx.x - pack.first[which]) * kColumns + column_of_thread();
  const int64_t first = whole ? threadIdx.x : row_of_thread(), step = whole ? kThreads : kRowStep;
  double w_squares = 0, g_squares = 0;
#pragma unroll 4
  for (int64_t i = first; i < t.fan_in && unit < t.units; i += step) {
    const double w = load(t.w, i * t.units + unit, t.dtype);
    const double g = load(t.g, i * t.units + unit, t.dtype);
    w_squares += w * w;
    g_squares += g * g;
  }
  w_squares = whole ? block_sum(w_squares) : column_sum(w_squares);
  g_squares = whole ? block_sum(g_squares) : column_sum(g_squares);
  const bool writes = whole ? threadIdx.x == 0 : row_of_thread() == 0 && unit < t.units;
  if (writes) t.factor[unit] = factor(w_squares, g_squares, clipping, epsilon);
}
