// Adafactor, Shazeer and Stern (2018), arXiv 1804.04235, Algorithms 4 and 5, for stacks of
// matrices (the last two axes are factored) and for vectors (not factored).
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

// A tensor up to kWhole elements is one worker's from the first pass to the last, so that it is
// read from memory once; a larger one is shared, pass after pass, in blocks of whole rows. There are
// kBlocks at most, of kRows at least: each has its own sums, joined in the order of the blocks, so
// that the result does not depend on the threads; beside matrices of many rows they are small.
constexpr int64_t kWhole = 1 << 20, kBlocks = 32, kRows = 16;

template <class T>
const T* at(const void* p, int64_t i) {
  return static_cast<const T*>(p) + i;
}

// Pass 1 on rows [begin, end): mean of g^2 + eps over each row, its sum over the block per column
// (of each matrix that the block has rows of), and the sum of w^2. Sums are double: g^2 in float32 overflows from 1.9e19 on.
template <class T>
KAB_INLINE void moments_as(const kab_adafactor_tensor* t, int64_t begin, int64_t end,
                           double epsilon, float* row_mean, double* column_sum, double* w_squares,
                           int32_t /*dtype*/) {
  double total = 0;
  for (int64_t row = begin; row < end; ++row) {
    const T *w = at<T>(t->w, row * t->cols), *g = at<T>(t->g, row * t->cols);
    double* columns = column_sum + (row / t->rows - begin / t->rows) * t->cols;
    double row_sum = 0, w_sum = 0;
#pragma omp simd reduction(+ : row_sum, w_sum)
    for (int64_t j = 0; j < t->cols; ++j) {
      const double x = kab::load(w[j]), y = kab::load(g[j]), square = y * y + epsilon;
      columns[j] += square;
      row_sum += square;
      w_sum += x * x;
    }
    row_mean[row] = float(row_sum / double(t->cols));
    total += w_sum;
  }
  *w_squares += total;
}

KAB_PER_DTYPE(moments,
              (const kab_adafactor_tensor* t, int64_t begin, int64_t end, double epsilon,
               float* row_mean, double* column_sum, double* w_squares, int32_t dtype),
              (t, begin, end, epsilon, row_mean, column_sum, w_squares, dtype))

// Pass 2: the sum of U^2, U = g * row_factor * column_factor.
template <class T>
KAB_INLINE void update_norm_as(const kab_adafactor_tensor* t, int64_t begin, int64_t end,
                               const float* row_factor, const float* column_factor,
                               double* u_squares, int32_t /*dtype*/) {
  for (int64_t row = begin; row < end; ++row) {
    const T* g = at<T>(t->g, row * t->cols);
    const float* columns = column_factor + row / t->rows * t->cols;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < t->cols; ++j) {
      const double u = kab::load(g[j]) * row_factor[row] * columns[j];
      sum += u * u;
    }
    *u_squares += sum;
  }
}

KAB_PER_DTYPE(update_norm,
              (const kab_adafactor_tensor* t, int64_t begin, int64_t end, const float* row_factor,
               const float* column_factor, double* u_squares, int32_t dtype),
              (t, begin, end, row_factor, column_factor, u_squares, dtype))

// Pass 3: w -= scale * U.
template <class T>
KAB_INLINE void apply_as(const kab_adafactor_tensor* t, int64_t begin, int64_t end,
                         const float* row_factor, const float* column_factor, float scale,
                         int32_t /*dtype*/) {
  for (int64_t row = begin; row < end; ++row) {
    const T *w = at<T>(t->w, row * t->cols), *g = at<T>(t->g, row * t->cols);
    T* out = static_cast<T*>(t->w_out) + row * t->cols;
    const float* columns = column_factor + row / t->rows * t->cols;
#pragma GCC ivdep
    for (int64_t j = 0; j < t->cols; ++j) {
      const float u = kab::load(g[j]) * row_factor[row] * columns[j];
      kab::store(out + j, kab::load(w[j]) - scale * u);
    }
  }
}

KAB_PER_DTYPE(apply,
              (const kab_adafactor_tensor* t, int64_t begin, int64_t end, const float* row_factor,
               const float* column_factor, float scale, int32_t dtype),
              (t, begin, end, row_factor, column_factor, scale, dtype))

template <class T>
KAB_INLINE void vector_as(const kab_adafactor_tensor* t, const kab_adafactor_step* s,
                          int32_t /*dtype*/) {
  const T *w = at<T>(t->w, 0), *g = at<T>(t->g, 0);
  T* out = static_cast<T*>(t->w_out);
  double w_squares = 0, u_squares = 0;
#pragma omp simd reduction(+ : w_squares, u_squares)
  for (int64_t i = 0; i < t->n; ++i) {
    const double x = kab::load(w[i]), y = kab::load(g[i]);
    const double v = (1 - s->decay) * t->r[i] + s->decay * (y * y + s->epsilon_1);
    t->r_out[i] = float(v);
    w_squares += x * x;
    u_squares += y * y / v;
  }
  const double n = double(t->n), rms_u = std::sqrt(u_squares / n);
  const double rms_w = std::sqrt(w_squares / n);
  // Written so that a NaN on either side stays one.
  const double clip = rms_u / s->clip_threshold < 1 ? 1 : rms_u / s->clip_threshold;
  const float scale = float((rms_w < s->epsilon_2 ? s->epsilon_2 : rms_w) * s->rho / clip);
#pragma GCC ivdep
  for (int64_t i = 0; i < t->n; ++i)
    kab::store(out + i,
               kab::load(w[i]) - scale * (kab::load(g[i]) / std::sqrt(t->r_out[i])));
}

KAB_PER_DTYPE(vector, (const kab_adafactor_tensor* t, const kab_adafactor_step* s, int32_t dtype),
              (t, s, dtype))

// One tensor's update, pass after pass; the passes' blocks run on `workers`.
class Matrices {
 public:
  Matrices(const kab_adafactor_tensor& t, const kab_adafactor_step& s, const kab_workers* workers)
      : t_(t), s_(s), workers_(workers), rows_(t.lead * t.rows), columns_(t.lead * t.cols) {
    rows_a_block_ = workers ? std::max(kRows, kab::ceil_div(rows_, kBlocks)) : rows_;
  }

  void run() {
    const double rms_w = std::sqrt(first_pass() / double(t_.n));
    make_factors();
    const double rms_u = std::sqrt(second_pass() / double(t_.n)) / s_.clip_threshold;
    const double alpha = (rms_w < s_.epsilon_2 ? s_.epsilon_2 : rms_w) * s_.rho;
    third_pass(float(alpha / (rms_u < 1 ? 1 : rms_u)));
  }

 private:
  int64_t blocks() const { return kab::ceil_div(rows_, rows_a_block_); }

  template <class Pass>
  void each(Pass pass) {
    kab::for_each_block(workers_, blocks(), t_.n, [&](int64_t, int64_t block) {
      const int64_t begin = block * rows_a_block_;
      pass(block, begin, std::min(rows_, begin + rows_a_block_));
    });
  }

  double first_pass() {
    std::vector<std::vector<double>> parts(blocks());
    std::vector<double> w_squares(blocks(), 0.), columns(columns_, 0.);
    std::vector<float> row_mean(rows_);
    each([&](int64_t block, int64_t begin, int64_t end) {
      const int64_t matrices = (end - 1) / t_.rows - begin / t_.rows + 1;
      parts[block].assign(matrices * t_.cols, 0.);
      moments(&t_, begin, end, s_.epsilon_1, row_mean.data(), parts[block].data(),
              &w_squares[block], t_.dtype);
    });
    for (int64_t block = 0; block < blocks(); ++block) {
      double* sums = columns.data() + block * rows_a_block_ / t_.rows * t_.cols;
      for (double part : parts[block]) *sums++ += part;
    }
    for (int64_t i = 0; i < rows_; ++i) t_.r_out[i] = decayed(t_.r[i], row_mean[i]);
    for (int64_t j = 0; j < columns_; ++j)
      t_.c_out[j] = decayed(t_.c[j], columns[j] / double(t_.rows));
    return sum(w_squares);
  }

  float decayed(double before, double now) const {
    return float((1 - s_.decay) * before + s_.decay * now);
  }

  // 1/sqrt(V) = sqrt(mean r) / sqrt(r_i) * 1/sqrt(c_j), never through V itself: where a row and a
  // column of g are zero V is about 1e-60, 0 in float32, and 0/0 was Keras 3.15.1's NaN.
  void make_factors() {
    row_factor_.resize(rows_);
    column_factor_.resize(columns_);
    for (int64_t l = 0; l < t_.lead; ++l) {
      const float* r = t_.r_out + l * t_.rows;
      double sum = 0;
      for (int64_t i = 0; i < t_.rows; ++i) sum += r[i];
      for (int64_t i = 0; i < t_.rows; ++i)
        row_factor_[l * t_.rows + i] = float(std::sqrt(sum / double(t_.rows) / r[i]));
    }
    for (int64_t j = 0; j < columns_; ++j)
      column_factor_[j] = float(1 / std::sqrt(double(t_.c_out[j])));
  }

  double second_pass() {
    std::vector<double> u_squares(blocks(), 0.);
    each([&](int64_t block, int64_t begin, int64_t end) {
      update_norm(&t_, begin, end, row_factor_.data(), column_factor_.data(), &u_squares[block],
                  t_.dtype);
    });
    return sum(u_squares);
  }

  static double sum(const std::vector<double>& parts) {
    return std::accumulate(parts.begin(), parts.end(), 0.);
  }

  void third_pass(float scale) {
    each([&](int64_t, int64_t begin, int64_t end) {
      apply(&t_, begin, end, row_factor_.data(), column_factor_.data(), scale, t_.dtype);
    });
  }

  kab_adafactor_tensor t_;
  kab_adafactor_step s_;
  const kab_workers* workers_;
  int64_t rows_, columns_, rows_a_block_;
  std::vector<float> row_factor_, column_factor_;
};

void update(const kab_adafactor_tensor& t, const kab_adafactor_step& s,
            const kab_workers* workers) {
  if (t.n == 0) {  // no gradient, no news: what is kept stays
    std::copy_n(t.r, t.c ? t.lead * t.rows : 0, t.r_out);
    if (t.c) std::copy_n(t.c, t.lead * t.cols, t.c_out);
    return;
  }
  if (t.c)
    Matrices(t, s, workers).run();
  else
    vector(&t, &s, t.dtype);
}

bool shared(const kab_adafactor_tensor& t) { return t.c && t.n > kWhole; }

}  // namespace

extern "C" void kab_adafactor(const kab_adafactor_tensor* tensors, int64_t count,
                              const kab_adafactor_step* step, const kab_workers* workers) {
  int64_t elements = 0;
  kab::Blocks small;
  for (int64_t i = 0; i < count; ++i) {
    small.add(shared(tensors[i]) ? 0 : 1);
    elements += shared(tensors[i]) ? 0 : tensors[i].n;
    if (shared(tensors[i])) update(tensors[i], *step, workers);
  }
  kab::for_each_block(workers, small.total(), elements, [&](int64_t, int64_t block) {
    update(tensors[small.find(block).tensor], *step, nullptr);
  });
}
