// The plain C interface of the CPU kernels: raw pointers, sizes and a dtype, nothing of any framework.
//
// A caller passes the tensors of all variables at once; a result may share its operand's memory
// where a comment says so. Pointers need the alignment of one element, no more.
#pragma once
#include "tensors.h"

#ifdef __cplusplus
extern "C" {
#endif

// Where to run blocks. `schedule` must run task(data) once, at any time, on any thread.
typedef struct kab_workers {
  int64_t threads;
  void (*schedule)(void* pool, void (*task)(void*), void* data);
  void* pool;
} kab_workers;

// Threads of the C++ library, for callers without a pool (tests, ctypes).
const kab_workers* kab_own_threads(int64_t threads);

void kab_adam(const kab_adam_tensor* tensors, int64_t count, double alpha, double beta_1,
              double beta_2, double epsilon, const kab_workers* workers);

void kab_sm3(const kab_sm3_tensor* tensors, int64_t count, double learning_rate, double momentum,
             double epsilon, const kab_workers* workers);

typedef struct {
  double rho, decay, epsilon_1, epsilon_2, clip_threshold;
} kab_adafactor_step;

void kab_adafactor(const kab_adafactor_tensor* tensors, int64_t count,
                   const kab_adafactor_step* step, const kab_workers* workers);

void kab_adaptive_clip(const kab_clip_tensor* tensors, int64_t count, double clipping,
                       double epsilon, const kab_workers* workers);

// logits (batch, classes); labels (batch,) of 4 or 8 bytes; loss, maximum, total (batch,).
// Returns -1, or the first row whose label is outside [0, classes); that row's loss is NaN.
int64_t kab_cross_entropy_forward(const void* logits, int32_t dtype, const void* labels,
                                  int32_t label_bytes, int64_t batch, int64_t classes, float* loss,
                                  float* maximum, float* total, const kab_workers* workers);

void kab_cross_entropy_backward(const void* logits, int32_t dtype, const void* labels,
                                int32_t label_bytes, int64_t batch, int64_t classes,
                                const float* maximum, const float* total, const float* upstream,
                                void* d_logits, const kab_workers* workers);

// kernel, result (fan_in, units); gain (units,) in float32.
void kab_standardize_forward(const void* kernel, int32_t dtype, const float* gain, int64_t fan_in,
                             int64_t units, double epsilon, void* result,
                             const kab_workers* workers);

void kab_standardize_backward(const void* kernel, int32_t dtype, const float* gain,
                              const void* upstream, int64_t fan_in, int64_t units, double epsilon,
                              void* d_kernel, float* d_gain, const kab_workers* workers);

// x (rows, channels); mean (channels,), variance one number.
void kab_batch_statistics_forward(const void* x, int32_t dtype, int64_t rows, int64_t channels,
                                  float* mean, float* variance, const kab_workers* workers);

void kab_batch_statistics_backward(const void* x, int32_t dtype, const float* mean,
                                   const float* d_mean, const float* d_variance, int64_t rows,
                                   int64_t channels, void* d_x, const kab_workers* workers);

#ifdef __cplusplus
}
#endif
