#include "ecp/train/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/model/linear_weight.h"
#include "ecp/ops/rows.h"

namespace ecp {
namespace {

constexpr std::int64_t chunk = 1 << 14;

NamedTensor named(std::string name, const at::Tensor& tensor) {
  const auto* bytes = static_cast<const std::byte*>(tensor.const_data_ptr());
  return {std::move(name), {DType::f32, tensor.sizes().vec(), {bytes, tensor.nbytes()}}};
}

void restore(at::Tensor& tensor, const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  require(view.dtype == DType::f32, "{}: {}: expected F32, got {}", file.name(), name, name_of(view.dtype));
  require(tensor.sizes() == view.shape, "{}: {}: expected the shape of its parameter, [{}], got [{}]",
          file.name(), name, fmt::join(tensor.sizes(), ", "), fmt::join(view.shape, ", "));
  std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
}

}  // namespace

double gradient_norm(const std::vector<at::Tensor>& parameters) {
  struct Piece {
    const float* values;
    std::int64_t count;
  };
  std::vector<at::Tensor> gradients;  // keeps copies of non-contiguous ones alive
  std::vector<Piece> pieces;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) continue;
    gradients.push_back(parameter.grad().contiguous());
    const float* values = gradients.back().const_data_ptr<float>();
    for (std::int64_t begin = 0, size = gradients.back().numel(); begin < size; begin += chunk) {
      pieces.push_back({values + begin, std::min(chunk, size - begin)});
    }
  }
  std::vector<double> sums(pieces.size());
  at::parallel_for(0, static_cast<std::int64_t>(pieces.size()), 4, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      sums[i] = ops::row_square_sum(pieces[i].values, pieces[i].count);
    }
  });
  double sum = 0;
  for (const double piece : sums) sum += piece;
  return std::sqrt(sum);
}

double clip_factor(double norm, double most) { return most > 0 && norm > most ? most / norm : 1; }

AdamW::AdamW(const TrainConfig& config, std::vector<Entry> entries)
    : config_(config), entries_(std::move(entries)) {
  for (const Entry& entry : entries_) {
    require(entry.parameter.scalar_type() == at::kFloat && entry.parameter.is_contiguous(),
            "optimizer: {}: expected a contiguous float32 tensor", entry.name);
    first_moments_.push_back(at::zeros_like(entry.parameter.detach()));
    second_moments_.push_back(at::zeros_like(entry.parameter.detach()));
  }
}

void AdamW::step(double lr, double gradient_factor) {
  const at::NoGradGuard no_grad;
  ++steps_;
  const at::Tensor divisor = at::scalar_tensor(1 / gradient_factor, at::kFloat);
  update(true, lr, divisor);
  update(false, lr, divisor);
}

void AdamW::update(bool decay, double lr, const at::Tensor& gradient_divisor) {
  std::vector<at::Tensor> parameters, gradients, first, second, steps;
  const at::Tensor count = at::scalar_tensor(static_cast<double>(steps_), at::kFloat);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const at::Tensor& gradient = entries_[i].parameter.grad();
    if (entries_[i].decay != decay || !gradient.defined()) continue;
    parameters.push_back(entries_[i].parameter);
    gradients.push_back(gradient.contiguous());
    first.push_back(first_moments_[i]);
    second.push_back(second_moments_[i]);
    steps.push_back(count);
  }
  if (parameters.empty()) return;
  at::_fused_adamw_(parameters, gradients, first, second, {}, steps, lr, config_.beta1, config_.beta2,
                    decay ? config_.weight_decay : 0, config_.eps, /*amsgrad=*/false, /*maximize=*/false,
                    gradient_divisor);
  for (const at::Tensor& parameter : parameters) values_changed(parameter);  // it doesn't count as a change
}

void AdamW::clear_gradients() {
  for (Entry& entry : entries_) entry.parameter.mutable_grad().reset();
}

std::vector<NamedTensor> AdamW::state() const {
  std::vector<NamedTensor> all;
  for (std::size_t i = 0; i < entries_.size(); ++i)
    all.push_back(named("m." + entries_[i].name, first_moments_[i]));
  for (std::size_t i = 0; i < entries_.size(); ++i)
    all.push_back(named("v." + entries_[i].name, second_moments_[i]));
  return all;
}

void AdamW::load(const SafetensorsFile& file, std::int64_t steps) {
  require(file.tensors().size() == 2 * entries_.size(),
          "{}: expected {} tensors, two for each parameter, got {}", file.name(), 2 * entries_.size(),
          file.tensors().size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    restore(first_moments_[i], file, "m." + entries_[i].name);
    restore(second_moments_[i], file, "v." + entries_[i].name);
  }
  steps_ = steps;
}

std::vector<AdamW::Entry> optimizer_entries(const Backbone& model) {
  const auto parameters = model.named_parameters();
  std::vector<AdamW::Entry> entries;
  for (const Parameter& parameter : model.table())
    entries.push_back({parameter.name, parameters[parameter.name], parameter.decay});
  return entries;
}

}  // namespace ecp
