#include "driver.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <tuple>

#include "packs.h"

namespace {

// CUDA 12.0: what NVRTC 12's cubins need, and TensorFlow 2.21 too.
constexpr int kOldestDriver = 12000;
// Source: CUDA driver API, CUdevice_attribute.
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;

struct Driver {
  int (*init)(unsigned);
  int (*version)(int*);
  int (*device_count)(int*);
  int (*device_get)(int*, int);
  int (*device_attribute)(int*, int, int);
  int (*stream_context)(void*, void**);
  int (*push_context)(void*);
  int (*pop_context)(void**);
  int (*context_device)(int*);
  int (*load_module)(void**, const void*);
  int (*get_function)(void**, void*, const char*);
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                void**, void**);
  std::string error;
};

template <class Function>
void find(void* library, const char* name, Function& function, std::string& error) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function && error.empty())
    error = std::string("The CUDA driver must have ") + name +
            "; got one without it. Install a driver for CUDA 12 or later.";
}

Driver open_driver() {
  Driver d{};
  void* library = dlopen("libcuda.so.1", RTLD_NOW);
  if (!library) {
    d.error = "CUDA kernels need NVIDIA's driver; got no libcuda.so.1. Install the driver.";
    return d;
  }
  find(library, "cuInit", d.init, d.error);
  find(library, "cuDriverGetVersion", d.version, d.error);
  find(library, "cuDeviceGetCount", d.device_count, d.error);
  find(library, "cuDeviceGet", d.device_get, d.error);
  find(library, "cuDeviceGetAttribute", d.device_attribute, d.error);
  find(library, "cuStreamGetCtx", d.stream_context, d.error);
  find(library, "cuCtxPushCurrent_v2", d.push_context, d.error);
  find(library, "cuCtxPopCurrent_v2", d.pop_context, d.error);
  find(library, "cuCtxGetDevice", d.context_device, d.error);
  find(library, "cuModuleLoadData", d.load_module, d.error);
  find(library, "cuModuleGetFunction", d.get_function, d.error);
  find(library, "cuLaunchKernel", d.launch, d.error);
  int version = 0;
  if (d.error.empty() && d.version(&version) == 0 && version < kOldestDriver)
    d.error = "CUDA kernels need a driver for CUDA 12.0 or later; got one for " +
              std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10) +
              ". Install a newer driver.";
  return d;
}

const Driver& driver() {
  static const Driver d = open_driver();
  return d;
}

std::string failed(const char* call, int code) {
  return std::string("The CUDA driver must serve ") + call + "; got error " +
         std::to_string(code) + ". See CUresult in the CUDA driver API.";
}

int capability_of(int device) {
  int major = 0, minor = 0;
  driver().device_attribute(&major, kCapabilityMajor, device);
  driver().device_attribute(&minor, kCapabilityMinor, device);
  return major * 10 + minor;
}

std::mutex mutex;
std::map<std::pair<std::string, int>, std::string> images;
std::map<std::pair<void*, std::string>, void*> modules;
std::map<std::tuple<void*, std::string, std::string>, void*> functions;

// The function in the current context, its module loaded there once.
std::string function_of(void* context, const char* unit, const char* kernel, void** function) {
  std::lock_guard<std::mutex> lock(mutex);
  void*& found = functions[{context, unit, kernel}];
  void*& module = modules[{context, unit}];
  if (!found && !module) {
    int device = 0;
    if (int code = driver().context_device(&device)) return failed("cuCtxGetDevice", code);
    const auto image = images.find({unit, capability_of(device)});
    if (image == images.end())
      return std::string("Device code must be compiled before its first launch; got none of ") +
             unit + " for sm_" + std::to_string(capability_of(device)) +
             ". Call it through kernels.native, which compiles it.";
    if (int code = driver().load_module(&module, image->second.data()))
      return failed("cuModuleLoadData", code);
  }
  if (!found)
    if (int code = driver().get_function(&found, module, kernel))
      return failed("cuModuleGetFunction", code);
  *function = found;
  return "";
}

}  // namespace

namespace kab {

std::string launch(const char* unit, const char* kernel, Grid grid, void* stream,
                   void** parameters) {
  const Driver& d = driver();
  if (!d.error.empty()) return d.error;
  if (grid.x == 0 || grid.y == 0) return "";
  void *context = nullptr, *function = nullptr;
  if (int code = d.stream_context(stream, &context)) return failed("cuStreamGetCtx", code);
  if (int code = d.push_context(context)) return failed("cuCtxPushCurrent", code);
  std::string error = function_of(context, unit, kernel, &function);
  if (error.empty())
    if (int code = d.launch(function, grid.x, grid.y, 1, kThreads, 1, 1, 0, stream, parameters,
                            nullptr))
      error = failed("cuLaunchKernel", code);
  void* popped = nullptr;
  d.pop_context(&popped);
  return error;
}

}  // namespace kab

extern "C" const char* kab_driver_error() {
  const std::string& error = driver().error;
  return error.empty() ? nullptr : error.c_str();
}

extern "C" int kab_driver_capabilities(int* capabilities, int room) {
  int count = 0;
  if (kab_driver_error() || driver().init(0) || driver().device_count(&count)) return 0;
  for (int i = 0; i < count && i < room; ++i) {
    int device = 0;
    driver().device_get(&device, i);
    capabilities[i] = capability_of(device);
  }
  return count;
}

extern "C" void kab_device_code(const char* unit, int capability, const char* bytes, long size) {
  std::lock_guard<std::mutex> lock(mutex);
  images[{unit, capability}].assign(bytes, size_t(size));
}
