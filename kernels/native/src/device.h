// What the device code shares. NVRTC compiles it without any CUDA header.
#pragma once
#include "packs.h"

#define KAB_LAUNCHED(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define KAB_KERNEL KAB_LAUNCHED(256)
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

// So many elements in a row, as float32.
template <int N>
struct Several {
  float x[N];
};

// Moves elements of a type: 16 bytes of them in one access, or a single one.
template <int kType, bool kWide>
struct Access {
  static constexpr int kAtOnce = !kWide ? 1 : kType == KAB_FLOAT32 ? 4 : 8;
  using Values = Several<kAtOnce>;

  static __device__ Values load(const void* p, int64_t i) {
    Values values;
    if constexpr (!kWide) {
      values.x[0] = kab::load(p, i, kType);
    } else {
      const uint4 raw = static_cast<const uint4*>(p)[i / kAtOnce];
      const unsigned part[] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if constexpr (kType == KAB_FLOAT32) {
          values.x[k] = __uint_as_float(part[k]);
        } else {
          const unsigned short half = (unsigned short)(part[k / 2] >> (k % 2 * 16));
          values.x[k] = kab::load(&half, 0, kType);
        }
      }
    }
    return values;
  }

  static __device__ void store(void* p, int64_t i, const Values& values) {
    if constexpr (!kWide) {
      kab::store(p, i, values.x[0], kType);
    } else {
      unsigned part[4] = {0, 0, 0, 0};
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if constexpr (kType == KAB_FLOAT32) {
          part[k] = __float_as_uint(values.x[k]);
        } else {
          unsigned short half;
          kab::store(&half, 0, values.x[k], kType);
          part[k / 2] |= unsigned(half) << (k % 2 * 16);
        }
      }
      static_cast<uint4*>(p)[i / kAtOnce] = uint4{part[0], part[1], part[2], part[3]};
    }
  }

  // The same of float32 beside them, such as an accumulator's.
  static __device__ Values load_float(const float* p, int64_t i) {
    Values values;
    if constexpr (!kWide) {
      values.x[0] = p[i];
    } else {
#pragma unroll
      for (int k = 0; k < kAtOnce; k += 4) {
        const auto four = Access<KAB_FLOAT32, true>::load(p, i + k);
        for (int n = 0; n < 4; ++n) values.x[k + n] = four.x[n];
      }
    }
    return values;
  }

  static __device__ void store_float(float* p, int64_t i, const Values& values) {
    if constexpr (!kWide) {
      p[i] = values.x[0];
    } else {
#pragma unroll
      for (int k = 0; k < kAtOnce; k += 4)
        Access<KAB_FLOAT32, true>::store(
            p, i + k, {values.x[k], values.x[k + 1], values.x[k + 2], values.x[k + 3]});
    }
  }
};

__device__ inline const void* address(const void* p, int64_t i, int dtype) {
  return static_cast<const char*>(p) + i * (dtype == KAB_FLOAT32 ? 4 : 2);
}

// Whether accesses of 16 bytes may begin at all of them.
template <class... Pointers>
__device__ inline bool aligned(Pointers... pointers) {
  return ((reinterpret_cast<unsigned long long>(pointers) | ...) % 16) == 0;
}

template <int kType, class Body>
__device__ inline void sweep_as(int64_t begin, int64_t end, bool wide, Body body) {
  using Wide = Access<kType, true>;
  int64_t rest = begin;
  if (wide) {
    rest = end - (end - begin) % Wide::kAtOnce;
    for (int64_t i = begin + int64_t(threadIdx.x) * Wide::kAtOnce; i < rest;
         i += kThreads * Wide::kAtOnce)
      body(Wide(), i, i - begin);
  }
  for (int64_t i = rest + threadIdx.x; i < end; i += kThreads)
    body(Access<kType, false>(), i, i - begin);
}

// Calls body(access, i, i - begin) for the elements [begin, end), which the threads of the block
// share: in accesses of 16 bytes where `wide` says that those that are meant are aligned.
template <class Body>
__device__ inline void sweep(int64_t begin, int64_t end, int dtype, bool wide, Body body) {
  if (dtype == KAB_FLOAT32) sweep_as<KAB_FLOAT32>(begin, end, wide, body);
  else if (dtype == KAB_BFLOAT16) sweep_as<KAB_BFLOAT16>(begin, end, wide, body);
  else sweep_as<KAB_FLOAT16>(begin, end, wide, body);
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

// A sum of float32, and what its additions rounded away beside it: as good as one in float64, which
// consumers' GPUs add at a sixty-fourth of the speed.
// Source: D. Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B.
struct Sum {
  float high = 0.f, low = 0.f;
  __device__ void add(float x) {
    const float sum = __fadd_rn(high, x), back = __fsub_rn(sum, high);
    const float lost = __fadd_rn(__fsub_rn(high, __fsub_rn(sum, back)), __fsub_rn(x, back));
    low = __fadd_rn(low, lost);
    high = sum;
  }
  // Where `high` is infinite or NaN, `low` says nothing.
  __device__ double value() const { return low == low ? double(high) + double(low) : double(high); }
};

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

// The mean of the first kRowStep of a column's rows [begin, end), in each thread of the column.
__device__ inline float mean_of_first_rows(const void* p, int dtype, int64_t begin, int64_t end,
                                           int64_t columns, int64_t column) {
  const int64_t row = begin + row_of_thread(), count = end - begin;
  const bool is_there = row < end && column < columns;
  const double sum = column_sum(is_there ? load(p, row * columns + column, dtype) : 0.f);
  return float(sum / double(count < kRowStep ? count : kRowStep));
}

// What a thread finds in one pass over its rows of a column. All is told about a value near the mean
// (that of the first rows), so that little is lost when the mean is taken off in the end: the error
// grows by (mean - about)^2 / variance, which is no more than rows / kRowStep.
struct Column {
  float about;
  Sum sum, squares;
  __device__ float add(float x) {
    const float d = x - about;
    sum.add(d);
    squares.add(d * d);
    return d;
  }
};

// Squares about the mean, of n numbers with this sum and these squares about another value.
__device__ inline double about_mean(double squares, double sum, double n) {
  const double left = squares - sum * sum / n;
  return left < 0 ? 0 : left;  // NaN stays
}

}  // namespace kab
