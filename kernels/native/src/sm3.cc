// SM3-II, Anil, Gupta, Koren and Singer (2019), arXiv 1901.11150, Algorithm SM3-II, with one
// accumulator per axis (the cover of section 4 for tensors).
#include <algorithm>
#include <cmath>
#include <vector>

#include "number.h"
#include "parallel.h"

namespace {

constexpr int64_t kBlock = 32768;

struct Step {
  float learning_rate, momentum, rate, epsilon;  // rate = 1 - momentum, subtracted in double
};

// Accumulators are sums of squares, so their bit patterns order as their values do, and a NaN (its
// sign cleared) orders above infinity: the maximum of patterns never swallows one.
KAB_INLINE uint32_t pattern(float nu) { return kab::bits(nu) & 0x7fffffffu; }
KAB_INLINE float minimum(float a, float b) { return a != a || a < b ? a : b; }  // keeps both NaNs

// One line of the last axis. `outer` is the minimum of the other axes' accumulators; `last` is the
// last axis' accumulator and `last_max` its new one, as patterns. Returns the line's maximum.
template <class T>
KAB_INLINE void line_as(const T* w, const T* g, const T* m, T* w_out, T* m_out, int64_t n,
                        float outer, const float* last, uint32_t* last_max, Step s,
                        uint32_t* line_max) {
  uint32_t top = 0;
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) {
    const float gj = kab::load(g[j]);
    const float nu = minimum(outer, last[j]) + gj * gj;
    const uint32_t b = pattern(nu);
    top = b > top ? b : top;
    last_max[j] = b > last_max[j] ? b : last_max[j];
    float step = nu <= s.epsilon ? 0.f : gj / std::sqrt(nu);  // the paper's 0/0 = 0
    if (m) {
      step = kab::load(m[j]) * s.momentum + step * s.rate;
      kab::store(m_out + j, step);
    }
    kab::store(w_out + j, kab::load(w[j]) - s.learning_rate * step);
  }
  *line_max = top;
}

template <class T>
KAB_INLINE void lines_as(const kab_sm3_tensor* t, int64_t begin, int64_t end, Step s,
                         uint32_t* const* maxima, int32_t /*dtype*/) {
  const int32_t last = t->rank - 1;
  const int64_t n = t->dims[last];
  for (int64_t line = begin; line < end; ++line) {
    int64_t at[KAB_MAX_RANK], rest = line;
    float outer = INFINITY;
    for (int32_t axis = last - 1; axis >= 0; --axis) {
      at[axis] = rest % t->dims[axis];
      rest /= t->dims[axis];
      outer = minimum(t->accumulator[axis][at[axis]], outer);
    }
    const auto in = [&](const void* p) { return p ? static_cast<const T*>(p) + line * n : nullptr; };
    const auto out = [&](void* p) { return p ? static_cast<T*>(p) + line * n : nullptr; };
    uint32_t top;
    if (t->momentum)
      line_as(in(t->w), in(t->g), in(t->momentum), out(t->w_out), out(t->momentum_out), n, outer,
              t->accumulator[last], maxima[last], s, &top);
    else
      line_as<T>(in(t->w), in(t->g), nullptr, out(t->w_out), nullptr, n, outer,
                 t->accumulator[last], maxima[last], s, &top);
    for (int32_t axis = 0; axis < last; ++axis)
      maxima[axis][at[axis]] = std::max(maxima[axis][at[axis]], top);
  }
}

KAB_PER_DTYPE(lines,
              (const kab_sm3_tensor* t, int64_t begin, int64_t end, Step s, uint32_t* const* maxima,
               int32_t dtype),
              (t, begin, end, s, maxima, dtype))

template <class T>
KAB_INLINE void entries_as(const kab_sm3_tensor* t, int64_t begin, int64_t end, Step s,
                           int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(t->w), *g = static_cast<const T*>(t->g);
  const T* m = static_cast<const T*>(t->momentum);
  T *w_out = static_cast<T*>(t->w_out), *m_out = static_cast<T*>(t->momentum_out);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const float gi = kab::load(g[i]), nu = t->accumulator[0][i] + gi * gi;
    t->accumulator_out[0][i] = nu;
    float step = nu <= s.epsilon ? 0.f : gi / std::sqrt(nu);
    if (m) {
      step = kab::load(m[i]) * s.momentum + step * s.rate;
      kab::store(m_out + i, step);
    }
    kab::store(w_out + i, kab::load(w[i]) - s.learning_rate * step);
  }
}

KAB_PER_DTYPE(entries,
              (const kab_sm3_tensor* t, int64_t begin, int64_t end, Step s, int32_t dtype),
              (t, begin, end, s, dtype))

// Each worker's own maxima for every tensor of rank 2 or more: no two workers write one number.
class Maxima {
 public:
  Maxima(const kab_sm3_tensor* tensors, int64_t count, int64_t workers) {
    for (int64_t i = 0; i < count; ++i) {
      offset_.push_back(size_);
      for (int32_t axis = 0; tensors[i].rank > 1 && axis < tensors[i].rank; ++axis)
        size_ += tensors[i].dims[axis];
    }
    data_.assign(size_ * workers, 0);
    workers_ = workers;
  }
  void of(const kab_sm3_tensor& t, int64_t index, int64_t worker, uint32_t** axes) {
    uint32_t* p = data_.data() + worker * size_ + offset_[index];
    for (int32_t axis = 0; axis < t.rank; p += t.dims[axis++]) axes[axis] = p;
  }
  void merge(const kab_sm3_tensor& t, int64_t index) {
    for (int64_t worker = 0; worker < workers_; ++worker) {
      uint32_t* axes[KAB_MAX_RANK];
      of(t, index, worker, axes);
      for (int32_t axis = 0; axis < t.rank; ++axis)
        for (int64_t k = 0; k < t.dims[axis]; ++k) {
          const uint32_t other = worker ? kab::bits(t.accumulator_out[axis][k]) : 0;
          t.accumulator_out[axis][k] = kab::from_bits(std::max(other, axes[axis][k]));
        }
    }
  }

 private:
  int64_t size_ = 0, workers_;
  std::vector<int64_t> offset_;
  std::vector<uint32_t> data_;
};

int64_t lines_a_block(const kab_sm3_tensor& t) {
  return std::max<int64_t>(1, kBlock / std::max<int64_t>(1, t.dims[t.rank - 1]));
}

}  // namespace

extern "C" void kab_sm3(const kab_sm3_tensor* tensors, int64_t count, double learning_rate,
                        double momentum, double epsilon, const kab_workers* workers) {
  const Step step{float(learning_rate), float(momentum), float(1 - momentum), float(epsilon)};
  kab::Blocks blocks;
  int64_t elements = 0;
  for (int64_t i = 0; i < count; ++i) {
    const kab_sm3_tensor& t = tensors[i];
    elements += t.n;
    if (t.rank < 2 || t.n == 0)
      blocks.add(kab::ceil_div(t.n, kBlock));
    else
      blocks.add(kab::ceil_div(t.n / t.dims[t.rank - 1], lines_a_block(t)));
  }
  Maxima maxima(tensors, count, kab::worker_count(workers, blocks.total(), elements));
  kab::for_each_block(workers, blocks.total(), elements, [&](int64_t worker, int64_t block) {
    const auto place = blocks.find(block);
    const kab_sm3_tensor& t = tensors[place.tensor];
    const int64_t size = t.rank < 2 ? kBlock : lines_a_block(t);
    const int64_t all = t.rank < 2 ? t.n : t.n / t.dims[t.rank - 1];
    const int64_t begin = place.block * size, end = std::min(all, begin + size);
    if (t.rank < 2) return entries(&t, begin, end, step, t.dtype);
    uint32_t* axes[KAB_MAX_RANK];
    maxima.of(t, place.tensor, worker, axes);
    lines(&t, begin, end, step, axes, t.dtype);
  });
  for (int64_t i = 0; i < count; ++i)
    if (tensors[i].rank > 1) maxima.merge(tensors[i], i);
}
