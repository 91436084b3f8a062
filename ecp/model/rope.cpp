#include "ecp/model/rope.h"

#include <torch/torch.h>

#include <vector>

#include "ecp/model/row_kernels.h"
#include "ecp/model/rows.h"

namespace ecp {
namespace {

at::Tensor turn(const at::Tensor& input, const Rotation& rotation, bool inverse) {
  const at::Tensor x = input.contiguous();
  const std::int64_t n = x.size(1), heads = x.size(2), width = x.size(3);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const FloatRows from(x, heads * width), to(out, heads * width);
  const float* cos = rotation.cos.const_data_ptr<float>();
  const float* sin = rotation.sin.const_data_ptr<float>();
  const bool by_sample = rotation.cos.dim() == 3;
  at::parallel_for(0, x.size(0) * n, 32, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> read, written;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t angle = (by_sample ? i : i % n) * width;
      const float* row = from.read(i, read);
      float* result = to.begin(i, written);
      for (std::int64_t head = 0; head < heads; ++head) {
        row_rotate(row + head * width, cos + angle, sin + angle, inverse, result + head * width, width);
      }
      to.written(i, written);
    }
  });
  return out;
}

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& cos, const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return turn(x, {cos, sin}, false);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    return {turn(grads[0], {saved[0], saved[1]}, true), {}, {}};
  }
};

}  // namespace

Rotation make_rotation(const at::Tensor& positions, std::int64_t head_dim, double theta) {
  const at::Tensor exponents = at::arange(0, head_dim, 2, at::kDouble) / static_cast<double>(-head_dim);
  const at::Tensor angles = positions.to(at::kDouble).unsqueeze(-1) * at::pow(theta, exponents);
  const auto both = [&](const at::Tensor& even, const at::Tensor& odd) {
    return at::stack({even, odd}, -1).flatten(-2);
  };
  const at::Tensor cos = angles.cos().to(at::kFloat), sin = angles.sin().to(at::kFloat);
  return {both(cos, cos), both(-sin, sin)};
}

at::Tensor rotate(const at::Tensor& x_BNHD, const Rotation& rotation) {
  return Rotate::apply(x_BNHD, rotation.cos.contiguous(), rotation.sin.contiguous());
}

}  // namespace ecp
