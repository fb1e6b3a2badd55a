// Stores that go past the caches.
//
// An ordinary store first reads the line that it overwrites. A result that no cache holds until it
// is used gains nothing by that, and its memory traffic is half as much again.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace kab {

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

}  // namespace kab
