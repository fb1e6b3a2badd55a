#include "device.h"
using namespace kab;

__device__ inline double decayed(double before, double now, double decay) {
  return (1 - decay) * before + decay * now;
}

__device__ inline double at_least(double x, double low) { return x < low ? low : x; }  // NaN stays

struct Place {
  const kab_adafactor_tensor& t;
  const Tiling& tiling;
  int64_t rows;  // of all its matrices
  double *w_squares, *u_squares, *mean_r, *rms_w, *scale;
  float *row_squares, *column_squares;
  __device__ explicit Place(const AdafactorItem& item)
      : t(item.t), tiling(item.tiling), rows(t.lead * t.rows), w_squares(item.scratch),
        u_squares(w_squares + t.lead * tiling.down * tiling.across), mean_r(u_squares + rows),
        rms_w(mean_r + t.lead), scale(rms_w + 1), row_squares(reinterpret_cast<float*>(scale + 1)),
        column_squares(row_squares + tiling.across * rows) {}
};

// The update of the elements of one row: what they share is computed once, in double.
struct RowUpdate {
  const kab_adafactor_tensor& t;
  int64_t begin, end;
  const float* c;
  float f;
  bool wide;
  __device__ RowUpdate(const Place& p, int64_t row)
      : t(p.t), begin(row * p.t.cols), end(begin + p.t.cols),
        c(p.t.c_out + row / p.t.rows * p.t.cols),
        f(float(sqrt(p.mean_r[row / p.t.rows] / double(p.t.r_out[row])))),
        wide(aligned(address(t.g, begin, t.dtype), address(t.w, begin, t.dtype),
                     address(t.w_out, begin, t.dtype), c)) {}
  template <class Access>
  __device__ auto operator()(Access access, int64_t i, int64_t j) const {
    auto u = access.load(t.g, i);
    const auto columns = access.load_float(c, j);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) u.x[k] *= f * (1.f / sqrtf(columns.x[k]));
    return u;
  }
};

// One block's tile: a thread goes down its columns.
struct Tile {
  int64_t across, down, matrix;
  int lanes, lane;  // groups of threads side by side that share its rows
  __device__ Tile(const Tiling& tiling, int64_t block)
      : across(block % tiling.across), down(block / tiling.across % tiling.down),
        matrix(block / tiling.across / tiling.down), lanes(kThreads / tiling.width),
        lane(int(threadIdx.x) / tiling.width) {}
  __device__ int64_t first_row() const { return down * kDown * lanes; }
};

// Sums what the `width` threads of each lane hold, for each of kDown rows, into the first of them.
__device__ inline void sum_lanes(float* of_rows, int width) {
  __syncthreads();
  for (int half = width / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) % width < half)
      for (int k = 0; k < kDown; ++k) {
        const int at = k * kThreads + int(threadIdx.x);
        of_rows[at] += of_rows[at + half];
      }
    __syncthreads();
  }
}

// The tile's sums of g^2 over rows and over columns into scratch; returns its sum of w^2.
template <class Access>
__device__ inline double sums_of_tile(const Place& p, int64_t block, float* of_rows,
                                      float* of_columns) {
  const Tile tile(p.tiling, block);
  const int width = p.tiling.width;
  const int64_t j = (tile.across * width + threadIdx.x % width) * Access::kAtOnce;
  Sum columns[Access::kAtOnce], w_squares;
#pragma unroll 2
  for (int k = 0; k < kDown; ++k) {
    const int64_t row = tile.first_row() + k * tile.lanes + tile.lane;
    float of_row = 0.f, of_w = 0.f;
    if (row < p.t.rows && j < p.t.cols) {
      const int64_t i = (tile.matrix * p.t.rows + row) * p.t.cols + j;
      const auto g = Access::load(p.t.g, i), w = Access::load(p.t.w, i);
#pragma unroll
      for (int n = 0; n < Access::kAtOnce; ++n) {
        columns[n].add(g.x[n] * g.x[n]);
        of_row += g.x[n] * g.x[n];
        of_w += w.x[n] * w.x[n];
      }
    }
    of_rows[k * kThreads + threadIdx.x] = of_row;
    w_squares.add(of_w);
  }
  sum_lanes(of_rows, width);
  for (int row = threadIdx.x; row < kDown * tile.lanes; row += kThreads)
    if (tile.first_row() + row < p.t.rows)
      p.row_squares[tile.across * p.rows + tile.matrix * p.t.rows + tile.first_row() + row] =
          of_rows[row / tile.lanes * kThreads + row % tile.lanes * width];
#pragma unroll
  for (int n = 0; n < Access::kAtOnce; ++n) {
    of_columns[threadIdx.x] = float(columns[n].value());
    __syncthreads();
    Sum sum;
    for (int lane = 0; lane < tile.lanes; ++lane)
      sum.add(of_columns[lane * width + threadIdx.x % width]);
    if (tile.lane == 0 && j + n < p.t.cols)
      p.column_squares[(tile.matrix * p.tiling.down + tile.down) * p.t.cols + j + n] =
          float(sum.value());
    __syncthreads();
  }
  return block_sum(w_squares.value());
}

template <int kType>
__device__ inline double sums_of_tile_as(const Place& p, int64_t block, float* of_rows,
                                         float* of_columns) {
  if (p.tiling.step > 1) return sums_of_tile<Access<kType, true>>(p, block, of_rows, of_columns);
  return sums_of_tile<Access<kType, false>>(p, block, of_rows, of_columns);
}

// One block a tile: reads each element once.
KAB_KERNEL kab_cuda_kernel_adafactor_moments(const __grid_constant__ Pack<AdafactorItem> pack) {
  __shared__ float of_rows[kDown * kThreads], of_columns[kThreads];
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t block = blockIdx.x - pack.first[which];
  double w_squares;
  if (p.t.dtype == KAB_FLOAT32)
    w_squares = sums_of_tile_as<KAB_FLOAT32>(p, block, of_rows, of_columns);
  else if (p.t.dtype == KAB_BFLOAT16)
    w_squares = sums_of_tile_as<KAB_BFLOAT16>(p, block, of_rows, of_columns);
  else
    w_squares = sums_of_tile_as<KAB_FLOAT16>(p, block, of_rows, of_columns);
  if (threadIdx.x == 0) p.w_squares[block] = w_squares;
}

// One thread for each row, then for each column, of all matrices: r and c.
KAB_KERNEL kab_cuda_kernel_adafactor_factors(const __grid_constant__ Pack<AdafactorItem> pack,
                                             const float* decay, double epsilon_1) {
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t row = int64_t(blockIdx.x - pack.first[which]) * kThreads + threadIdx.x;
  const int64_t column = row - p.rows, matrix = column / p.t.cols;
  const bool of_row = row < p.rows;
  if (!of_row && matrix >= p.t.lead) return;
  const int64_t count = of_row ? p.tiling.across : p.tiling.down;
  const int64_t apart = of_row ? p.rows : p.t.cols;
  const float* parts =
      of_row ? p.row_squares + row : p.column_squares + matrix * count * apart + column % apart;
  Sum squares;
#pragma unroll 4
  for (int64_t k = 0; k < count; ++k) squares.add(parts[k * apart]);
  const double mean = squares.value() / double(of_row ? p.t.cols : p.t.rows) + epsilon_1;
  if (of_row) p.t.r_out[row] = float(decayed(p.t.r[row], mean, *decay));
  else p.t.c_out[column] = float(decayed(p.t.c[column], mean, *decay));
}

// One block a tensor: the mean of r in each matrix, and max(epsilon_2, RMS(w)).
KAB_KERNEL kab_cuda_kernel_adafactor_means(const __grid_constant__ Pack<AdafactorItem> pack,
                                           double epsilon_2) {
  const Place p(pack.item[owner(pack)]);
  for (int64_t matrix = 0; matrix < p.t.lead; ++matrix) {
    Sum sum;
    for (int64_t i = threadIdx.x; i < p.t.rows; i += kThreads)
      sum.add(p.t.r_out[matrix * p.t.rows + i]);
    const double all = block_sum(sum.value());
    if (threadIdx.x == 0) p.mean_r[matrix] = all / double(p.t.rows);
  }
  const int64_t tiles = p.t.lead * p.tiling.down * p.tiling.across;
  double squares = 0;
  for (int64_t tile = threadIdx.x; tile < tiles; tile += kThreads) squares += p.w_squares[tile];
  squares = block_sum(squares);
  if (threadIdx.x == 0) *p.rms_w = at_least(sqrt(squares / double(p.t.n)), epsilon_2);
}

// One block a row.
KAB_KERNEL kab_cuda_kernel_adafactor_norm(const __grid_constant__ Pack<AdafactorItem> pack) {
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t row = blockIdx.x - pack.first[which];
  const RowUpdate update(p, row);
  Sum squares;
  sweep(update.begin, update.end, p.t.dtype, update.wide, [&](auto access, int64_t i, int64_t j) {
    const auto u = update(access, i, j);
    float few = 0.f;
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) few += u.x[k] * u.x[k];
    squares.add(few);
  });
  const double all = block_sum(squares.value());
  if (threadIdx.x == 0) p.u_squares[row] = all;
}

// One block a tensor.
KAB_KERNEL kab_cuda_kernel_adafactor_scale(const __grid_constant__ Pack<AdafactorItem> pack,
                                           const float* rho, double clip_threshold) {
  const Place p(pack.item[owner(pack)]);
  double squares = 0;
  for (int64_t row = threadIdx.x; row < p.rows; row += kThreads) squares += p.u_squares[row];
  squares = block_sum(squares);
  const double clip = at_least(sqrt(squares / double(p.t.n)) / clip_threshold, 1);
  if (threadIdx.x == 0) *p.scale = *p.rms_w * *rho / clip;
}

// One block a row.
KAB_KERNEL kab_cuda_kernel_adafactor_apply(const __grid_constant__ Pack<AdafactorItem> pack) {
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t row = blockIdx.x - pack.first[which];
  const RowUpdate update(p, row);
  const float scale = float(*p.scale);
  sweep(update.begin, update.end, p.t.dtype, update.wide, [&](auto access, int64_t i, int64_t j) {
    const auto u = update(access, i, j);
    auto w = access.load(p.t.w, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) w.x[k] -= scale * u.x[k];
    access.store(p.t.w_out, i, w);
  });
}

// One block a vector.
KAB_KERNEL kab_cuda_kernel_adafactor_vector(const __grid_constant__ Pack<AdafactorItem> pack,
                                            const float* rho, const float* decay, float epsilon_1,
                                            double epsilon_2, double clip_threshold) {
  const kab_adafactor_tensor& t = pack.item[owner(pack)].t;
  const float now = *decay, before = float(1 - double(now));
  Sum w_squares, u_squares;
  for (int64_t i = threadIdx.x; i < t.n; i += kThreads) {
    const float g = load(t.g, i, t.dtype), w = load(t.w, i, t.dtype);
    const float v = before * t.r[i] + now * (g * g + epsilon_1), u = g / sqrtf(v);
    t.r_out[i] = v;
    w_squares.add(w * w);
    u_squares.add(u * u);
  }
  const double n = double(t.n), rms_u = sqrt(block_sum(u_squares.value()) / n) / clip_threshold;
  const double rms_w = at_least(sqrt(block_sum(w_squares.value()) / n), epsilon_2);
  const float scale = float(rms_w * *rho / at_least(rms_u, 1));
  for (int64_t i = threadIdx.x; i < t.n; i += kThreads) {
    const float u = load(t.g, i, t.dtype) / sqrtf(t.r_out[i]);
    store(t.w_out, i, load(t.w, i, t.dtype) - scale * u, t.dtype);
  }
}
