#include "ecp/model/recompute.h"

#include <torch/torch.h>

#include <utility>

namespace ecp {
namespace {

/// A part as autograd can keep it.
struct KeptPart : torch::CustomClassHolder {
  explicit KeptPart(ModelPart part) : run(std::move(part)) {}
  ModelPart run;
};
using KeptPartPtr = c10::intrusive_ptr<KeptPart>;

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const KeptPartPtr& part) {
    context->save_for_backward({x});
    context->saved_data["part"] = c10::IValue::make_capsule(part);
    return part->run(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    const auto part = c10::static_intrusive_pointer_cast<KeptPart>(context->saved_data["part"].toCapsule());
    at::Tensor y;
    {
      const at::AutoGradMode with_gradients(true);
      y = part->run(x);
    }
    torch::autograd::backward({y}, {grads[0]});
    return {x.grad(), {}};
  }
};

}  // namespace

at::Tensor recomputed(ModelPart part, const at::Tensor& x) {
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return part(x);
  return Recomputed::apply(x, c10::make_intrusive<KeptPart>(std::move(part)));
}

}  // namespace ecp
