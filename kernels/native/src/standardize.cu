#include "device.h"
using namespace kab;

// Of one unit; its mean is about + shift.
struct Unit {
  float about;
  double shift, squares;
};

// What a block finds of kColumns units in one pass, which calls also(i, w[i] - about) on its way.
template <class Also>
__device__ inline Unit moments(const void* kernel, int dtype, int64_t fan_in, int64_t units,
                               int64_t unit, Also also) {
  Column column{mean_of_first_rows(kernel, dtype, 0, fan_in, units, unit)};
  const int64_t end = unit < units ? fan_in * units : 0, step = kRowStep * units;
#pragma unroll 4
  for (int64_t at = row_of_thread() * units + unit; at < end; at += step)
    also(at, column.add(load(kernel, at, dtype)));
  const double sum = column_sum(column.sum.value()), n = double(fan_in);
  const double squares = column_sum(column.squares.value());
  return {column.about, sum / n, about_mean(squares, sum, n)};
}

__device__ inline double scale_of(double squares, double epsilon) {
  return 1 / sqrt(squares < epsilon ? epsilon : squares);
}

KAB_KERNEL kab_cuda_kernel_standardize_forward(const void* kernel, int dtype, const float* gain,
                                               int64_t fan_in, int64_t units, double epsilon,
                                               void* result) {
  const int64_t unit = int64_t(blockIdx.x) * kColumns + column_of_thread();
  const Unit m = moments(kernel, dtype, fan_in, units, unit, [](int64_t, float) {});
  if (unit >= units) return;
  const float scale = float(scale_of(m.squares, epsilon) * gain[unit]), shift = float(m.shift);
  const int64_t end = fan_in * units, step = kRowStep * units;
#pragma unroll 4
  for (int64_t at = row_of_thread() * units + unit; at < end; at += step)
    store(result, at, (load(kernel, at, dtype) - m.about - shift) * scale, dtype);
}

KAB_KERNEL kab_cuda_kernel_standardize_backward(const void* kernel, int dtype, const float* gain,
                                                const void* upstream, int64_t fan_in,
                                                int64_t units, double epsilon, void* d_kernel,
                                                float* d_gain) {
  const int64_t unit = int64_t(blockIdx.x) * kColumns + column_of_thread();
  const float about_u = mean_of_first_rows(upstream, dtype, 0, fan_in, units, unit);
  Sum products, ups;
  const Unit m = moments(kernel, dtype, fan_in, units, unit, [&](int64_t at, float d) {
    const float u = load(upstream, at, dtype) - about_u;
    products.add(u * d);
    ups.add(u);
  });
  const double sum = column_sum(ups.value());
  const double dot = column_sum(products.value()) - m.shift * sum;  // about the means
  if (unit >= units) return;
  const double a = scale_of(m.squares, epsilon);
  const float scale = float(a * gain[unit]), shift_u = float(sum / double(fan_in));
  const float pull = m.squares < epsilon ? 0.f : float(dot * a * a), shift = float(m.shift);
  if (row_of_thread() == 0) d_gain[unit] = float(a * dot);
  const int64_t end = fan_in * units, step = kRowStep * units;
#pragma unroll 4
  for (int64_t at = row_of_thread() * units + unit; at < end; at += step) {
    const float d = load(kernel, at, dtype) - m.about - shift;
    const float u = load(upstream, at, dtype) - about_u - shift_u;
    store(d_kernel, at, scale * (u - pull * d), dtype);
  }
}
