// The CUDA driver, found at run time: neither CUDA's headers nor its runtime are needed to build.
#pragma once
#include <string>

namespace kab {

struct Grid {
  unsigned x, y = 1;
};

// Launches a kernel of kThreads threads on `stream`, on the device that the stream belongs to.
// Returns an empty string, or what is wrong and what to do.
std::string launch(const char* unit, const char* kernel, Grid grid, void* stream, void** parameters);

// The same for a kernel of a unit, kab_cuda_kernel_<unit>_<kernel>, with its parameters by value.
template <class... Parameters>
std::string launch_with(const char* unit, const char* kernel, Grid grid, void* stream,
                        Parameters... parameters) {
  void* pointers[] = {const_cast<void*>(static_cast<const void*>(&parameters))...};
  const std::string name = std::string("kab_cuda_kernel_") + unit + "_" + kernel;
  return launch(unit, name.c_str(), grid, stream, pointers);
}

}  // namespace kab

// For Python: why the driver cannot be used, or null; the compute capabilities of its devices (90
// for 9.0) and their number; device code for a source file and a capability.
extern "C" const char* kab_driver_error();
extern "C" int kab_driver_capabilities(int* capabilities, int room);
extern "C" void kab_device_code(const char* unit, int capability, const char* bytes, long size);
