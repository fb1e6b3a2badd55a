#include "targets.h"
#include "xla/ffi/api/ffi.h"
namespace {
xla::ffi::Error None(xla::ffi::RemainingArgs, xla::ffi::RemainingRets) {
  return xla::ffi::Error(xla::ffi::ErrorCode::kUnimplemented, "no CUDA yet");
}
}
#define KAB_STUB(name) XLA_FFI_DEFINE_HANDLER_SYMBOL(kab_cuda_##name, None, xla::ffi::Ffi::Bind().RemainingArgs().RemainingRets());
KAB_TARGETS(KAB_STUB)
