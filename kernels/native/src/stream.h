// Stores that go past the caches.
//
// An ordinary store first reads the line that it overwrites. A result that no cache holds until it
// is used gains nothing by that, and its memory traffic is half as much again.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "number.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace kab {

inline int64_t bytes_of(int32_t dtype) { return dtype == KAB_FLOAT32 ? 4 : 2; }

// Twice the second-level cache of a server core (2 MiB) for each of 8 cores.
inline bool outgrows_cache(int64_t bytes) { return bytes > (int64_t{32} << 20); }

// Copies, and leaves `to` out of the caches where the machine can. Other threads see the bytes
// after end_of_stream().
inline void stream(void* to, const void* from, int64_t bytes) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
#if defined(__SSE2__)
  const int64_t head = -reinterpret_cast<uintptr_t>(out) & 15;
  if (bytes > head) {
    std::memcpy(out, in, head);
    out += head, in += head, bytes -= head;
    for (; bytes >= 16; out += 16, in += 16, bytes -= 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(out),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
  }
#endif
  std::memcpy(out, in, bytes);
}

inline void end_of_stream() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// Has the lines of some bytes brought near, where the machine can; they need not exist.
KAB_INLINE void fetch(const void* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(from) + at);
}

// Elements that are computed before they are written past the caches: they stay in the first level.
constexpr int64_t kStreamed = 1024;

// Writes the elements [begin, end) of `result`, past the caches if asked. fill(from, to, out) has to
// leave the elements [from, to) at `out`.
template <class T, class Fill>
KAB_INLINE void write(T* result, int64_t begin, int64_t end, bool past_cache, Fill fill) {
  if (!past_cache) return fill(begin, end, result + begin);
  alignas(64) T chunk[kStreamed];
  for (int64_t from = begin; from < end; from += kStreamed) {
    const int64_t to = std::min(end, from + kStreamed);
    fill(from, to, chunk);
    stream(result + from, chunk, (to - from) * sizeof(T));
  }
  end_of_stream();
}

}  // namespace kab
