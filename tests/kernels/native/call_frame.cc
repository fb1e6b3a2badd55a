// Calls a kernel's FFI handler as XLA does: a call frame made by hand, scratch memory from here.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "xla/ffi/api/c_api.h"

struct XLA_FFI_Error {
  std::string message;
};

// Blocks of scratch memory that were not given back, and that were written beyond their end.
extern "C" int frame_alive = 0, frame_overruns = 0;

namespace {

constexpr size_t kAligned = 256, kBeyond = 256;

XLA_FFI_Error* create_error(XLA_FFI_Error_Create_Args* args) {
  return new XLA_FFI_Error{args->message};
}
void message_of(XLA_FFI_Error_GetMessage_Args* args) { args->message = args->error->message.c_str(); }
void destroy_error(XLA_FFI_Error_Destroy_Args* args) { delete args->error; }

XLA_FFI_Error* stream_of(XLA_FFI_Stream_Get_Args* args) {
  args->stream = nullptr;
  return nullptr;
}

XLA_FFI_Error* allocate(XLA_FFI_DeviceMemory_Allocate_Args* args) {
  ++frame_alive;
  if (posix_memalign(&args->data, kAligned, args->size + kBeyond)) std::abort();
  std::memset(args->data, 0xff, args->size + kBeyond);  // NaN, in every precision
  return nullptr;
}

XLA_FFI_Error* release(XLA_FFI_DeviceMemory_Free_Args* args) {
  --frame_alive;
  const std::string whole(kBeyond, '\xff');
  frame_overruns += whole != std::string(static_cast<char*>(args->data) + args->size, kBeyond);
  std::free(args->data);
  return nullptr;
}

XLA_FFI_Api api() {
  XLA_FFI_Api api{};
  api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
  api.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr, XLA_FFI_API_MAJOR,
                     XLA_FFI_API_MINOR};
  api.XLA_FFI_Error_Create = create_error;
  api.XLA_FFI_Error_GetMessage = message_of;
  api.XLA_FFI_Error_Destroy = destroy_error;
  api.XLA_FFI_Stream_Get = stream_of;
  api.XLA_FFI_DeviceMemory_Allocate = allocate;
  api.XLA_FFI_DeviceMemory_Free = release;
  return api;
}

struct Operand {
  int32_t dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Attribute {
  const char* name;
  double value;
};

std::vector<XLA_FFI_Buffer> buffers(const Operand* operands, int64_t count) {
  std::vector<XLA_FFI_Buffer> made;
  for (int64_t i = 0; i < count; ++i)
    made.push_back({XLA_FFI_Buffer_STRUCT_SIZE, nullptr, XLA_FFI_DataType(operands[i].dtype),
                    operands[i].data, operands[i].rank, operands[i].dims});
  return made;
}

template <class T>
std::vector<void*> addresses(std::vector<T>& held) {
  std::vector<void*> found;
  for (T& each : held) found.push_back(&each);
  return found;
}

}  // namespace

// Null, or what the handler said; attributes in the order of their names.
extern "C" const char* frame_call(XLA_FFI_Handler* handler, const Operand* operands, int64_t ins,
                                  const Operand* results, int64_t outs,
                                  const Attribute* attributes, int64_t constants) {
  static const XLA_FFI_Api table = api();
  static std::string said;
  auto in = buffers(operands, ins), out = buffers(results, outs);
  std::vector<XLA_FFI_Scalar> values;
  std::vector<XLA_FFI_ByteSpan> names;
  std::vector<double> numbers;
  for (int64_t i = 0; i < constants; ++i) numbers.push_back(attributes[i].value);
  for (int64_t i = 0; i < constants; ++i) {
    values.push_back({XLA_FFI_DataType_F64, &numbers[i]});
    names.push_back({attributes[i].name, std::strlen(attributes[i].name)});
  }
  std::vector<XLA_FFI_ArgType> in_types(ins, XLA_FFI_ArgType_BUFFER);
  std::vector<XLA_FFI_RetType> out_types(outs, XLA_FFI_RetType_BUFFER);
  std::vector<XLA_FFI_AttrType> types(constants, XLA_FFI_AttrType_SCALAR);
  auto in_at = addresses(in), out_at = addresses(out), value_at = addresses(values);
  std::vector<XLA_FFI_ByteSpan*> name_at;
  for (auto& name : names) name_at.push_back(&name);
  XLA_FFI_CallFrame frame{};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = &table;
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, ins, in_types.data(), in_at.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, outs, out_types.data(), out_at.data()};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr,        constants,
                 types.data(),              name_at.data(), value_at.data()};
  XLA_FFI_Error* error = handler(&frame);
  if (!error) return nullptr;
  said = error->message;
  delete error;
  return said.c_str();
}
