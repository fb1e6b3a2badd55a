// The kernels as XLA knows them: for each its operands, and what runs on the CPU and on CUDA. The
// list of them at the end is the only one.
#include <cstring>

#include "driver.h"
#include "launches.h"
#include "operands.h"
#include "parallel.h"

namespace kab {
namespace {

void schedule(void* pool, void (*task)(void*), void* data) {
  static_cast<ffi::ThreadPool*>(pool)->Schedule([task, data] { task(data); });
}

// XLA's own pool: no threads beside the framework's, and its limit on them is kept.
struct Host {
  static constexpr auto kError = ffi::ErrorCode::kInvalidArgument;
  kab_workers workers;
  explicit Host(ffi::ThreadPool* threads) : workers{threads->num_threads(), schedule, threads} {}
};

struct Cuda {
  static constexpr auto kError = ffi::ErrorCode::kInternal;
  void* stream;
  ffi::ScratchAllocator* memory;
  // Scratch of so many doubles; null, and `error` set, where there is none.
  double* numbers(int64_t n, std::string* error) {
    const auto scratch = memory->Allocate(size_t(n) * sizeof(double), 8);
    if (!scratch) *error = "XLA must give scratch memory, got none; free some";
    return scratch ? static_cast<double*>(*scratch) : nullptr;
  }
};

// Each takes its operands from the walk, in order, then runs; an empty string, or what is wrong.

struct Adam {
  AdamRates rates;
  const float* alpha;
  std::vector<kab_adam_tensor> tensors;
  Adam(Walk& walk, double beta_1, double beta_2, double epsilon)
      : rates{beta_1, beta_2, epsilon}, alpha(walk.numbers(1)), tensors(adam_tensors(walk)) {}
  std::string run(const Host& on) {
    kab_adam(tensors.data(), int64_t(tensors.size()), *alpha, rates.beta_1, rates.beta_2,
             rates.epsilon, &on.workers);
    return "";
  }
  std::string run(Cuda on) { return launch_adam(tensors, alpha, rates, on.stream); }
};

struct Sm3 {
  double momentum, epsilon;
  const float* learning_rate;
  std::vector<kab_sm3_tensor> tensors;
  Sm3(Walk& walk, double momentum, double epsilon)
      : momentum(momentum), epsilon(epsilon), learning_rate(walk.numbers(1)),
        tensors(sm3_tensors(walk, momentum != 0)) {}
  std::string run(const Host& on) {
    kab_sm3(tensors.data(), int64_t(tensors.size()), *learning_rate, momentum, epsilon,
            &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    return launch_sm3(tensors, learning_rate, momentum, epsilon, on.stream);
  }
};

struct Adafactor {
  AdafactorRates rates;
  std::vector<kab_adafactor_tensor> tensors;
  Adafactor(Walk& walk, double epsilon_1, double epsilon_2, double clip_threshold)
      : rates{walk.numbers(1), walk.numbers(1), epsilon_1, epsilon_2, clip_threshold},
        tensors(adafactor_tensors(walk)) {}
  std::string run(const Host& on) {
    const kab_adafactor_step step{*rates.rho, *rates.decay, rates.epsilon_1, rates.epsilon_2,
                                  rates.clip_threshold};
    kab_adafactor(tensors.data(), int64_t(tensors.size()), &step, &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    std::string error;
    double* scratch = on.numbers(adafactor_scratch(tensors), &error);
    return scratch ? launch_adafactor(tensors, rates, scratch, on.stream) : error;
  }
};

struct AdaptiveClip {
  double clipping, epsilon;
  std::vector<kab_clip_tensor> tensors;
  AdaptiveClip(Walk& walk, double clipping, double epsilon)
      : clipping(clipping), epsilon(epsilon), tensors(clip_tensors(walk)) {}
  std::string run(const Host& on) {
    kab_adaptive_clip(tensors.data(), int64_t(tensors.size()), clipping, epsilon, &on.workers);
    return "";
  }
  std::string run(Cuda on) { return launch_adaptive_clip(tensors, clipping, epsilon, on.stream); }
};

// A grid has 2^31 - 1 blocks at most.
constexpr int64_t kMostRows = ((int64_t(1) << 31) - 1) / kStrips;

std::string too_many_rows(int64_t rows) {
  return "a batch must have at most " + std::to_string(kMostRows) + " rows, there are " +
         std::to_string(rows) + "; take the loss of parts of it";
}

struct CrossEntropyForward {
  CrossEntropy c;
  float *loss, *maximum, *total;
  explicit CrossEntropyForward(Walk& walk)
      : c(cross_entropy(walk)), loss(walk.numbers_out(c.batch)),
        maximum(walk.numbers_out(c.batch)), total(walk.numbers_out(c.batch)) {}
  std::string run(const Host& on) {
    const int64_t bad = kab_cross_entropy_forward(c.logits.data, c.logits.dtype, c.labels.data,
                                                  c.label_bytes, c.batch, c.classes, loss, maximum,
                                                  total, &on.workers);
    if (bad < 0) return "";
    return "labels must be in [0, " + std::to_string(c.classes) + "), row " +
           std::to_string(bad) + " has another; mask such rows or mend the labels";
  }
  std::string run(Cuda on) {
    if (c.batch > kMostRows) return too_many_rows(c.batch);
    return launch_with("cross_entropy", "forward", {unsigned(c.batch)}, on.stream, c.logits.data,
                  c.logits.dtype, c.labels.data, c.label_bytes, c.classes, loss, maximum, total);
  }
};

struct CrossEntropyBackward {
  CrossEntropy c;
  const float *maximum, *total, *upstream;
  void* d_logits;
  explicit CrossEntropyBackward(Walk& walk)
      : c(cross_entropy(walk)), maximum(walk.numbers(c.batch)), total(walk.numbers(c.batch)),
        upstream(walk.numbers(c.batch)), d_logits(walk.result_like(c.logits).data) {}
  std::string run(const Host& on) {
    kab_cross_entropy_backward(c.logits.data, c.logits.dtype, c.labels.data, c.label_bytes,
                               c.batch, c.classes, maximum, total, upstream, d_logits, &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    if (c.batch > kMostRows) return too_many_rows(c.batch);
    return launch_with("cross_entropy", "backward", {unsigned(c.batch * kStrips)}, on.stream,
                  c.logits.data, c.logits.dtype, c.labels.data, c.label_bytes, c.classes, maximum,
                  total, upstream, d_logits);
  }
};

Grid strips(int64_t columns, int64_t parts = 1) {
  return {unsigned(ceil_div(columns, kColumns)), unsigned(parts)};
}

struct StandardizeForward {
  double epsilon;
  Matrix k;
  const float* gain;
  void* result;
  StandardizeForward(Walk& walk, double epsilon)
      : epsilon(epsilon), k(matrix(walk)), gain(walk.numbers(k.cols)),
        result(walk.result_like(k.view).data) {}
  std::string run(const Host& on) {
    kab_standardize_forward(k.view.data, k.view.dtype, gain, k.rows, k.cols, epsilon, result,
                            &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    return launch_with("standardize", "forward", strips(k.cols), on.stream, k.view.data, k.view.dtype,
                  gain, k.rows, k.cols, epsilon, result);
  }
};

struct StandardizeBackward {
  double epsilon;
  Matrix k;
  const float* gain;
  const void* upstream;
  void* d_kernel;
  float* d_gain;
  StandardizeBackward(Walk& walk, double epsilon)
      : epsilon(epsilon), k(matrix(walk)), gain(walk.numbers(k.cols)),
        upstream(walk.operand_like(k.view).data), d_kernel(walk.result_like(k.view).data),
        d_gain(walk.numbers_out(k.cols)) {}
  std::string run(const Host& on) {
    kab_standardize_backward(k.view.data, k.view.dtype, gain, upstream, k.rows, k.cols, epsilon,
                             d_kernel, d_gain, &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    return launch_with("standardize", "backward", strips(k.cols), on.stream, k.view.data, k.view.dtype,
                  gain, upstream, k.rows, k.cols, epsilon, d_kernel, d_gain);
  }
};

struct BatchStatisticsForward {
  Matrix x;
  float *mean, *variance;
  explicit BatchStatisticsForward(Walk& walk)
      : x(matrix(walk)), mean(walk.numbers_out(x.cols)), variance(walk.numbers_out(1)) {}
  std::string run(const Host& on) {
    kab_batch_statistics_forward(x.view.data, x.view.dtype, x.rows, x.cols, mean, variance,
                                 &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    const Parts parts = batch_parts(x.rows, ceil_div(x.cols, kColumns));
    std::string error;
    double* scratch = on.numbers((2 * parts.count + 1) * x.cols + 1, &error);
    if (scratch)
      error = launch_with("batch_statistics", "parts", strips(x.cols, parts.count), on.stream,
                     x.view.data, x.view.dtype, x.rows, x.cols, parts.rows_a_part, scratch);
    if (!error.empty()) return error;
    error = launch_with("batch_statistics", "join", strips(x.cols), on.stream, x.rows, x.cols,
                        parts.rows_a_part, parts.count, scratch, mean);
    if (!error.empty()) return error;
    return launch_with("batch_statistics", "pool", {1}, on.stream, x.rows, x.cols,
                       scratch + 2 * parts.count * x.cols, variance);
  }
};

struct BatchStatisticsBackward {
  Matrix x;
  const float *mean, *d_mean, *d_variance;
  void* d_x;
  explicit BatchStatisticsBackward(Walk& walk)
      : x(matrix(walk)), mean(walk.numbers(x.cols)), d_mean(walk.numbers(x.cols)),
        d_variance(walk.numbers(1)), d_x(walk.result_like(x.view).data) {}
  std::string run(const Host& on) {
    kab_batch_statistics_backward(x.view.data, x.view.dtype, mean, d_mean, d_variance, x.rows,
                                  x.cols, d_x, &on.workers);
    return "";
  }
  std::string run(Cuda on) {
    return launch_with("batch_statistics", "backward", {unsigned(ceil_div(x.view.n, kChunk))},
                  on.stream, x.view.data, x.view.dtype, mean, d_mean, d_variance, x.rows, x.cols,
                  d_x);
  }
};

template <class Kernel, class Place, class... Attributes>
ffi::Error run(Place place, ffi::RemainingArgs operands, ffi::RemainingRets results,
               Attributes... attributes) {
  Walk walk(operands, results);
  Kernel kernel(walk, attributes...);
  if (auto error = walk.status(); error.failure()) return error;
  const std::string error = kernel.run(place);
  return error.empty() ? ffi::Error::Success() : ffi::Error(Place::kError, error);
}

template <class Function, class Binding>
auto bound(Function function, Binding binding) {
  return binding.To(function);
}

template <class Function, class Binding, class... Names>
auto bound(Function function, Binding binding, const char* attribute, Names... others) {
  return bound(function, std::move(binding).template Attr<double>(attribute), others...);
}

template <class Kernel, class... Names>
auto on_host(Names... attributes) {
  const auto function = [](ffi::ThreadPool threads, auto... rest) {
    return run<Kernel>(Host(&threads), rest...);
  };
  return bound(function, ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets(),
               attributes...);
}

template <class Kernel, class... Names>
auto on_cuda(Names... attributes) {
  const auto function = [](void* stream, ffi::ScratchAllocator memory, auto... rest) {
    return run<Kernel>(Cuda{stream, &memory}, rest...);
  };
  auto binding = ffi::Ffi::Bind().Ctx<ffi::PlatformStream<void*>>().Ctx<ffi::ScratchAllocator>();
  return bound(function, std::move(binding).RemainingArgs().RemainingRets(), attributes...);
}

}  // namespace
}  // namespace kab

// Every kernel: the name that XLA knows it by, what computes it, and its constants.
#define KAB_TARGETS(X)                                                          \
  X(adam, Adam, "beta_1", "beta_2", "epsilon")                                  \
  X(sm3, Sm3, "momentum", "epsilon")                                            \
  X(adafactor, Adafactor, "epsilon_1", "epsilon_2", "clip_threshold")           \
  X(adaptive_clip, AdaptiveClip, "clipping", "epsilon")                         \
  X(cross_entropy_forward, CrossEntropyForward)                                 \
  X(cross_entropy_backward, CrossEntropyBackward)                               \
  X(standardize_forward, StandardizeForward, "epsilon")                         \
  X(standardize_backward, StandardizeBackward, "epsilon")                       \
  X(batch_statistics_forward, BatchStatisticsForward)                           \
  X(batch_statistics_backward, BatchStatisticsBackward)

#define KAB_DEFINE(name, Kernel, ...)                                         \
  static XLA_FFI_Error* name##_on_host(XLA_FFI_CallFrame* frame) {            \
    static const auto handler = kab::on_host<kab::Kernel>(__VA_ARGS__);       \
    return handler->Call(frame);                                              \
  }                                                                           \
  static XLA_FFI_Error* name##_on_cuda(XLA_FFI_CallFrame* frame) {            \
    static const auto handler = kab::on_cuda<kab::Kernel>(__VA_ARGS__);       \
    return handler->Call(frame);                                              \
  }
KAB_TARGETS(KAB_DEFINE)

namespace {

struct Target {
  const char* name;
  XLA_FFI_Handler *host, *cuda;
};

#define KAB_ROW(name, ...) {"kab_" #name, name##_on_host, name##_on_cuda},
const Target kTargets[] = {KAB_TARGETS(KAB_ROW){nullptr, nullptr, nullptr}};

// By the runtime's own helper: what it calls of the C interface was renamed in version 0.4.
std::string message_of(const XLA_FFI_Api* api, XLA_FFI_Error* error) {
  const std::string message = xla::ffi::internal::GetErrorMessage(api, error);
  xla::ffi::internal::DestroyError(api, error);
  return message;
}

}  // namespace

// For JAX, which registers them one by one: the kernels, up to one without a name.
extern "C" const Target* kab_targets() { return kTargets; }

// For TensorFlow: registers every kernel in its FFI table; null, or what the runtime said.
extern "C" const char* kab_register(const XLA_FFI_Api* api) {
  static std::string message;
  for (const Target* t = kTargets; t->name; ++t)
    for (const auto& [platform, handler] : {std::pair{"Host", t->host}, {"CUDA", t->cuda}})
      if (auto* error = xla::ffi::Ffi::RegisterStaticHandler(api, t->name, platform, handler)) {
        message = std::string(t->name) + ": " + message_of(api, error);
        return message.c_str();
      }
  return nullptr;
}
