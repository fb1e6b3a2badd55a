#include "device.h"
using namespace kab;

__device__ inline double decayed(double before, double now, double decay) {
  return (1 - decay) * before + decay * now;
}

__device__ inline double at_least(double x, double low) { return x < low ? low : x; }  // NaN stays

struct Place {
  const kab_adafactor_tensor& t;
  int64_t rows;  // of all its matrices
  double *w_squares, *u_squares, *mean_r, *rms_w, *scale;
  __device__ explicit Place(const AdafactorItem& item)
      : t(item.t), rows(item.t.lead * item.t.rows), w_squares(item.scratch),
        u_squares(w_squares + rows), mean_r(u_squares + rows), rms_w(mean_r + item.t.lead),
        scale(rms_w + 1) {}
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

// One block a row.
KAB_KERNEL kab_cuda_kernel_adafactor_rows(const __grid_constant__ Pack<AdafactorItem> pack,
                                          const float* decay, double epsilon_1) {
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t row = blockIdx.x - pack.first[which];
  const int64_t begin = row * p.t.cols;
  const bool wide = aligned(address(p.t.g, begin, p.t.dtype), address(p.t.w, begin, p.t.dtype));
  double squares = 0, w_squares = 0;
  sweep(begin, begin + p.t.cols, p.t.dtype, wide, [&](auto access, int64_t i, int64_t) {
    const auto g = access.load(p.t.g, i), w = access.load(p.t.w, i);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) {
      squares += double(g.x[k]) * g.x[k] + epsilon_1;
      w_squares += double(w.x[k]) * w.x[k];
    }
  });
  squares = block_sum(squares);
  w_squares = block_sum(w_squares);
  if (threadIdx.x) return;
  p.t.r_out[row] = float(decayed(p.t.r[row], squares / double(p.t.cols), *decay));
  p.w_squares[row] = w_squares;
}

// One block for kColumns columns of one matrix.
KAB_KERNEL kab_cuda_kernel_adafactor_columns(const __grid_constant__ Pack<AdafactorItem> pack,
                                             const float* decay, double epsilon_1) {
  const int which = owner(pack);
  const kab_adafactor_tensor& t = pack.item[which].t;
  const int64_t strips = (t.cols + kColumns - 1) / kColumns;
  const int64_t block = blockIdx.x - pack.first[which], matrix = block / strips;
  const int64_t j = block % strips * kColumns + column_of_thread();
  double sum = 0;
#pragma unroll 4
  for (int64_t i = row_of_thread(); i < t.rows && j < t.cols; i += kRowStep) {
    const double g = load(t.g, (matrix * t.rows + i) * t.cols + j, t.dtype);
    sum += g * g + epsilon_1;
  }
  sum = column_sum(sum);
  const int64_t at = matrix * t.cols + j;
  if (row_of_thread() == 0 && j < t.cols)
    t.c_out[at] = float(decayed(t.c[at], sum / double(t.rows), *decay));
}

// One block a tensor: the mean of r in each matrix, and max(epsilon_2, RMS(w)).
KAB_KERNEL kab_cuda_kernel_adafactor_means(const __grid_constant__ Pack<AdafactorItem> pack,
                                           double epsilon_2) {
  const Place p(pack.item[owner(pack)]);
  for (int64_t matrix = 0; matrix < p.t.lead; ++matrix) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < p.t.rows; i += kThreads) sum += p.t.r_out[matrix * p.t.rows + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) p.mean_r[matrix] = sum / double(p.t.rows);
  }
  double squares = 0;
  for (int64_t row = threadIdx.x; row < p.rows; row += kThreads) squares += p.w_squares[row];
  squares = block_sum(squares);
  if (threadIdx.x == 0) *p.rms_w = at_least(sqrt(squares / double(p.t.n)), epsilon_2);
}

// One block a row.
KAB_KERNEL kab_cuda_kernel_adafactor_norm(const __grid_constant__ Pack<AdafactorItem> pack) {
  const int which = owner(pack);
  const Place p(pack.item[which]);
  const int64_t row = blockIdx.x - pack.first[which];
  const RowUpdate update(p, row);
  double squares = 0;
  sweep(update.begin, update.end, p.t.dtype, update.wide, [&](auto access, int64_t i, int64_t j) {
    const auto u = update(access, i, j);
#pragma unroll
    for (int k = 0; k < access.kAtOnce; ++k) squares += double(u.x[k]) * u.x[k];
  });
  squares = block_sum(squares);
  if (threadIdx.x == 0) p.u_squares[row] = squares;
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
                                            const float* rho, const float* decay, double epsilon_1,
                                            double epsilon_2, double clip_threshold) {
  const kab_adafactor_tensor& t = pack.item[owner(pack)].t;
  double w_squares = 0, u_squares = 0;
  for (int64_t i = threadIdx.x; i < t.n; i += kThreads) {
    const double g = load(t.g, i, t.dtype), w = load(t.w, i, t.dtype);
    const double v = decayed(t.r[i], g * g + epsilon_1, *decay);
    t.r_out[i] = float(v);
    w_squares += w * w;
    u_squares += g * g / v;
  }
  const double n = double(t.n), rms_u = sqrt(block_sum(u_squares) / n) / clip_threshold;
  const double rms_w = at_least(sqrt(block_sum(w_squares) / n), epsilon_2);
  const float scale = float(rms_w * *rho / at_least(rms_u, 1));
  for (int64_t i = threadIdx.x; i < t.n; i += kThreads) {
    const float u = load(t.g, i, t.dtype) / sqrtf(t.r_out[i]);
    store(t.w_out, i, load(t.w, i, t.dtype) - scale * u, t.dtype);
  }
}
