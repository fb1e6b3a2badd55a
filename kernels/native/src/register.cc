// Hands the kernels to a runtime: to TensorFlow through its FFI table, to JAX one by one.
#include <cstring>
#include <string>

#include "targets.h"
#include "xla/ffi/api/ffi.h"

#define KAB_DECLARE(name)                                           \
  extern "C" XLA_FFI_Error* kab_host_##name(XLA_FFI_CallFrame*);    \
  extern "C" XLA_FFI_Error* kab_cuda_##name(XLA_FFI_CallFrame*);
KAB_TARGETS(KAB_DECLARE)

namespace {

struct Target {
  const char *name, *platform;
  XLA_FFI_Handler* handler;
};

const Target kTargets[] = {
#define KAB_ROWS(name) \
  {"kab_" #name, "Host", kab_host_##name}, {"kab_" #name, "CUDA", kab_cuda_##name},
    KAB_TARGETS(KAB_ROWS)};

std::string message_of(const XLA_FFI_Api* api, XLA_FFI_Error* error) {
  XLA_FFI_Error_GetMessage_Args get{XLA_FFI_Error_GetMessage_Args_STRUCT_SIZE, nullptr, error,
                                    nullptr};
  api->XLA_FFI_Error_GetMessage(&get);
  const std::string message = get.message;
  XLA_FFI_Error_Destroy_Args destroy{XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, nullptr, error};
  api->XLA_FFI_Error_Destroy(&destroy);
  return message;
}

}  // namespace

// Registers every kernel; null, or what the runtime said.
extern "C" const char* kab_register(const XLA_FFI_Api* api) {
  static std::string message;
  for (const Target& target : kTargets) {
    auto* error = xla::ffi::Ffi::RegisterStaticHandler(api, target.name, target.platform,
                                                       target.handler);
    if (error) {
      message = std::string(target.name) + ": " + message_of(api, error);
      return message.c_str();
    }
  }
  return nullptr;
}

// The handler of one kernel on "Host" or "CUDA", or null.
extern "C" void* kab_handler(const char* name, const char* platform) {
  for (const Target& target : kTargets)
    if (!std::strcmp(target.name, name) && !std::strcmp(target.platform, platform))
      return reinterpret_cast<void*>(target.handler);
  return nullptr;
}
