#include "launches.h"

#include <algorithm>

#include "driver.h"
#include "parallel.h"

namespace kab {
namespace {

// Calls launch_pack(pack, grid) with the items, as many to a pack as fit.
template <class T, class BlocksOf, class Launch>
std::string in_packs(const std::vector<T>& items, BlocksOf blocks_of, Launch launch_pack) {
  for (size_t next = 0; next < items.size();) {
    Pack<T> pack;
    static_assert(sizeof(pack) <= 4000, "packs and scalars must fit in 4 KiB of parameters");
    pack.n = 0;
    pack.first[0] = 0;
    for (; next < items.size() && pack.n < Pack<T>::kSize; ++next, ++pack.n) {
      pack.item[pack.n] = items[next];
      pack.first[pack.n + 1] = pack.first[pack.n] + int(blocks_of(items[next]));
    }
    const std::string error = launch_pack(pack, Grid{unsigned(pack.first[pack.n])});
    if (!error.empty()) return error;
  }
  return "";
}

int64_t sm3_tiles(const kab_sm3_tensor& t) {
  if (t.n == 0) return 0;
  const Tiling tiling = tiling_of(t);
  return tiling.across * tiling.down;
}

int64_t one(const void*) { return 1; }

// Of 256 threads each: enough for more than 200 multiprocessors that hold eight.
constexpr int64_t kManyBlocks = 2048;

}  // namespace

std::string launch_adam(const std::vector<kab_adam_tensor>& tensors, const float* alpha,
                        AdamRates rates, void* stream) {
  float rate_1 = float(1 - rates.beta_1), rate_2 = float(1 - rates.beta_2);
  float epsilon = float(rates.epsilon);
  return in_packs(
      tensors, [](const kab_adam_tensor& t) { return ceil_div(t.n, kChunk); },
      [&](auto& pack, Grid grid) {
        void* parameters[] = {&pack, &alpha, &rate_1, &rate_2, &epsilon};
        return launch("adam", "kab_cuda_kernel_adam", grid, stream, parameters);
      });
}

std::string launch_sm3(const std::vector<kab_sm3_tensor>& tensors, const float* learning_rate,
                       double momentum, double epsilon, void* stream) {
  float decay = float(momentum), rate = float(1 - momentum), least = float(epsilon);
  std::vector<kab_sm3_tensor> entries, lines;
  for (const auto& t : tensors) (t.rank < 2 ? entries : lines).push_back(t);
  const auto step = [&](const char* kernel) {
    return [&, kernel](auto& pack, Grid grid) {
      void* parameters[] = {&pack, &learning_rate, &decay, &rate, &least};
      return launch("sm3", kernel, grid, stream, parameters);
    };
  };
  std::string error = in_packs(
      entries, [](const kab_sm3_tensor& t) { return ceil_div(t.n, kChunk); },
      step("kab_cuda_kernel_sm3_entries"));
  if (error.empty())
    error = in_packs(lines, [](const kab_sm3_tensor& t) { return one(&t); },
                     step("kab_cuda_kernel_sm3_clear"));
  return error.empty() ? in_packs(lines, sm3_tiles, step("kab_cuda_kernel_sm3_lines")) : error;
}

namespace {

// Doubles of scratch memory of one tensor; AdafactorItem says what is in it.
int64_t scratch_of(const kab_adafactor_tensor& t) {
  if (!t.c || t.n == 0) return 0;
  const Tiling tiling = tiling_of(t);
  const int64_t rows = t.lead * t.rows;
  const int64_t in_float32 = tiling.across * rows + t.lead * tiling.down * t.cols;
  return t.lead * tiling.down * tiling.across + rows + t.lead + 2 + (in_float32 + 1) / 2;
}

}  // namespace

int64_t adafactor_scratch(const std::vector<kab_adafactor_tensor>& tensors) {
  int64_t numbers = 1;
  for (const auto& t : tensors) numbers += scratch_of(t);
  return numbers;
}

std::string launch_adafactor(const std::vector<kab_adafactor_tensor>& tensors, AdafactorRates r,
                             double* scratch, void* stream) {
  std::vector<AdafactorItem> vectors, matrices;
  for (const auto& t : tensors) {
    if (t.n == 0) continue;
    (t.c ? matrices : vectors).push_back({t, tiling_of(t), scratch});
    scratch += scratch_of(t);
  }
  std::string error;
  const auto phase = [&](const std::vector<AdafactorItem>& items, const char* kernel,
                         auto blocks_of, std::vector<void*> scalars) {
    if (!error.empty()) return;
    error = in_packs(items, blocks_of, [&](auto& pack, Grid grid) {
      std::vector<void*> parameters{&pack};
      parameters.insert(parameters.end(), scalars.begin(), scalars.end());
      return launch("adafactor", kernel, grid, stream, parameters.data());
    });
  };
  const auto rows = [](const AdafactorItem& i) { return i.t.lead * i.t.rows; };
  const auto tiles = [](const AdafactorItem& i) {
    return i.t.lead * i.tiling.down * i.tiling.across;
  };
  const auto factors = [](const AdafactorItem& i) {
    return ceil_div(i.t.lead * (i.t.rows + i.t.cols), kThreads);
  };
  const auto single = [](const AdafactorItem& i) { return one(&i); };
  float epsilon_1 = float(r.epsilon_1);
  phase(vectors, "kab_cuda_kernel_adafactor_vector", single,
        {&r.rho, &r.decay, &epsilon_1, &r.epsilon_2, &r.clip_threshold});
  phase(matrices, "kab_cuda_kernel_adafactor_moments", tiles, {});
  phase(matrices, "kab_cuda_kernel_adafactor_factors", factors, {&r.decay, &r.epsilon_1});
  phase(matrices, "kab_cuda_kernel_adafactor_means", single, {&r.epsilon_2});
  phase(matrices, "kab_cuda_kernel_adafactor_norm", rows, {});
  phase(matrices, "kab_cuda_kernel_adafactor_scale", single, {&r.rho, &r.clip_threshold});
  phase(matrices, "kab_cuda_kernel_adafactor_apply", rows, {});
  return error;
}

std::string launch_adaptive_clip(const std::vector<kab_clip_tensor>& tensors, double clipping,
                                 double epsilon, void* stream) {
  return in_packs(
      tensors,
      [](const kab_clip_tensor& t) { return t.units == 1 ? 1 : ceil_div(t.units, kColumns); },
      [&](auto& pack, Grid grid) {
        void* parameters[] = {&pack, &clipping, &epsilon};
        return launch("adaptive_clip", "kab_cuda_kernel_adaptive_clip", grid, stream, parameters);
      });
}

Parts batch_parts(int64_t rows, int64_t strips) {
  const int64_t wanted = std::max<int64_t>(1, kManyBlocks / std::max<int64_t>(1, strips));
  const int64_t rows_a_part = std::max<int64_t>(2 * kThreads / kColumns, ceil_div(rows, wanted));
  return {rows_a_part, ceil_div(rows, rows_a_part)};
}

}  // namespace kab

// The same for callers without C++ (the tests' mock driver): null, or the error.
namespace {
const char* kept(const std::string& error) {
  static thread_local std::string message;
  message = error;
  return message.empty() ? nullptr : message.c_str();
}
}  // namespace

extern "C" const char* kab_launch_adam(const kab_adam_tensor* tensors, int64_t count,
                                       const float* alpha, double beta_1, double beta_2,
                                       double epsilon, void* stream) {
  return kept(kab::launch_adam({tensors, tensors + count}, alpha, {beta_1, beta_2, epsilon}, stream));
}

extern "C" const char* kab_launch_sm3(const kab_sm3_tensor* tensors, int64_t count,
                                      const float* learning_rate, double momentum, double epsilon,
                                      void* stream) {
  return kept(
      kab::launch_sm3({tensors, tensors + count}, learning_rate, momentum, epsilon, stream));
}

extern "C" const char* kab_launch_adafactor(const kab_adafactor_tensor* tensors, int64_t count,
                                            const float* rho, const float* decay,
                                            double epsilon_1, double epsilon_2,
                                            double clip_threshold, double* scratch, void* stream) {
  return kept(kab::launch_adafactor({tensors, tensors + count},
                                    {rho, decay, epsilon_1, epsilon_2, clip_threshold}, scratch,
                                    stream));
}

extern "C" int64_t kab_adafactor_scratch(const kab_adafactor_tensor* tensors, int64_t count) {
  return kab::adafactor_scratch({tensors, tensors + count});
}

extern "C" const char* kab_launch_adaptive_clip(const kab_clip_tensor* tensors, int64_t count,
                                                double clipping, double epsilon, void* stream) {
  return kept(kab::launch_adaptive_clip({tensors, tensors + count}, clipping, epsilon, stream));
}

extern "C" const char* kab_launch(const char* unit, const char* kernel, unsigned grid_x,
                                  unsigned grid_y, void* stream, void** parameters) {
  return kept(kab::launch(unit, kernel, {grid_x, grid_y}, stream, parameters));
}
