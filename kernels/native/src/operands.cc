#include "operands.h"

#include <sstream>

namespace kab {
namespace {

int32_t dtype_of(ffi::DataType type) {
  if (type == ffi::DataType::F32) return KAB_FLOAT32;
  if (type == ffi::DataType::BF16) return KAB_BFLOAT16;
  return type == ffi::DataType::F16 ? KAB_FLOAT16 : -1;
}

View view_of(const ffi::AnyBuffer& buffer) {
  View view;
  view.data = buffer.untyped_data();
  view.dims = buffer.dimensions();
  view.n = int64_t(buffer.element_count());
  view.type = buffer.element_type();
  view.dtype = dtype_of(view.type);
  return view;
}

std::string text(const View& view) {
  std::ostringstream out;
  out << view.type << " (";
  for (int64_t d : view.dims) out << d << ",";
  out << ")";
  return out.str();
}

bool aligned(const View& view) {
  const size_t bytes = ffi::ByteWidth(view.type);
  return bytes == 0 || reinterpret_cast<uintptr_t>(view.data) % bytes == 0;
}

}  // namespace

void Walk::refuse(const std::string& rule, const std::string& got) {
  if (good())
    error_ = rule + ", got " + got + "; call it through kernels.native, which checks its arguments";
}

ffi::Error Walk::status() {
  if (operand_ != operands_.size() || result_ != results_.size())
    refuse("the kernel takes " + std::to_string(operand_) + " operands and gives " +
               std::to_string(result_) + " results",
           std::to_string(operands_.size()) + " and " + std::to_string(results_.size()));
  return good() ? ffi::Error::Success() : ffi::Error::InvalidArgument(error_);
}

View Walk::operand() {
  const auto buffer = operands_.get<ffi::AnyBuffer>(operand_);
  if (!buffer.has_value()) refuse("every tensor needs its operands", "too few operands");
  if (!good()) return {};
  ++operand_;
  const View view = view_of(*buffer);
  if (!aligned(view)) refuse("a buffer must be aligned to its elements", "a misaligned " + text(view));
  return view;
}

View Walk::result() {
  auto buffer = results_.get<ffi::AnyBuffer>(result_);
  if (!buffer.has_value()) refuse("every tensor needs its results", "too few results");
  if (!good()) return {};
  ++result_;
  const View view = view_of(**buffer);
  if (!aligned(view)) refuse("a buffer must be aligned to its elements", "a misaligned " + text(view));
  return view;
}

void Walk::expect(const View& view, const View& like) {
  if (view.type != like.type || view.n != like.n)
    refuse("a tensor and what belongs to it must have one dtype and size",
           text(view) + " beside " + text(like));
}

View Walk::result_like(const View& like) {
  const View view = result();
  expect(view, like);
  return view;
}

View Walk::operand_like(const View& like) {
  const View view = operand();
  expect(view, like);
  return view;
}

View Walk::floating() {
  const View view = operand();
  if (view.dtype < 0) refuse("a tensor must be float32, bfloat16 or float16", text(view));
  return view;
}

float* Walk::numbers(int64_t n) {
  const View view = operand();
  if (view.dtype != KAB_FLOAT32 || view.n != n)
    refuse("this operand must be float32 with " + std::to_string(n) + " elements", text(view));
  return static_cast<float*>(view.data);
}

float* Walk::numbers_out(int64_t n) {
  const View view = result();
  if (view.dtype != KAB_FLOAT32 || view.n != n)
    refuse("this result must be float32 with " + std::to_string(n) + " elements", text(view));
  return static_cast<float*>(view.data);
}

std::vector<kab_adam_tensor> adam_tensors(Walk& walk) {
  std::vector<kab_adam_tensor> tensors;
  while (walk.more()) {
    const View w = walk.floating(), m = walk.operand_like(w), v = walk.operand_like(w);
    const View g = walk.operand_like(w);
    const View w_out = walk.result_like(w), m_out = walk.result_like(w);
    const View v_out = walk.result_like(w);
    tensors.push_back(
        {w.data, m.data, v.data, g.data, w_out.data, m_out.data, v_out.data, w.n, w.dtype});
  }
  return tensors;
}

std::vector<kab_sm3_tensor> sm3_tensors(Walk& walk, bool has_momentum) {
  std::vector<kab_sm3_tensor> tensors;
  while (walk.more()) {
    const View w = walk.floating();
    if (w.rank() > KAB_MAX_RANK) walk.refuse("a variable has at most 8 axes", text(w));
    if (!walk.good()) break;
    kab_sm3_tensor t{};
    t.w = w.data, t.w_out = walk.result_like(w).data;
    t.n = w.n, t.rank = int32_t(w.rank()), t.dtype = w.dtype;
    for (int64_t axis = 0; axis < std::max<int64_t>(1, w.rank()); ++axis) {
      t.dims[axis] = w.rank() < 2 ? w.n : w.dims[axis];
      t.accumulator[axis] = walk.numbers(t.dims[axis]);
      t.accumulator_out[axis] = walk.numbers_out(t.dims[axis]);
    }
    if (has_momentum) t.momentum = walk.operand_like(w).data;
    if (has_momentum) t.momentum_out = walk.result_like(w).data;
    t.g = walk.operand_like(w).data;
    tensors.push_back(t);
  }
  return tensors;
}

std::vector<kab_adafactor_tensor> adafactor_tensors(Walk& walk) {
  std::vector<kab_adafactor_tensor> tensors;
  while (walk.more()) {
    const View w = walk.floating();
    kab_adafactor_tensor t{};
    t.w = w.data, t.w_out = walk.result_like(w).data, t.n = w.n, t.dtype = w.dtype;
    const bool factored = w.rank() > 1;
    t.rows = factored ? w.dims[w.rank() - 2] : 0;
    t.cols = factored ? w.dims[w.rank() - 1] : 0;
    t.lead = factored ? 1 : 0;
    for (int64_t axis = 0; axis + 2 < w.rank(); ++axis) t.lead *= w.dims[axis];
    const int64_t r = factored ? t.lead * t.rows : w.n, c = t.lead * t.cols;
    t.r = walk.numbers(r), t.r_out = walk.numbers_out(r);
    if (factored) t.c = walk.numbers(c), t.c_out = walk.numbers_out(c);
    t.g = walk.operand_like(w).data;
    tensors.push_back(t);
  }
  return tensors;
}

// A factor for each unit: units are the last of a tensor's elements, whatever its axes.
std::vector<kab_clip_tensor> clip_tensors(Walk& walk) {
  std::vector<kab_clip_tensor> tensors;
  while (walk.more()) {
    const View w = walk.floating(), g = walk.operand_like(w), factor = walk.result();
    const int64_t units = factor.n;
    if (factor.dtype != KAB_FLOAT32 || (units ? w.n % units : w.n))
      walk.refuse("factors must be float32, one a unit of " + text(w), text(factor));
    if (!walk.good()) break;
    tensors.push_back({w.data, g.data, static_cast<float*>(factor.data),
                       units ? w.n / units : 0, units, w.dtype});
  }
  return tensors;
}

CrossEntropy cross_entropy(Walk& walk) {
  CrossEntropy c;
  c.logits = walk.floating();
  c.labels = walk.operand();
  if (c.logits.rank() != 2) walk.refuse("logits must be (batch, classes)", text(c.logits));
  if (!walk.good()) return c;
  c.batch = c.logits.dims[0], c.classes = c.logits.dims[1];
  const bool wide = c.labels.type == ffi::DataType::S64;
  if ((!wide && c.labels.type != ffi::DataType::S32) || c.labels.n != c.batch)
    walk.refuse("labels must be int32 or int64, one a row of " + text(c.logits), text(c.labels));
  c.label_bytes = wide ? 8 : 4;
  return c;
}

Matrix matrix(Walk& walk) {
  Matrix m;
  m.view = walk.floating();
  if (m.view.rank() < 1) walk.refuse("a tensor must have an axis", text(m.view));
  if (!walk.good()) return m;
  m.cols = m.view.dims.back(), m.rows = 1;
  for (int64_t axis = 0; axis + 1 < m.view.rank(); ++axis) m.rows *= m.view.dims[axis];
  return m;
}

}  // namespace kab
