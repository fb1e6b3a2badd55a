#include "device.h"
using namespace kab;

// Keeps a NaN on either side.
__device__ inline float minimum(float a, float b) { return a != a || a < b ? a : b; }

__device__ inline float direction(float g, float nu, float epsilon) {
  return nu <= epsilon ? 0.f : g / sqrtf(nu);
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

// One thread's columns of a tile, its rows down. Maxima over its columns it keeps; those over a
// line's columns are put together in shared memory, `line_top`, one a row and thread side by side.
template <class Access>
__device__ inline void go_down(const kab_sm3_tensor& t, int width, int64_t first, int64_t j,
                               float learning_rate, float momentum, float rate, float epsilon,
                               unsigned* line_top) {
  constexpr int kAtOnce = Access::kAtOnce;
  const int last = t.rank - 1;
  const int64_t n = t.dims[last], lines = t.n / n;
  const bool is_there = j < n;
  Several<kAtOnce> before{};
  if (is_there) before = Access::load_float(t.accumulator[last], j);
  unsigned column_top[kAtOnce] = {};
#pragma unroll 2
  for (int down = 0; down < kDown; ++down) {
    const int row = threadIdx.x / width + down * (kThreads / width);
    unsigned top = 0;
    if (is_there && first + row < lines) {
      int64_t rest = first + row;
      const int64_t i = rest * n + j;
      auto step = Access::load(t.g, i);
      float line = KAB_INFINITY;
      for (int axis = last - 1; axis >= 0; --axis)
        line = minimum(t.accumulator[axis][place(t, axis, rest)], line);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const float g = step.x[k], nu = minimum(line, before.x[k]) + g * g;
        step.x[k] = direction(g, nu, epsilon);
        const unsigned pattern = __float_as_uint(nu) & 0x7fffffffu;
        column_top[k] = pattern > column_top[k] ? pattern : column_top[k];
        top = pattern > top ? pattern : top;
      }
      if (t.momentum) {
        const auto m = Access::load(t.momentum, i);
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) step.x[k] = m.x[k] * momentum + step.x[k] * rate;
        Access::store(t.momentum_out, i, step);
      }
      auto w = Access::load(t.w, i);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) w.x[k] -= learning_rate * step.x[k];
      Access::store(t.w_out, i, w);
    }
    line_top[threadIdx.x + down * kThreads] = top;  // of row * width + side
  }
  if (!is_there) return;
#pragma unroll
  for (int k = 0; k < kAtOnce; ++k) raise_to(t.accumulator_out[last] + j + k, column_top[k]);
}

// A tile of lines by columns: global atomics are one for each column of each thread, and one for each
// axis of each line.
// Four blocks to a multiprocessor are half of its threads.
KAB_LAUNCHED(256, 4)
kab_cuda_kernel_sm3_lines(const __grid_constant__ Pack<kab_sm3_tensor> pack,
                          const float* learning_rate, float momentum, float rate, float epsilon) {
  __shared__ unsigned line_top[kThreads * kDown];
  const int which = owner(pack);
  const kab_sm3_tensor& t = pack.item[which];
  const Tiling tiling = tiling_of(t);
  const int width = tiling.width, rows = kThreads / width * kDown;
  const bool is_wide = tiling.step > 1;
  const int64_t tile = int64_t(blockIdx.x - pack.first[which]);
  const int64_t j = (tile % tiling.across * width + threadIdx.x % width) * tiling.step;
  const int64_t first = tile / tiling.across * rows;
  const auto down = [&](auto access) {
    go_down<decltype(access)>(t, width, first, j, *learning_rate, momentum, rate, epsilon, line_top);
  };
  if (t.dtype == KAB_FLOAT32)
    is_wide ? down(Access<KAB_FLOAT32, true>()) : down(Access<KAB_FLOAT32, false>());
  else if (t.dtype == KAB_BFLOAT16)
    is_wide ? down(Access<KAB_BFLOAT16, true>()) : down(Access<KAB_BFLOAT16, false>());
  else
    is_wide ? down(Access<KAB_FLOAT16, true>()) : down(Access<KAB_FLOAT16, false>());
  __syncthreads();
  for (int half = width / 2; half > 0; half /= 2) {
    for (int k = threadIdx.x; k < rows * half; k += kThreads) {
      unsigned* at = line_top + k / half * width + k % half;
      at[0] = at[half] > at[0] ? at[half] : at[0];
    }
    __syncthreads();
  }
  const int64_t lines = t.n / t.dims[t.rank - 1];
  for (int row = threadIdx.x; row < rows && first + row < lines; row += kThreads) {
    int64_t rest = first + row;
    for (int axis = t.rank - 2; axis >= 0; --axis)
      raise_to(t.accumulator_out[axis] + place(t, axis, rest), line_top[row * width]);
  }
}
