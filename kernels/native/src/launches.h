// One call of a kernel on a GPU: the launches that make it up, in order, on one stream.
//
// Pointers are the device's, also those to scalars. Each returns an empty string or an error.
#pragma once
#include <string>
#include <vector>

#include "packs.h"

namespace kab {

struct AdamRates {
  double beta_1, beta_2, epsilon;
};

struct AdafactorRates {
  const float *rho, *decay;
  double epsilon_1, epsilon_2, clip_threshold;
};

std::string launch_adam(const std::vector<kab_adam_tensor>& tensors, const float* alpha,
                        AdamRates rates, void* stream);
std::string launch_sm3(const std::vector<kab_sm3_tensor>& tensors, const float* learning_rate,
                       double momentum, double epsilon, void* stream);
// Doubles of scratch memory.
int64_t adafactor_scratch(const std::vector<kab_adafactor_tensor>& tensors);
std::string launch_adafactor(const std::vector<kab_adafactor_tensor>& tensors,
                             AdafactorRates rates, double* scratch, void* stream);
std::string launch_adaptive_clip(const std::vector<kab_clip_tensor>& tensors, double clipping,
                                 double epsilon, void* stream);

// How the rows of batch statistics are split.
struct Parts {
  int64_t rows_a_part, count;
};
Parts batch_parts(int64_t rows, int64_t strips);

}  // namespace kab
