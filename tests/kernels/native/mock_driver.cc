// A libcuda that checks how it is called and runs the kernels on the CPU.
#include <cstring>
#include <string>
#include <type_traits>

extern "C" int mock_order = 0, mock_divergences = 0;
#include "packs.h"
#include "emulation.h"

#include "device.h"

namespace adam {
#include "adam.cu"
}
namespace sm3 {
#include "sm3.cu"
}
namespace adafactor {
#include "adafactor.cu"
}
namespace adaptive_clip {
#include "adaptive_clip.cu"
}
namespace cross_entropy {
#include "cross_entropy.cu"
}
namespace standardize {
#include "standardize.cu"
}
namespace batch_statistics {
#include "batch_statistics.cu"
}

namespace probe {
// What is wrong on purpose: half the threads come to a barrier, a sum of what nobody wrote, a race,
// and writes beyond the ends of arrays.
KAB_KERNEL kab_cuda_kernel_divergent(float*) {
  if (threadIdx.x % 2) __syncthreads();
}
KAB_KERNEL kab_cuda_kernel_unwritten(float* result) {
  __shared__ float part[256];
  if (threadIdx.x) part[threadIdx.x] = 1.f;
  __syncthreads();
  if (threadIdx.x == 0) *result = part[0] + part[1];
}
KAB_KERNEL kab_cuda_kernel_beyond(float* four) { four[threadIdx.x] = 1.f; }
KAB_KERNEL kab_cuda_kernel_beyond_shared(float* four) {
  __shared__ float part[256];
  part[threadIdx.x + 1] = 1.f;
  __syncthreads();
  four[0] = part[threadIdx.x];
}
KAB_KERNEL kab_cuda_kernel_racing(float* result) {
  __shared__ float last;
  last = float(threadIdx.x);
  __syncthreads();
  *result = last;
}
}  // namespace probe

namespace {
struct Kernel {
  const char* name;
  void (*run)(void**);
};
#define KERNEL(unit, name) \
  {"kab_cuda_kernel_" #name, [](void** p) { emulation::call(unit::kab_cuda_kernel_##name, p); }}
const Kernel kKernels[] = {
    KERNEL(probe, divergent),
    KERNEL(probe, unwritten),
    KERNEL(probe, racing),
    KERNEL(probe, beyond),
    KERNEL(probe, beyond_shared),
    KERNEL(adam, adam),
    KERNEL(sm3, sm3_clear),
    KERNEL(sm3, sm3_entries),
    KERNEL(sm3, sm3_lines),
    KERNEL(adafactor, adafactor_moments),
    KERNEL(adafactor, adafactor_factors),
    KERNEL(adafactor, adafactor_means),
    KERNEL(adafactor, adafactor_norm),
    KERNEL(adafactor, adafactor_scale),
    KERNEL(adafactor, adafactor_apply),
    KERNEL(adafactor, adafactor_vector),
    KERNEL(adaptive_clip, adaptive_clip),
    KERNEL(cross_entropy, cross_entropy_forward),
    KERNEL(cross_entropy, cross_entropy_backward),
    KERNEL(standardize, standardize_forward),
    KERNEL(standardize, standardize_backward),
    KERNEL(batch_statistics, batch_statistics_parts),
    KERNEL(batch_statistics, batch_statistics_join),
    KERNEL(batch_statistics, batch_statistics_pool),
    KERNEL(batch_statistics, batch_statistics_backward),
};
int context_depth = 0;
}  // namespace

extern "C" {
int mock_version = 12040, mock_launch_error = 0, mock_launches = 0, mock_loads = 0;
// With mock_dry nothing is run: mock_grids has the names of kernels, each with its blocks.
int mock_dry = 0;
char mock_log[1 << 16], mock_grids[1 << 16];

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* version) { return *version = mock_version, 0; }
int cuDeviceGetCount(int* count) { return *count = 1, 0; }
int cuDeviceGet(int* device, int) { return *device = 0, 0; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  return *value = attribute == 75 ? 9 : 0, 0;
}
int cuStreamGetCtx(void*, void** context) { return *context = &context_depth, 0; }
int cuCtxPushCurrent_v2(void*) { return ++context_depth, 0; }
int cuCtxPopCurrent_v2(void**) { return --context_depth, 0; }
int cuCtxGetDevice(int* device) { return *device = 0, context_depth == 1 ? 0 : 201; }
int cuModuleLoadData(void** module, const void* image) {
  ++mock_loads;
  *module = const_cast<void*>(image);
  return std::strcmp(static_cast<const char*>(image), "cubin") ? 200 : 0;
}
int cuModuleGetFunction(void** function, void*, const char* name) {
  for (const Kernel& kernel : kKernels)
    if (!std::strcmp(kernel.name, name)) return *function = const_cast<Kernel*>(&kernel), 0;
  return 500;
}
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, void*, void** parameters,
                   void**) {
  if (mock_launch_error) return mock_launch_error;
  if (context_depth != 1) return 201;
  if (!x || !y || z != 1 || y > 65535 || block_x != 256 || block_y != 1 || block_z != 1) return 1;
  const Kernel* kernel = static_cast<Kernel*>(function);
  const char* name = kernel->name + std::strlen("kab_cuda_kernel_");
  if (mock_dry) {
    const std::string told = std::string(name) + " " + std::to_string(x * y) + " ";
    return std::strcat(mock_grids, told.c_str()), 0;
  }
  std::strcat(std::strcat(mock_log, name), " ");
  ++mock_launches;
  emulation::run(kernel->run, x, y, parameters);
  return 0;
}
}
