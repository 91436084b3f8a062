#include "ecp/model/linear_weight.h"

#include <torch/torch.h>

#include "ecp/model/products.h"

namespace ecp {
namespace {

ops::OperandRows operand_rows(const at::Tensor& t) {
  return {static_cast<const std::uint16_t*>(t.const_data_ptr()), row_stride(t)};
}

std::uint16_t* halves_or_null(const at::Tensor& t) {
  return t.defined() ? static_cast<std::uint16_t*>(t.mutable_data_ptr()) : nullptr;
}

ops::ProductRows rows_of(const at::Tensor& t, bool accumulate) {
  return {t.mutable_data_ptr(), row_stride(t), t.scalar_type() == at::kFloat, accumulate};
}

}  // namespace

void LinearWeight::forward(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& y) {
  if (x.scalar_type() == at::kFloat) {
    if (!bias.defined()) {
      multiply({x}, {weight_, true}, y);
    } else {
      y.copy_(bias.expand_as(y));
      add_product({x}, {weight_, true}, y);
    }
  } else if (ops::PackedWeight::available()) {
    packed().forward(x.size(0), operand_rows(x), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                     rows_of(y, false));
  } else {
    const at::Tensor wide = product({x}, {halves(), true});
    y.copy_(bias.defined() ? wide.add_(bias) : wide);
  }
}

void LinearWeight::backward(const at::Tensor& y_grad, const at::Tensor& x_grad, bool accumulate) {
  if (y_grad.scalar_type() == at::kFloat) {
    accumulate ? add_product({y_grad}, {weight_}, x_grad) : multiply({y_grad}, {weight_}, x_grad);
  } else if (ops::PackedWeight::available()) {
    packed().backward(y_grad.size(0), operand_rows(y_grad), rows_of(x_grad, accumulate));
  } else {
    const at::Tensor wide = product({y_grad}, {halves()});
    accumulate ? x_grad.add_(wide) : x_grad.copy_(wide);
  }
}

bool LinearWeight::has_gelu(at::ScalarType dtype) {
  return dtype == at::kBFloat16 && ops::PackedWeight::has_gelu();
}

void LinearWeight::forward_gelu(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& pre,
                                const at::Tensor& activated) {
  packed().forward_gelu(x.size(0), operand_rows(x), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                        {halves_or_null(pre), halves_or_null(activated), activated.size(1)});
}

at::Tensor LinearWeight::backward_gelu(const at::Tensor& y_grad, const at::Tensor& pre,
                                       const at::Tensor& activated, const at::Tensor& pre_grad) {
  const std::int64_t width = activated.size(1);
  at::Tensor sum = at::empty({width}, at::kFloat);
  packed().backward_gelu(y_grad.size(0), operand_rows(y_grad),
                         {halves_or_null(pre), halves_or_null(activated), width}, halves_or_null(pre_grad),
                         sum.mutable_data_ptr<float>());
  return sum;
}

std::int64_t LinearWeight::changes() const { return static_cast<std::int64_t>(weight_._version()); }

const ops::PackedWeight& LinearWeight::packed() {
  if (copied_ != changes()) {
    if (!packed_) packed_ = ops::PackedWeight::make(weight_.size(0), weight_.size(1));
    packed_->assign(weight_.const_data_ptr<float>());
    copied_ = changes();
  }
  return *packed_;
}

const at::Tensor& LinearWeight::halves() {
  if (copied_ != changes()) {
    halves_ = weight_.detach().to(at::kBFloat16);
    copied_ = changes();
  }
  return halves_;
}

void keep(torch::autograd::AutogradContext& context, const std::string& name, const LinearWeightPtr& weight) {
  if (weight) context.saved_data[name] = c10::IValue::make_capsule(weight);
}

LinearWeightPtr kept(const torch::autograd::AutogradContext& context, const std::string& name) {
  const auto found = context.saved_data.find(name);
  if (found == context.saved_data.end()) return {};
  return c10::static_intrusive_pointer_cast<LinearWeight>(found->second.toCapsule());
}

void values_changed(const at::Tensor& parameter) { parameter.unsafeGetTensorImpl()->bump_version(); }

}  // namespace ecp
