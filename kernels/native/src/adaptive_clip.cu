#include "device.h"
using namespace kab;

__device__ inline float factor(double w_squares, double g_squares, double clipping,
                               double epsilon) {
  const double norm_w = sqrt(w_squares), norm = sqrt(g_squares);
  const double limit = clipping * (norm_w < epsilon ? epsilon : norm_w);
  return norm > limit ? float(limit / norm) : 1.f;
}

// Of one unit, over its weights and its gradients.
struct Squares {
  double w, g;
};

__device__ inline bool is_finite(double x) { return x - x == 0; }

// With it, squares of float32's largest are far from overflow, and those that overflowed without it
// far from vanishing.
constexpr float kSmall = 0x1p-80f;

// One block for kColumns units; or one for a tensor that is a single unit.
KAB_KERNEL kab_cuda_kernel_adaptive_clip(const __grid_constant__ Pack<kab_clip_tensor> pack,
                                         double clipping, double epsilon) {
  const int which = owner(pack);
  const kab_clip_tensor& t = pack.item[which];
  const bool whole = t.units == 1;
  const int64_t unit =
      whole ? 0 : int64_t(blockIdx.x - pack.first[which]) * kColumns + column_of_thread();
  const int64_t first = whole ? threadIdx.x : row_of_thread(), step = whole ? kThreads : kRowStep;
  const auto squares_of = [&](float scale) {
    Sum of_w, of_g;
#pragma unroll 4
    for (int64_t i = first; i < t.fan_in && unit < t.units; i += step) {
      const float w = scale * load(t.w, i * t.units + unit, t.dtype);
      const float g = scale * load(t.g, i * t.units + unit, t.dtype);
      of_w.add(w * w);
      of_g.add(g * g);
    }
    const double up = 1 / (double(scale) * scale);
    const double w = up * of_w.value(), g = up * of_g.value();
    return Squares{whole ? block_sum(w) : column_sum(w), whole ? block_sum(g) : column_sum(g)};
  };
  Squares squares = squares_of(1.f);
  if (!is_finite(block_sum(squares.w + squares.g))) {  // float32 squares overflow from 1.8e19 on
    const Squares scaled = squares_of(kSmall);
    if (!is_finite(squares.w)) squares.w = scaled.w;
    if (!is_finite(squares.g)) squares.g = scaled.g;
  }
  const bool writes = whole ? threadIdx.x == 0 : row_of_thread() == 0 && unit < t.units;
  if (writes) t.factor[unit] = factor(squares.w, squares.g, clipping, epsilon);
}
