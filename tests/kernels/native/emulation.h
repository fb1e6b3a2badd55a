// Runs CUDA kernels on the CPU: one fiber a thread of the block, switched at __syncthreads().
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "number.h"

#define __device__
#define __global__
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(n)

struct Dim {
  unsigned x, y, z;
};
static Dim threadIdx, blockIdx, gridDim;

inline float __int_as_float(int32_t b) { return kab::from_bits(uint32_t(b)); }
inline float __uint_as_float(uint32_t b) { return kab::from_bits(b); }
inline uint32_t __float_as_uint(float x) { return kab::bits(x); }
inline unsigned atomicMax(unsigned* p, unsigned x) {
  const unsigned before = *p;
  if (x > before) *p = x;
  return before;
}

namespace kab {
inline float from_half(unsigned short raw) { return load(Float16{raw}); }
inline unsigned short to_half(float x) {
  Float16 h;
  store(&h, x);
  return h.raw;
}
}  // namespace kab

namespace emulation {

constexpr unsigned kBlock = 256;
static ucontext_t scheduler, fibers[kBlock];
static bool ended[kBlock];
static void (*running)(void**);
static void** parameters;

inline void fiber() {
  running(parameters);
  ended[threadIdx.x] = true;
}

inline void wait() {
  const unsigned self = threadIdx.x;
  swapcontext(&fibers[self], &scheduler);
}

inline void run_block() {
  static std::vector<std::vector<char>> stacks(kBlock, std::vector<char>(1 << 16));
  for (unsigned t = 0; t < kBlock; ++t) {
    getcontext(&fibers[t]);
    fibers[t].uc_stack.ss_sp = stacks[t].data();
    fibers[t].uc_stack.ss_size = stacks[t].size();
    fibers[t].uc_link = &scheduler;
    makecontext(&fibers[t], fiber, 0);
    ended[t] = false;
  }
  for (bool left = true; left;) {
    left = false;
    for (unsigned t = 0; t < kBlock; ++t) {
      if (ended[t]) continue;
      threadIdx = {t, 0, 0};
      swapcontext(&scheduler, &fibers[t]);
      left = true;
    }
  }
}

inline void run(void (*kernel)(void**), unsigned x, unsigned y, void** held) {
  running = kernel;
  parameters = held;
  gridDim = {x, y, 1};
  for (unsigned j = 0; j < y; ++j)
    for (unsigned i = 0; i < x; ++i) {
      blockIdx = {i, j, 0};
      run_block();
    }
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** p, std::index_sequence<I...>) {
  kernel(*static_cast<A*>(p[I])...);
}
template <class... A>
void call(void (*kernel)(A...), void** p) {
  call(kernel, p, std::index_sequence_for<A...>());
}

}  // namespace emulation

inline void __syncthreads() { emulation::wait(); }
