// What the kernels compute on: the tensors of one variable, by operation. Host and device share it.
#pragma once
#include <stdint.h>

enum kab_dtype { KAB_FLOAT32 = 0, KAB_BFLOAT16 = 1, KAB_FLOAT16 = 2 };
enum { KAB_MAX_RANK = 8 };

// w, m, v, g and the results hold n elements of one dtype; a result may be its operand.
typedef struct {
  const void *w, *m, *v, *g;
  void *w_out, *m_out, *v_out;
  int64_t n;
  int32_t dtype;
} kab_adam_tensor;

// Accumulators are float32, one per axis, or one of n elements for rank 0 and 1; they must not
// share memory with their results. momentum may be null.
typedef struct {
  const void *w, *g, *momentum;
  void *w_out, *momentum_out;
  const float* accumulator[KAB_MAX_RANK];
  float* accumulator_out[KAB_MAX_RANK];
  int64_t dims[KAB_MAX_RANK];
  int64_t n;
  int32_t rank, dtype;
} kab_sm3_tensor;

// A stack of `lead` matrices (rows, cols), r (lead, rows) and c (lead, cols) in float32; or, with
// c null, an unfactored vector of n elements with r its second moment.
typedef struct {
  const void *w, *g;
  void* w_out;
  const float *r, *c;
  float *r_out, *c_out;
  int64_t lead, rows, cols, n;
  int32_t dtype;
} kab_adafactor_tensor;

// Matrices (fan_in, units); factor (units,) is what scales each unit's gradient.
typedef struct {
  const void *w, *g;
  float* factor;
  int64_t fan_in, units;
  int32_t dtype;
} kab_clip_tensor;
