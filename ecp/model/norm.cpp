#include "ecp/model/norm.h"

#include <torch/torch.h>

namespace ecp {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
  const at::Tensor scale = at::rsqrt(at::mean(wide.square(), -1, true) + eps);
  return (wide * scale * weight).to(x.scalar_type());
}

at::Tensor Norm::operator()(const at::Tensor& x) const {
  if (!bias_.defined()) return rms_norm(x, weight_, eps_);
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
}

}  // namespace ecp
