// Turns the buffers of an XLA call into the kernels' plain structs, and checks them on the way.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"
#include "xla/ffi/api/ffi.h"

namespace kab {

namespace ffi = xla::ffi;

struct View {
  void* data = nullptr;
  ffi::Span<const int64_t> dims;  // the call's own
  int64_t n = 0;
  int32_t dtype = -1;  // kab_dtype, or -1 for any other
  ffi::DataType type = ffi::DataType::INVALID;
  int64_t rank() const { return int64_t(dims.size()); }
};

// Takes operands and results one by one; the first thing wrong is kept and ends the walk.
class Walk {
 public:
  Walk(ffi::RemainingArgs operands, ffi::RemainingRets results)
      : operands_(operands), results_(results) {}
  bool more() const { return error_.empty() && operand_ < operands_.size(); }
  View operand();
  View result();
  // A float32 operand or result of so many elements.
  float* numbers(int64_t n);
  float* numbers_out(int64_t n);
  // A result like `operand` in dtype and size.
  View result_like(const View& operand);
  View operand_like(const View& other);
  View floating();  // an operand of a dtype that the kernels take
  // Called only where a rule is broken: wording one costs more than checking it.
  void refuse(const std::string& rule, const std::string& got);
  bool good() const { return error_.empty(); }
  ffi::Error status();

 private:
  void expect(const View& view, const View& like);
  ffi::RemainingArgs operands_;
  ffi::RemainingRets results_;
  size_t operand_ = 0, result_ = 0;
  std::string error_;
};

std::vector<kab_adam_tensor> adam_tensors(Walk& walk);
std::vector<kab_sm3_tensor> sm3_tensors(Walk& walk, bool has_momentum);
std::vector<kab_adafactor_tensor> adafactor_tensors(Walk& walk);
std::vector<kab_clip_tensor> clip_tensors(Walk& walk);

struct CrossEntropy {
  View logits, labels;
  int32_t label_bytes = 0;
  int64_t batch = 0, classes = 0;
};
CrossEntropy cross_entropy(Walk& walk);

struct Matrix {
  View view;
  int64_t rows = 0, cols = 0;
};
Matrix matrix(Walk& walk);  // all axes but the last are rows

}  // namespace kab
