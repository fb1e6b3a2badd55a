// XLA calls on CUDA: the same operands as on the CPU, launched on XLA's stream.
#include "driver.h"
#include "launches.h"
#include "operands.h"
#include "parallel.h"

namespace kab {
namespace {

ffi::Error done(const std::string& error) {
  return error.empty() ? ffi::Error::Success() : ffi::Error::Internal(error);
}

ffi::Error Adam(void* stream, ffi::ScratchAllocator, double beta_1, double beta_2, double epsilon,
                ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float* alpha = walk.numbers(1);
  const auto tensors = adam_tensors(walk);
  if (auto error = walk.status(); error.failure()) return error;
  return done(launch_adam(tensors, alpha, {beta_1, beta_2, epsilon}, stream));
}

ffi::Error Sm3(void* stream, ffi::ScratchAllocator, double momentum, ffi::RemainingArgs operands,
               ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float* learning_rate = walk.numbers(1);
  const auto tensors = sm3_tensors(walk, momentum != 0);
  if (auto error = walk.status(); error.failure()) return error;
  return done(launch_sm3(tensors, learning_rate, momentum, stream));
}

ffi::Error no_memory() { return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                                           "XLA must give scratch memory, got none; free some"); }

ffi::Error Adafactor(void* stream, ffi::ScratchAllocator memory, double epsilon_1,
                     double epsilon_2, double clip_threshold, ffi::RemainingArgs operands,
                     ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float *rho = walk.numbers(1), *decay = walk.numbers(1);
  const auto tensors = adafactor_tensors(walk);
  if (auto error = walk.status(); error.failure()) return error;
  const auto scratch = memory.Allocate(size_t(adafactor_scratch_bytes(tensors)), 8);
  if (!scratch) return no_memory();
  return done(launch_adafactor(tensors, {rho, decay, epsilon_1, epsilon_2, clip_threshold},
                               static_cast<double*>(*scratch), stream));
}

ffi::Error AdaptiveClip(void* stream, ffi::ScratchAllocator, double clipping, double epsilon,
                        ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  const auto tensors = clip_tensors(walk);
  if (auto error = walk.status(); error.failure()) return error;
  return done(launch_adaptive_clip(tensors, clipping, epsilon, stream));
}

ffi::Error CrossEntropyForward(void* stream, ffi::ScratchAllocator, ffi::RemainingArgs operands,
                               ffi::RemainingRets results) {
  Walk walk(operands, results);
  CrossEntropy c = cross_entropy(walk);
  float *loss = walk.numbers_out(c.batch), *maximum = walk.numbers_out(c.batch);
  float* total = walk.numbers_out(c.batch);
  if (auto error = walk.status(); error.failure()) return error;
  void* parameters[] = {&c.logits.data, &c.logits.dtype, &c.labels.data, &c.label_bytes,
                        &c.classes,     &loss,           &maximum,       &total};
  return done(launch("cross_entropy", "kab_cuda_kernel_cross_entropy_forward",
                     {unsigned(c.batch)}, stream, parameters));
}

ffi::Error CrossEntropyBackward(void* stream, ffi::ScratchAllocator, ffi::RemainingArgs operands,
                                ffi::RemainingRets results) {
  Walk walk(operands, results);
  CrossEntropy c = cross_entropy(walk);
  const float *maximum = walk.numbers(c.batch), *total = walk.numbers(c.batch);
  const float* upstream = walk.numbers(c.batch);
  void* d_logits = walk.result_like(c.logits).data;
  if (auto error = walk.status(); error.failure()) return error;
  void* parameters[] = {&c.logits.data, &c.logits.dtype, &c.labels.data, &c.label_bytes,
                        &c.classes,     &maximum,        &total,         &upstream,
                        &d_logits};
  return done(launch("cross_entropy", "kab_cuda_kernel_cross_entropy_backward",
                     {unsigned(c.batch * kStrips)}, stream, parameters));
}

ffi::Error StandardizeForward(void* stream, ffi::ScratchAllocator, double epsilon,
                              ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  Matrix k = matrix(walk);
  const float* gain = walk.numbers(k.cols);
  void* result = walk.result_like(k.view).data;
  if (auto error = walk.status(); error.failure()) return error;
  void* parameters[] = {&k.view.data, &k.view.dtype, &gain, &k.rows, &k.cols, &epsilon, &result};
  return done(launch("standardize", "kab_cuda_kernel_standardize_forward",
                     {unsigned(ceil_div(k.cols, kColumns))}, stream, parameters));
}

ffi::Error StandardizeBackward(void* stream, ffi::ScratchAllocator, double epsilon,
                               ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  Matrix k = matrix(walk);
  const float* gain = walk.numbers(k.cols);
  const void* upstream = walk.operand_like(k.view).data;
  void* d_kernel = walk.result_like(k.view).data;
  float* d_gain = walk.numbers_out(k.cols);
  if (auto error = walk.status(); error.failure()) return error;
  void* parameters[] = {&k.view.data, &k.view.dtype, &gain,     &upstream, &k.rows,
                        &k.cols,      &epsilon,      &d_kernel, &d_gain};
  return done(launch("standardize", "kab_cuda_kernel_standardize_backward",
                     {unsigned(ceil_div(k.cols, kColumns))}, stream, parameters));
}

ffi::Error BatchStatisticsForward(void* stream, ffi::ScratchAllocator memory,
                                  ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  Matrix x = matrix(walk);
  float *mean = walk.numbers_out(x.cols), *variance = walk.numbers_out(1);
  if (auto error = walk.status(); error.failure()) return error;
  Parts parts = batch_parts(x.rows);
  auto scratch = memory.Allocate(size_t(2 * parts.count * x.cols + 1) * sizeof(double), 8);
  if (!scratch) return no_memory();
  void* first[] = {&x.view.data, &x.view.dtype, &x.rows, &x.cols, &parts.rows_a_part, &*scratch};
  const Grid grid{unsigned(ceil_div(x.cols, kColumns)), unsigned(parts.count)};
  const auto error = launch("batch_statistics", "kab_cuda_kernel_batch_statistics_parts", grid,
                            stream, first);
  if (!error.empty()) return done(error);
  void* second[] = {&x.rows,    &x.cols, &parts.rows_a_part, &parts.count,
                    &*scratch, &mean,   &variance};
  return done(launch("batch_statistics", "kab_cuda_kernel_batch_statistics_join", {1}, stream,
                     second));
}

ffi::Error BatchStatisticsBackward(void* stream, ffi::ScratchAllocator,
                                   ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  Matrix x = matrix(walk);
  const float *mean = walk.numbers(x.cols), *d_mean = walk.numbers(x.cols);
  const float* d_variance = walk.numbers(1);
  void* d_x = walk.result_like(x.view).data;
  if (auto error = walk.status(); error.failure()) return error;
  void* parameters[] = {&x.view.data, &x.view.dtype, &mean,   &d_mean,
                        &d_variance,  &x.rows,       &x.cols, &d_x};
  return done(launch("batch_statistics", "kab_cuda_kernel_batch_statistics_backward",
                     {unsigned(ceil_div(x.view.n, kChunk))}, stream, parameters));
}

}  // namespace
}  // namespace kab

#define KAB_BIND                                              \
  xla::ffi::Ffi::Bind().Ctx<xla::ffi::PlatformStream<void*>>() \
      .Ctx<xla::ffi::ScratchAllocator>()
#define KAB_HANDLER(symbol, function, binding) \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(symbol, function, binding.RemainingArgs().RemainingRets())

KAB_HANDLER(kab_cuda_adam, kab::Adam,
            KAB_BIND.Attr<double>("beta_1").Attr<double>("beta_2").Attr<double>("epsilon"));
KAB_HANDLER(kab_cuda_sm3, kab::Sm3, KAB_BIND.Attr<double>("momentum"));
KAB_HANDLER(kab_cuda_adafactor, kab::Adafactor,
            KAB_BIND.Attr<double>("epsilon_1").Attr<double>("epsilon_2").Attr<double>(
                "clip_threshold"));
KAB_HANDLER(kab_cuda_adaptive_clip, kab::AdaptiveClip,
            KAB_BIND.Attr<double>("clipping").Attr<double>("epsilon"));
KAB_HANDLER(kab_cuda_cross_entropy_forward, kab::CrossEntropyForward, KAB_BIND);
KAB_HANDLER(kab_cuda_cross_entropy_backward, kab::CrossEntropyBackward, KAB_BIND);
KAB_HANDLER(kab_cuda_standardize_forward, kab::StandardizeForward,
            KAB_BIND.Attr<double>("epsilon"));
KAB_HANDLER(kab_cuda_standardize_backward, kab::StandardizeBackward,
            KAB_BIND.Attr<double>("epsilon"));
KAB_HANDLER(kab_cuda_batch_statistics_forward, kab::BatchStatisticsForward, KAB_BIND);
KAB_HANDLER(kab_cuda_batch_statistics_backward, kab::BatchStatisticsBackward, KAB_BIND);
