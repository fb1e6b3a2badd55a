// Runs CUDA kernels on the CPU: one fiber a thread of the block, switched at __syncthreads().
//
// Threads run in an order that a test chooses, shared memory begins as NaN, and a barrier that
// some threads of a block reach and others do not is counted. Accesses to the device's memory can be
// watched by the address sanitizer, or counted by traffic.cc.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "number.h"

#define __device__
#define __global__
#define __grid_constant__
// A section of its own, whose ends the linker knows.
#define __shared__ static __attribute__((section("kab_shared")))
extern "C" char __start_kab_shared[], __stop_kab_shared[];
#define __launch_bounds__(...)

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct Dim {
  unsigned x, y, z;
};
static Dim threadIdx, blockIdx, gridDim;

inline float __int_as_float(int32_t b) { return kab::from_bits(uint32_t(b)); }
inline float __uint_as_float(uint32_t b) { return kab::from_bits(b); }
inline uint32_t __float_as_uint(float x) { return kab::bits(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
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

extern "C" int mock_order, mock_divergences;

// Those of traffic.cc, where it is linked; null elsewhere.
extern "C" {
__attribute__((weak)) void traffic_ignore(const void*, size_t);
__attribute__((weak)) void traffic_watch(int);
__attribute__((weak)) void traffic_block();
__attribute__((weak)) void traffic_turn();
__attribute__((weak)) void traffic_barrier();
__attribute__((weak)) void traffic_launched();
}

namespace emulation {

enum Order { kAscending, kDescending, kShuffled };
constexpr unsigned kBlock = 256, kStack = 1 << 16;
static ucontext_t scheduler, fibers[kBlock];
static const char* at[kBlock];  // the barrier that a thread waits at, or the end
static const char* const kEnd = "end";
static void (*running)(void**);
static void** parameters;

inline void watch(bool on) {
  if (traffic_watch) traffic_watch(on);
}

inline void fiber() {
  running(parameters);
  watch(false);
  at[threadIdx.x] = kEnd;
}

inline void wait(const char* barrier) {
  watch(false);
  const unsigned self = threadIdx.x;
  at[self] = barrier;
  swapcontext(&fibers[self], &scheduler);
  watch(true);
}

// Byte by byte and unseen by the address sanitizer, whose red zones lie between the arrays.
__attribute__((no_sanitize("address"))) inline void poison_shared_memory() {
  for (volatile char* p = __start_kab_shared; p != __stop_kab_shared; ++p) *p = '\xff';
}

inline std::vector<unsigned> turns() {
  static std::mt19937 dice(7);
  std::vector<unsigned> threads(kBlock);
  std::iota(threads.begin(), threads.end(), 0u);
  if (mock_order == kDescending) std::reverse(threads.begin(), threads.end());
  if (mock_order == kShuffled) std::shuffle(threads.begin(), threads.end(), dice);
  return threads;
}

inline std::vector<char> make_stacks() {
  std::vector<char> stacks(kBlock * kStack);
  if (traffic_ignore) traffic_ignore(stacks.data(), stacks.size());
  return stacks;
}

inline void run_block() {
  static std::vector<char> stacks = make_stacks();
  if (traffic_block) traffic_block();
  for (unsigned t = 0; t < kBlock; ++t) {
    getcontext(&fibers[t]);
    fibers[t].uc_stack.ss_sp = &stacks[t * kStack];
    fibers[t].uc_stack.ss_size = kStack;
    fibers[t].uc_link = &scheduler;
    makecontext(&fibers[t], fiber, 0);
    at[t] = "";
  }
  poison_shared_memory();
  const auto has_ended = [](const char* where) { return where == kEnd; };
  while (!std::all_of(at, at + kBlock, has_ended)) {
    for (unsigned t : turns()) {
      if (has_ended(at[t])) continue;
      threadIdx = {t, 0, 0};
      if (traffic_turn) traffic_turn();
      swapcontext(&scheduler, &fibers[t]);
    }
    if (traffic_barrier) traffic_barrier();
    const auto elsewhere = [](const char* where) { return std::strcmp(where, at[0]) != 0; };
    if (std::any_of(at, at + kBlock, elsewhere)) ++mock_divergences;
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
  if (traffic_launched) traffic_launched();
}

// Parameters are copied unwatched: a GPU has them in memory of their own.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** p, std::index_sequence<I...>) {
  const std::tuple<A...> given(*static_cast<A*>(p[I])...);
  watch(true);
  std::apply(kernel, given);
}
template <class... A>
void call(void (*kernel)(A...), void** p) {
  call(kernel, p, std::index_sequence_for<A...>());
}

}  // namespace emulation

#define KAB_TEXT_OF(x) #x
#define KAB_TEXT(x) KAB_TEXT_OF(x)
#define __syncthreads() emulation::wait(__FILE__ ":" KAB_TEXT(__LINE__))
// Shared memory of inline functions goes into the section only where they are this file's own.
#define inline static inline
