#include "device.h"
using namespace kab;

// Keeps a NaN on either side.
__device__ inline float minimum(float a, float b) { return a != a || a < b ? a : b; }

__device__ inline float direction(float g, float nu, float epsilon) {
  return nu <= epsilon ? 0.f : g / sqrtf(nu);
}

__device__ inline float new_weight(const kab_sm3_tensor& t, int64_t i, float g, float nu,
                                   float learning_rate, float momentum, float rate, float epsilon) {
  float step = direction(g, nu, epsilon);
  if (t.momentum) {
    step = load(t.momentum, i, t.dtype) * momentum + step * rate;
    store(t.momentum_out, i, step, t.dtype);
  }
  return load(t.w, i, t.dtype) - learning_rate * step;
}

KAB_KERNEL kab_cuda_kernel_sm3_clear(const __grid_constant__ Pack<kab_sm3_tensor> pack,
                                     const float*, float, float, float) {
  const kab_sm3_tensor& t = pack.item[owner(pack)];
  for (int axis = 0; axis < t.rank; ++axis)
    for (int64_t k = threadIdx.x; k < t.dims[axis]; k += kThreads) t.accumulator_out[axis][k] = 0.f;
}

KAB_KERNEL kab_cuda_kernel_sm3_entries(const __grid_constant__ Pack<kab_sm3_tensor> pack,
                                       const float* learning_rate, float momentum, float rate,
                                       float epsilon) {
  const int which = owner(pack);
  const kab_sm3_tensor& t = pack.item[which];
  const int64_t begin = int64_t(blockIdx.x - pack.first[which]) * kChunk;
  const int64_t end = begin + kChunk < t.n ? begin + kChunk : t.n;
  const float* before = t.accumulator[0];
  float* after = t.accumulator_out[0];
  const float fast = *learning_rate;
  const bool wide = aligned(t.w, t.g, t.momentum, t.w_out, t.momentum_out, before, after);
  sweep(begin, end, t.dtype, wide, [&](auto access, int64_t i, int64_t) {
    const auto g = access.load(t.g, i);
    auto w = access.load(t.w, i), nu = access.load_float(before, i), step = g;
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) {
      nu.x[k] += g.x[k] * g.x[k];
      step.x[k] = direction(g.x[k], nu.x[k], epsilon);
    }
    access.store_float(after, i, nu);
    if (t.momentum) {
      const auto m = access.load(t.momentum, i);
#pragma unroll
      for (int k = 0; k < access.kAtOnce; ++k) step.x[k] = m.x[k] * momentum + step.x[k] * rate;
      access.store(t.momentum_out, i, step);
    }
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) w.x[k] -= fast * step.x[k];
    access.store(t.w_out, i, w);
  });
}

// The place on an axis of what is left of a line's number, and what is left then. The first axis
// needs no division, hence a matrix none.
__device__ inline int64_t place(const kab_sm3_tensor& t, int axis, int64_t& rest) {
  const int64_t all = rest, n = t.dims[axis];
  if (axis == 0) return all;
  rest = (all | n) >> 32 ? all / n : unsigned(all) / unsigned(n);
  return all - rest * n;
}

__device__ inline void raise_to(float* p, unsigned pattern) {
  atomicMax(reinterpret_cast<unsigned*>(p), pattern);  // patterns of sums of squares order as they
}

// A tile of lines by columns. Maxima over its columns are kept in registers, over its lines in
// shared memory, so that global atomics are one a column and thread, and one a line and axis.
KAB_KERNEL kab_cuda_kernel_sm3_lines(const __grid_constant__ Pack<kab_sm3_tensor> pack,
                                     const float* learning_rate, float momentum, float rate,
                                       float epsilon) {
  __shared__ unsigned line_top[kTile];
  const int which = owner(pack);
  const kab_sm3_tensor& t = pack.item[which];
  const int last = t.rank - 1;
  const int64_t n = t.dims[last], lines = t.n / n;
  int width = 1;
  while (width < n && width < kThreads) width *= 2;
  const int rows = kTile / width;
  const int64_t across = (n + width - 1) / width;
  const int64_t tile = int64_t(blockIdx.x - pack.first[which]);
  const int64_t j = tile % across * width + threadIdx.x % width, first = tile / across * rows;
  for (int k = threadIdx.x; k < rows; k += kThreads) line_top[k] = 0;
  __syncthreads();
  unsigned column_top = 0;
  for (int row = threadIdx.x / width; row < rows && first + row < lines && j < n;
       row += kThreads / width) {
    int64_t rest = first + row;
    float low = t.accumulator[last][j];
    for (int axis = last - 1; axis >= 0; --axis)
      low = minimum(t.accumulator[axis][place(t, axis, rest)], low);
    const int64_t i = (first + row) * n + j;
    const float g = load(t.g, i, t.dtype), nu = low + g * g;
    store(t.w_out, i, new_weight(t, i, g, nu, *learning_rate, momentum, rate, epsilon), t.dtype);
    const unsigned pattern = __float_as_uint(nu) & 0x7fffffffu;
    column_top = pattern > column_top ? pattern : column_top;
    atomicMax(&line_top[row], pattern);
  }
  if (j < n) raise_to(t.accumulator_out[last] + j, column_top);
  __syncthreads();
  for (int row = threadIdx.x; row < rows && first + row < lines; row += kThreads) {
    int64_t rest = first + row;
    for (int axis = last - 1; axis >= 0; --axis)
      raise_to(t.accumulator_out[axis] + place(t, axis, rest), line_top[row]);
  }
}
