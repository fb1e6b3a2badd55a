// What the device code shares. NVRTC compiles it without any CUDA header.
#pragma once
#include "packs.h"

#define KAB_KERNEL extern "C" __global__ void __launch_bounds__(256)
#define KAB_INFINITY __int_as_float(0x7f800000)
#define KAB_NAN __int_as_float(0x7fc00000)

namespace kab {

#ifdef __CUDACC_RTC__
__device__ inline float from_half(unsigned short raw) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(raw));
  return x;
}
__device__ inline unsigned short to_half(float x) {
  unsigned short raw;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(raw) : "f"(x));
  return raw;
}
#endif

// The dtype is one for a whole block, so the branches do not diverge.
__device__ inline float load(const void* p, int64_t i, int dtype) {
  if (dtype == KAB_FLOAT32) return static_cast<const float*>(p)[i];
  const unsigned short raw = static_cast<const unsigned short*>(p)[i];
  return dtype == KAB_BFLOAT16 ? __uint_as_float(unsigned(raw) << 16) : from_half(raw);
}

__device__ inline unsigned short to_bfloat16(float x) {
  const unsigned b = __float_as_uint(x);
  if (x != x) return (unsigned short)((b >> 16) | 0x40u);
  return (unsigned short)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

__device__ inline void store(void* p, int64_t i, float x, int dtype) {
  if (dtype == KAB_FLOAT32) static_cast<float*>(p)[i] = x;
  else static_cast<unsigned short*>(p)[i] = dtype == KAB_BFLOAT16 ? to_bfloat16(x) : to_half(x);
}

// The tensor that owns this block, by bisection.
template <class T>
__device__ int owner(const Pack<T>& pack) {
  int low = 0, high = pack.n;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (pack.first[middle] <= int(blockIdx.x)) low = middle;
    else high = middle;
  }
  return low;
}

// The block's sum, in every thread; the order is fixed, so a run repeats exactly.
__device__ inline double block_sum(double x) {
  __shared__ double part[kThreads];
  part[threadIdx.x] = x;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  const double sum = part[0];
  __syncthreads();
  return sum;
}

// Column kernels: thread t works on column t % kColumns, with every kRowStep-th row from t / kColumns.
__device__ inline int column_of_thread() { return int(threadIdx.x) % kColumns; }
__device__ inline int row_of_thread() { return int(threadIdx.x) / kColumns; }
constexpr int kRowStep = kThreads / kColumns;

// The sum over the threads of one column, in each of them.
__device__ inline double column_sum(double x) {
  __shared__ double part[kThreads];
  part[threadIdx.x] = x;
  __syncthreads();
  double sum = 0;
  for (int row = 0; row < kRowStep; ++row) sum += part[row * kColumns + column_of_thread()];
  __syncthreads();
  return sum;
}

}  // namespace kab
