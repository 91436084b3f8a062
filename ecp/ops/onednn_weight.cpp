#include "ecp/ops/onednn_weight.h"

#include <new>
#include <unordered_map>

#include "ecp/base/error.h"
#include "ecp/ops/onednn.h"

namespace ecp::ops {
namespace {

using Memory = dnnl::memory;
using Type = Memory::data_type;

Memory::desc rows_form(std::int64_t rows, std::int64_t columns, std::int64_t stride, Type type) {
  return {{rows, columns}, type, Memory::dims{stride, 1}};
}
Memory::desc bias_form(std::int64_t columns) { return rows_form(1, columns, columns, Type::f32); }

Memory at_address(const Memory::desc& form, const void* data) {
  return {form, onednn_engine(), const_cast<void*>(data)};
}

/// [rows, inner] · [inner, columns], the right operand in `weight`'s form.
struct Shape {
  std::int64_t rows, inner, columns, left_stride, result_stride;
  bool bias = false, wide = false, accumulate = false;

  [[nodiscard]] dnnl::matmul::primitive_desc description(const Memory::desc& weight,
                                                         bool may_lack = false) const {
    const auto left = rows_form(rows, inner, left_stride, Type::bf16);
    const auto result = rows_form(rows, columns, result_stride, wide ? Type::f32 : Type::bf16);
    dnnl::primitive_attr attributes;
    if (accumulate) {
      dnnl::post_ops sum;
      sum.append_sum();
      attributes.set_post_ops(sum);
    }
    const auto form = bias ? dnnl::matmul::desc(left, weight, bias_form(columns), result)
                           : dnnl::matmul::desc(left, weight, result);
    return {form, attributes, onednn_engine(), may_lack};
  }
};

Memory::desc any_form(std::int64_t inner, std::int64_t columns) {
  return {{inner, columns}, Type::bf16, Memory::format_tag::any};
}

/// One of the two operands that a weight is.
class Packed {
 public:
  /// The form is oneDNN's for many rows.
  Packed(std::int64_t inner, std::int64_t columns)
      : inner_(inner),
        columns_(columns),
        memory_(
            Shape{1024, inner, columns, inner, columns}.description(any_form(inner, columns)).weights_desc(),
            onednn_engine()) {}

  /// From float32 whose element [i, c] is at i · inner_stride + c · column_stride.
  void assign(const float* values, std::int64_t inner_stride, std::int64_t column_stride) {
    Memory from =
        at_address({{inner_, columns_}, Type::f32, Memory::dims{inner_stride, column_stride}}, values);
    Memory to = memory_;
    dnnl::reorder(from, to).execute(onednn_stream(), from, to);
    onednn_stream().wait();
  }

  void multiply(std::int64_t rows, OperandRows left, const float* bias, ProductRows result) const {
    if (rows == 0) return;
    const Shape shape{rows,          inner_,          columns_,    left.stride,
                      result.stride, bias != nullptr, result.wide, result.accumulate};
    // oneDNN keeps primitives by shape, so that this costs little from the second time on.
    auto chosen = shape.description(memory_.get_desc(), true);
    Memory weight = memory_;
    if (!chosen) {  // it has another form for so few rows
      chosen = shape.description(any_form(inner_, columns_));
      weight = Memory(chosen.weights_desc(), onednn_engine());
      Memory from = memory_;
      dnnl::reorder(from, weight).execute(onednn_stream(), from, weight);
    }
    std::unordered_map<int, Memory> arguments{{DNNL_ARG_SRC, at_address(chosen.src_desc(), left.data)},
                                              {DNNL_ARG_WEIGHTS, weight},
                                              {DNNL_ARG_DST, at_address(chosen.dst_desc(), result.data)}};
    if (bias != nullptr) {
      arguments.emplace(DNNL_ARG_BIAS, at_address(bias_form(columns_), bias));
    }
    dnnl::matmul(chosen).execute(onednn_stream(), arguments);
    onednn_stream().wait();
  }

 private:
  std::int64_t inner_, columns_;
  Memory memory_;
};

/// Calls `work`; oneDNN's failures become ours.
template <class Work>
void with_own_errors(std::int64_t out, std::int64_t in, const Work& work) {
  try {
    work();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc();
    fail("linear layer [{}, {}] in bfloat16: {}", out, in, error.what());
  }
}

}  // namespace

struct OneDnnWeight::Forms {
  std::int64_t out, in;
  Packed forward, backward;
};

bool OneDnnWeight::available() {
  static const bool found = [] {
    const Shape shape{64, 64, 64, 64, 64};
    return static_cast<bool>(shape.description(any_form(64, 64), true));
  }();
  return found;
}

OneDnnWeight::OneDnnWeight(std::int64_t out, std::int64_t in) {
  with_own_errors(out, in, [&] { forms_.reset(new Forms{out, in, {in, out}, {out, in}}); });
}

OneDnnWeight::~OneDnnWeight() = default;

void OneDnnWeight::assign(const float* weight) {
  with_own_errors(forms_->out, forms_->in, [&] {
    forms_->forward.assign(weight, 1, forms_->in);
    forms_->backward.assign(weight, forms_->in, 1);
  });
}

void OneDnnWeight::forward(std::int64_t rows, OperandRows x, const float* bias, ProductRows y) const {
  with_own_errors(forms_->out, forms_->in, [&] { forms_->forward.multiply(rows, x, bias, y); });
}

void OneDnnWeight::backward(std::int64_t rows, OperandRows y_grad, ProductRows x_grad) const {
  with_own_errors(forms_->out, forms_->in, [&] { forms_->backward.multiply(rows, y_grad, nullptr, x_grad); });
}

}  // namespace ecp::ops
