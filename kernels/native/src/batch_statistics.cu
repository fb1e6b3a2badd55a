#include "device.h"
using namespace kab;

// grid (strips of kColumns channels, parts): moments of one part of the rows, into scratch as
// mean[part][channel], then squares[part][channel].
KAB_KERNEL kab_cuda_kernel_batch_statistics_parts(const void* x, int dtype, int64_t rows,
                                                  int64_t channels, int64_t rows_a_part,
                                                  double* scratch) {
  const int64_t c = int64_t(blockIdx.x) * kColumns + column_of_thread(), part = blockIdx.y;
  const int64_t begin = part * rows_a_part;
  const int64_t end = begin + rows_a_part < rows ? begin + rows_a_part : rows;
  Column column{mean_of_first_rows(x, dtype, begin, end, channels, c)};
#pragma unroll 4
  for (int64_t i = begin + row_of_thread(); i < end && c < channels; i += kRowStep)
    column.add(load(x, i * channels + c, dtype));
  const double sum = column_sum(column.sum.value()), n = double(end - begin);
  const double squares = column_sum(column.squares.value());
  if (row_of_thread() || c >= channels) return;
  scratch[part * channels + c] = column.about + sum / n;
  scratch[(int64_t(gridDim.y) + part) * channels + c] = about_mean(squares, sum, n);
}

__device__ inline double rows_of(int64_t part, int64_t rows, int64_t rows_a_part) {
  const int64_t left = rows - part * rows_a_part;
  return double(left < rows_a_part ? left : rows_a_part);
}

// grid (strips of kColumns channels): joins the parts. The squares about the mean of all are those
// about the parts' own means, and those of the parts' means about it: nothing is divided by part.
// A channel's squares go into scratch, behind those of the parts.
KAB_KERNEL kab_cuda_kernel_batch_statistics_join(int64_t rows, int64_t channels,
                                                 int64_t rows_a_part, int64_t parts,
                                                 double* scratch, float* mean) {
  const int64_t c = int64_t(blockIdx.x) * kColumns + column_of_thread();
  const double* means = scratch;
  const double* squares = scratch + parts * channels;
  double sum = 0, total = 0;
#pragma unroll 4
  for (int64_t part = row_of_thread(); part < parts && c < channels; part += kRowStep)
    sum += means[part * channels + c] * rows_of(part, rows, rows_a_part);
  const double average = column_sum(sum) / double(rows);
#pragma unroll 4
  for (int64_t part = row_of_thread(); part < parts && c < channels; part += kRowStep) {
    const double d = means[part * channels + c] - average;
    total += squares[part * channels + c] + d * d * rows_of(part, rows, rows_a_part);
  }
  total = column_sum(total);
  if (row_of_thread() || c >= channels) return;
  mean[c] = rows ? float(average) : KAB_NAN;
  scratch[2 * parts * channels + c] = total;
}

// One block: the one variance of all channels.
KAB_KERNEL kab_cuda_kernel_batch_statistics_pool(int64_t rows, int64_t channels,
                                                 const double* squares, float* variance) {
  double total = 0;
#pragma unroll 4
  for (int64_t c = threadIdx.x; c < channels; c += kThreads) total += squares[c];
  total = block_sum(total);
  if (threadIdx.x == 0)
    *variance = rows && channels ? float(total / (double(rows) * double(channels))) : KAB_NAN;
}

KAB_KERNEL kab_cuda_kernel_batch_statistics_backward(const void* x, int dtype, const float* mean,
                                                     const float* d_mean, const float* d_variance,
                                                     int64_t rows, int64_t channels, void* d_x) {
  const double count = double(rows) * double(channels);
  const float scale = float(2. * *d_variance / count);
  const int64_t begin = int64_t(blockIdx.x) * kChunk, all = rows * channels;
  const int64_t end = begin + kChunk < all ? begin + kChunk : all;
  const float share = float(1. / double(rows));
  const unsigned first = unsigned(begin % channels);  // channels + kChunk fit 32 bits
  const int at_once = dtype == KAB_FLOAT32 ? 4 : 8;
  const bool wide = channels % at_once == 0 && aligned(x, d_x, mean, d_mean);
  sweep(begin, end, dtype, wide, [&](auto access, int64_t i, int64_t from_begin) {
    const unsigned c = (first + unsigned(from_begin)) % unsigned(channels);
    const auto means = access.load_float(mean, c), d_means = access.load_float(d_mean, c);
    auto d = access.load(x, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k)
      d.x[k] = d_means.x[k] * share + scale * (d.x[k] - means.x[k]);
    access.store(d_x, i, d);
  });
}
