// Numbers as the kernels see them: storage types, their float32 value, and a vectorisable exp.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"

// One clone per x86-64 level, chosen when the library loads: the cached library is then right on
// every machine that shares the cache, which -march=native would not be. GCC knows the levels since
// version 12.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define KAB_IS_CLONED (__GNUC__ >= 12)
#else
#define KAB_IS_CLONED 0
#endif
#if KAB_IS_CLONED
#define KAB_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KAB_CLONES
#endif
#define KAB_INLINE inline __attribute__((always_inline))

namespace kab {

KAB_INLINE uint32_t bits(float x) {
  uint32_t b;
  std::memcpy(&b, &x, 4);
  return b;
}
KAB_INLINE float from_bits(uint32_t b) {
  float x;
  std::memcpy(&x, &b, 4);
  return x;
}

struct Bfloat16 {
  uint16_t raw;
};
struct Float16 {
  uint16_t raw;
};

KAB_INLINE float load(float x) { return x; }
KAB_INLINE float load(Bfloat16 x) { return from_bits(uint32_t(x.raw) << 16); }
// Rebias the exponent; a subnormal is made normal by one subtraction. Branch-free, so it
// vectorises on every level, and right under flush-to-zero: no float32 subnormal appears.
KAB_INLINE float load(Float16 x) {
  const uint32_t exponent_mask = 0x7c00u << 13;
  uint32_t magnitude = (x.raw & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & exponent_mask;
  magnitude += 112u << 23;
  const uint32_t special = magnitude + (112u << 23);
  const float subnormal = from_bits(magnitude + (1u << 23)) - from_bits(113u << 23);
  uint32_t r = exponent == exponent_mask ? special : magnitude;
  r = exponent == 0 ? bits(subnormal) : r;
  return from_bits(r | (uint32_t(x.raw & 0x8000u) << 16));
}

KAB_INLINE void store(float* p, float x) { *p = x; }
// Round to nearest even; a NaN stays a NaN (its payload could round to infinity).
KAB_INLINE void store(Bfloat16* p, float x) {
  const uint32_t b = bits(x);
  const uint32_t rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  p->raw = uint16_t((b & 0x7fffffffu) > 0x7f800000u ? (b >> 16) | 0x40u : rounded);
}
KAB_INLINE void store(Float16* p, float x) {
  const uint32_t sign = bits(x) & 0x80000000u, b = bits(x) & 0x7fffffffu;
  const uint32_t special = b > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const uint32_t subnormal = bits(from_bits(b) + 0.5f) - 0x3f000000u;  // 0.5f's ulp is 2^-24
  const uint32_t normal = (b - (112u << 23) + 0xfffu + ((b >> 13) & 1u)) >> 13;
  uint32_t r = b < (113u << 23) ? subnormal : normal;
  r = b >= 0x47800000u ? special : r;  // from 65536 on; 65520 to 65536 rounds to infinity above
  p->raw = uint16_t(r | (sign >> 16));
}

// exp(x) for x up to 88, relative error under 3e-7; exactly 0 below -87.33, NaN for NaN.
//
// Adding kRound leaves n + 127, n the nearest integer to x / ln 2, in z's lowest bits: n and then
// 2^n without a rounding or a conversion instruction. 2^n multiplies, as adding to the exponent's
// bits would make a number of some NaN.
// Source: Cephes, Moshier (1992), https://www.netlib.org/cephes/, expf.
KAB_INLINE float fast_exp(float x) {
  constexpr float kRound = 12582912.f + 127.f;  // 1.5 * 2^23, whose unit in the last place is 1
  const float z = x * 1.44269504088896341f + kRound, n = z - kRound;
  const float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + (f + 1.f);
  const float r = p * from_bits(bits(z) << 23);
  return x < -87.33f ? 0.f : r;
}

// Calls body(T*) with a null pointer of the storage type that `dtype` names.
template <class Body>
KAB_INLINE void with_dtype(int32_t dtype, Body body) {
  if (dtype == KAB_FLOAT32) body(static_cast<float*>(nullptr));
  if (dtype == KAB_BFLOAT16) body(static_cast<Bfloat16*>(nullptr));
  if (dtype == KAB_FLOAT16) body(static_cast<Float16*>(nullptr));
}

}  // namespace kab

// Defines name(arguments) for the three storage types from the template name##_as<T>, each cloned
// per x86-64 level. The template must be KAB_INLINE, or the clones would share one compiled body.
#define KAB_PER_DTYPE(name, parameters, arguments)                    \
  KAB_CLONES static void name##_f32 parameters { name##_as<float> arguments; }    \
  KAB_CLONES static void name##_bf16 parameters { name##_as<kab::Bfloat16> arguments; } \
  KAB_CLONES static void name##_f16 parameters { name##_as<kab::Float16> arguments; }   \
  static void name parameters {                                       \
    if (dtype == KAB_FLOAT32) name##_f32 arguments;                   \
    if (dtype == KAB_BFLOAT16) name##_bf16 arguments;                 \
    if (dtype == KAB_FLOAT16) name##_f16 arguments;                   \
  }
