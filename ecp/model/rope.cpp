#include "ecp/model/rope.h"

#include <torch/torch.h>

namespace ecp {
namespace {

at::Tensor turn(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const at::Tensor pairs =
      x.to(sin.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).unflatten(-1, {x.size(-1) / 2, 2});
  const at::Tensor even = pairs.select(-1, 0), odd = pairs.select(-1, 1);
  const at::Tensor c = cos.unsqueeze(-2), s = sin.unsqueeze(-2);
  return at::stack({even * c - odd * s, odd * c + even * s}, -1).flatten(-2).to(x.scalar_type());
}

}  // namespace

Rotation make_rotation(const at::Tensor& positions, std::int64_t head_dim, double theta) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequencies =
      at::pow(theta, -at::arange(0, head_dim, 2, wide) / static_cast<double>(head_dim));
  const at::Tensor angles = positions.to(at::kDouble).unsqueeze(-1) * frequencies;
  return {angles.cos().to(at::kFloat), angles.sin().to(at::kFloat)};
}

at::Tensor rotate(const at::Tensor& x_BNHD, const Rotation& rotation) {
  return turn(x_BNHD, rotation.cos, rotation.sin);
}

}  // namespace ecp
