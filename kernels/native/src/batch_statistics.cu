#include "device.h"
using namespace kab;

// grid (strips of 32 channels, parts): moments of one part of the rows, into scratch as
// mean[part][channel], then squares[part][channel].
KAB_KERNEL kab_cuda_kernel_batch_statistics_parts(const void* x, int dtype, int64_t rows,
                                                  int64_t channels, int64_t rows_a_part,
                                                  double* scratch) {
  const int64_t c = int64_t(blockIdx.x) * kColumns + column_of_thread(), part = blockIdx.y;
  const int64_t begin = part * rows_a_part;
  const int64_t end = begin + rows_a_part < rows ? begin + rows_a_part : rows;
  double sum = 0, squares = 0;
  for (int64_t i = begin + row_of_thread(); i < end && c < channels; i += kRowStep)
    sum += load(x, i * channels + c, dtype);
  const double mean = column_sum(sum) / double(end - begin);
  for (int64_t i = begin + row_of_thread(); i < end && c < channels; i += kRowStep) {
    const double d = load(x, i * channels + c, dtype) - mean;
    squares += d * d;
  }
  squares = column_sum(squares);
  if (row_of_thread() || c >= channels) return;
  scratch[part * channels + c] = mean;
  scratch[(int64_t(gridDim.y) + part) * channels + c] = squares;
}

// One block: joins the parts (Chan, Golub and LeVeque 1983, eq. 2.1), then the channels.
KAB_KERNEL kab_cuda_kernel_batch_statistics_join(int64_t rows, int64_t channels,
                                                 int64_t rows_a_part, int64_t parts,
                                                 const double* scratch, float* mean,
                                                 float* variance) {
  double total = 0;
  for (int64_t c = threadIdx.x; c < channels; c += kThreads) {
    double n = 0, average = 0, squares = 0;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t left = rows - part * rows_a_part;
      const double own = double(left < rows_a_part ? left : rows_a_part), all = n + own;
      const double d = scratch[part * channels + c] - average;
      average += d * own / all;
      squares += scratch[(parts + part) * channels + c] + d * d * n * own / all;
      n = all;
    }
    mean[c] = rows ? float(average) : KAB_NAN;
    total += squares;
  }
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
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const int64_t c = i % channels;
    const float shift = float(double(d_mean[c]) / double(rows));
    store(d_x, i, shift + scale * (load(x, i, dtype) - mean[c]), dtype);
  }
}
