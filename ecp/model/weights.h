// A model's parameters by the names of config/parameters.h. Tensors are handles: a module that keeps one sees
// what the optimizer does to it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <unordered_map>

namespace ecp {

/// A tensor that may be undefined, as autograd functions take it.
inline std::optional<at::Tensor> if_defined(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

class Weights {
 public:
  void add(const std::string& name, at::Tensor tensor) { tensors_.emplace(name, std::move(tensor)); }
  [[nodiscard]] const at::Tensor& at(const std::string& name) const { return tensors_.at(name); }
  /// Undefined where the configuration has no such parameter (a bias).
  [[nodiscard]] at::Tensor find(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? at::Tensor() : found->second;
  }

 private:
  std::unordered_map<std::string, at::Tensor> tensors_;
};

}  // namespace ecp
