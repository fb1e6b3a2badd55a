// Adam, Kingma and Ba (2015), Algorithm 1 in the epsilon-hat form of section 2.
#include <algorithm>
#include <cmath>

#include "number.h"
#include "parallel.h"

namespace {

constexpr int64_t kBlock = 32768;

struct Step {
  float alpha, rate_1, rate_2, epsilon;  // the rates are 1 - beta, subtracted in double
};

template <class T>
KAB_INLINE void update_as(const kab_adam_tensor* t, int64_t begin, int64_t end, Step s,
                          int32_t /*dtype*/) {
  const T *w = static_cast<const T*>(t->w), *m = static_cast<const T*>(t->m);
  const T *v = static_cast<const T*>(t->v), *g = static_cast<const T*>(t->g);
  T *w_out = static_cast<T*>(t->w_out), *m_out = static_cast<T*>(t->m_out);
  T* v_out = static_cast<T*>(t->v_out);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) {
    const float gi = kab::load(g[i]), m0 = kab::load(m[i]), v0 = kab::load(v[i]);
    const float mi = m0 + (gi - m0) * s.rate_1;
    const float vi = v0 + (gi * gi - v0) * s.rate_2;
    const float wi = kab::load(w[i]) - mi * s.alpha / (std::sqrt(vi) + s.epsilon);
    kab::store(m_out + i, mi);
    kab::store(v_out + i, vi);
    kab::store(w_out + i, wi);
  }
}

KAB_PER_DTYPE(update, (const kab_adam_tensor* t, int64_t begin, int64_t end, Step s, int32_t dtype),
              (t, begin, end, s, dtype))

}  // namespace

extern "C" void kab_adam(const kab_adam_tensor* tensors, int64_t count, double alpha,
                         double beta_1, double beta_2, double epsilon,
                         const kab_workers* workers) {
  const Step step{float(alpha), float(1 - beta_1), float(1 - beta_2), float(epsilon)};
  kab::Blocks blocks;
  int64_t elements = 0;
  for (int64_t i = 0; i < count; ++i) {
    blocks.add(kab::ceil_div(tensors[i].n, kBlock));
    elements += tensors[i].n;
  }
  kab::for_each_block(workers, blocks.total(), elements, [&](int64_t, int64_t block) {
    const auto place = blocks.find(block);
    const kab_adam_tensor& t = tensors[place.tensor];
    const int64_t begin = place.block * kBlock;
    update(&t, begin, std::min(t.n, begin + kBlock), step, t.dtype);
  });
}
