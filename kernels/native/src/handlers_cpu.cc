// XLA calls on the CPU.
#include "operands.h"

namespace kab {
namespace {

void schedule(void* pool, void (*task)(void*), void* data) {
  static_cast<ffi::ThreadPool*>(pool)->Schedule([task, data] { task(data); });
}

// XLA's own pool: no threads beside the framework's, and its limit on them is kept.
struct Pool {
  ffi::ThreadPool* threads;
  kab_workers workers{threads->num_threads(), schedule, threads};
};

ffi::Error Adam(ffi::ThreadPool threads, double beta_1, double beta_2, double epsilon,
                ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float* alpha = walk.numbers(1);
  const auto tensors = adam_tensors(walk);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_adam(tensors.data(), int64_t(tensors.size()), *alpha, beta_1, beta_2, epsilon,
           &pool.workers);
  return ffi::Error::Success();
}

ffi::Error Sm3(ffi::ThreadPool threads, double momentum, ffi::RemainingArgs operands,
               ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float* learning_rate = walk.numbers(1);
  const auto tensors = sm3_tensors(walk, momentum != 0);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_sm3(tensors.data(), int64_t(tensors.size()), *learning_rate, momentum, &pool.workers);
  return ffi::Error::Success();
}

ffi::Error Adafactor(ffi::ThreadPool threads, double epsilon_1, double epsilon_2,
                     double clip_threshold, ffi::RemainingArgs operands,
                     ffi::RemainingRets results) {
  Walk walk(operands, results);
  const float *rho = walk.numbers(1), *decay = walk.numbers(1);
  const auto tensors = adafactor_tensors(walk);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  const kab_adafactor_step step{*rho, *decay, epsilon_1, epsilon_2, clip_threshold};
  kab_adafactor(tensors.data(), int64_t(tensors.size()), &step, &pool.workers);
  return ffi::Error::Success();
}

ffi::Error AdaptiveClip(ffi::ThreadPool threads, double clipping, double epsilon,
                        ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  const auto tensors = clip_tensors(walk);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_adaptive_clip(tensors.data(), int64_t(tensors.size()), clipping, epsilon, &pool.workers);
  return ffi::Error::Success();
}

std::string bad_label(int64_t row, int64_t classes) {
  return "labels must be in [0, " + std::to_string(classes) + "), row " + std::to_string(row) +
         " has another; mask such rows or mend the labels";
}

ffi::Error CrossEntropyForward(ffi::ThreadPool threads, ffi::RemainingArgs operands,
                               ffi::RemainingRets results) {
  Walk walk(operands, results);
  const CrossEntropy c = cross_entropy(walk);
  float *loss = walk.numbers_out(c.batch), *maximum = walk.numbers_out(c.batch);
  float* total = walk.numbers_out(c.batch);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  const int64_t bad = kab_cross_entropy_forward(c.logits.data, c.logits.dtype, c.labels.data,
                                                c.label_bytes, c.batch, c.classes, loss, maximum,
                                                total, &pool.workers);
  return bad < 0 ? ffi::Error::Success() : ffi::Error::InvalidArgument(bad_label(bad, c.classes));
}

ffi::Error CrossEntropyBackward(ffi::ThreadPool threads, ffi::RemainingArgs operands,
                                ffi::RemainingRets results) {
  Walk walk(operands, results);
  const CrossEntropy c = cross_entropy(walk);
  const float *maximum = walk.numbers(c.batch), *total = walk.numbers(c.batch);
  const float* upstream = walk.numbers(c.batch);
  void* d_logits = walk.result_like(c.logits).data;
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_cross_entropy_backward(c.logits.data, c.logits.dtype, c.labels.data, c.label_bytes, c.batch,
                             c.classes, maximum, total, upstream, d_logits, &pool.workers);
  return ffi::Error::Success();
}

ffi::Error StandardizeForward(ffi::ThreadPool threads, double epsilon, ffi::RemainingArgs operands,
                              ffi::RemainingRets results) {
  Walk walk(operands, results);
  const Matrix kernel = matrix(walk);
  const float* gain = walk.numbers(kernel.cols);
  void* result = walk.result_like(kernel.view).data;
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_standardize_forward(kernel.view.data, kernel.view.dtype, gain, kernel.rows, kernel.cols,
                          epsilon, result, &pool.workers);
  return ffi::Error::Success();
}

ffi::Error StandardizeBackward(ffi::ThreadPool threads, double epsilon,
                               ffi::RemainingArgs operands, ffi::RemainingRets results) {
  Walk walk(operands, results);
  const Matrix kernel = matrix(walk);
  const float* gain = walk.numbers(kernel.cols);
  const void* upstream = walk.operand_like(kernel.view).data;
  void* d_kernel = walk.result_like(kernel.view).data;
  float* d_gain = walk.numbers_out(kernel.cols);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_standardize_backward(kernel.view.data, kernel.view.dtype, gain, upstream, kernel.rows,
                           kernel.cols, epsilon, d_kernel, d_gain, &pool.workers);
  return ffi::Error::Success();
}

ffi::Error BatchStatisticsForward(ffi::ThreadPool threads, ffi::RemainingArgs operands,
                                  ffi::RemainingRets results) {
  Walk walk(operands, results);
  const Matrix x = matrix(walk);
  float *mean = walk.numbers_out(x.cols), *variance = walk.numbers_out(1);
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_batch_statistics_forward(x.view.data, x.view.dtype, x.rows, x.cols, mean, variance,
                               &pool.workers);
  return ffi::Error::Success();
}

ffi::Error BatchStatisticsBackward(ffi::ThreadPool threads, ffi::RemainingArgs operands,
                                   ffi::RemainingRets results) {
  Walk walk(operands, results);
  const Matrix x = matrix(walk);
  const float *mean = walk.numbers(x.cols), *d_mean = walk.numbers(x.cols);
  const float* d_variance = walk.numbers(1);
  void* d_x = walk.result_like(x.view).data;
  Pool pool{&threads};
  if (auto error = walk.status(); error.failure()) return error;
  kab_batch_statistics_backward(x.view.data, x.view.dtype, mean, d_mean, d_variance, x.rows,
                                x.cols, d_x, &pool.workers);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace kab

#define KAB_BIND xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>()
#define KAB_HANDLER(symbol, function, binding) \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(symbol, function, binding.RemainingArgs().RemainingRets())

KAB_HANDLER(kab_host_adam, kab::Adam,
            KAB_BIND.Attr<double>("beta_1").Attr<double>("beta_2").Attr<double>("epsilon"));
KAB_HANDLER(kab_host_sm3, kab::Sm3, KAB_BIND.Attr<double>("momentum"));
KAB_HANDLER(kab_host_adafactor, kab::Adafactor,
            KAB_BIND.Attr<double>("epsilon_1").Attr<double>("epsilon_2").Attr<double>(
                "clip_threshold"));
KAB_HANDLER(kab_host_adaptive_clip, kab::AdaptiveClip,
            KAB_BIND.Attr<double>("clipping").Attr<double>("epsilon"));
KAB_HANDLER(kab_host_cross_entropy_forward, kab::CrossEntropyForward, KAB_BIND);
KAB_HANDLER(kab_host_cross_entropy_backward, kab::CrossEntropyBackward, KAB_BIND);
KAB_HANDLER(kab_host_standardize_forward, kab::StandardizeForward,
            KAB_BIND.Attr<double>("epsilon"));
KAB_HANDLER(kab_host_standardize_backward, kab::StandardizeBackward,
            KAB_BIND.Attr<double>("epsilon"));
KAB_HANDLER(kab_host_batch_statistics_forward, kab::BatchStatisticsForward, KAB_BIND);
KAB_HANDLER(kab_host_batch_statistics_backward, kab::BatchStatisticsBackward, KAB_BIND);
