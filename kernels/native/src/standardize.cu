#include "device.h"
using namespace kab;

// What a block of kColumns units finds in two passes over its columns.
struct Unit {
  double mean, squares;
};

__device__ inline Unit moments(const void* kernel, int dtype, int64_t fan_in, int64_t units,
                               int64_t unit) {
  double sum = 0, squares = 0;
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < fan_in && unit < units; i += kRowStep)
    sum += load(kernel, i * units + unit, dtype);
  const double mean = column_sum(sum) / double(fan_in);
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < fan_in && unit < units; i += kRowStep) {
    const double d = load(kernel, i * units + unit, dtype) - mean;
    squares += d * d;
  }
  return {mean, column_sum(squares)};
}

__device__ inline double scale_of(double squares, double epsilon) {
  return 1 / sqrt(squares < epsilon ? epsilon : squares);
}

KAB_KERNEL kab_cuda_kernel_standardize_forward(const void* kernel, int dtype, const float* gain,
                                               int64_t fan_in, int64_t units, double epsilon,
                                               void* result) {
  const int64_t unit = int64_t(blockIdx.x) * kColumns + column_of_thread();
  const Unit m = moments(kernel, dtype, fan_in, units, unit);
  if (unit >= units) return;
  const double scale = scale_of(m.squares, epsilon) * gain[unit];
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < fan_in; i += kRowStep) {
    const int64_t at = i * units + unit;
    store(result, at, float((load(kernel, at, dtype) - m.mean) * scale), dtype);
  }
}

KAB_KERNEL kab_cuda_kernel_standardize_backward(const void* kernel, int dtype, const float* gain,
                                                const void* upstream, int64_t fan_in,
                                                int64_t units, double epsilon, void* d_kernel,
                                                float* d_gain) {
  const int64_t unit = int64_t(blockIdx.x) * kColumns + column_of_thread();
  const Unit m = moments(kernel, dtype, fan_in, units, unit);
  double dot = 0, sum = 0;
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < fan_in && unit < units; i += kRowStep) {
    const double u = load(upstream, i * units + unit, dtype);
    dot += u * (load(kernel, i * units + unit, dtype) - m.mean);
    sum += u;
  }
  dot = column_sum(dot);
  const double mean_u = column_sum(sum) / double(fan_in);
  if (unit >= units) return;
  const double a = scale_of(m.squares, epsilon), scale = a * gain[unit];
  const double pull = m.squares < epsilon ? 0 : dot * a * a;
  if (row_of_thread() == 0) d_gain[unit] = float(a * dot);
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < fan_in; i += kRowStep) {
    const int64_t at = i * units + unit;
    const double d = load(kernel, at, dtype) - m.mean;
    store(d_kernel, at, float(scale * (load(upstream, at, dtype) - mean_u - pull * d)), dtype);
  }
}
