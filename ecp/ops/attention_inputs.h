// Interval attention's inputs: what they must be, and the kernels' problem that they make. For LibTorch's
// tensors and for those of its stable ABI, which have the same names but share no header: python/operator.cpp
// is compiled against the latter alone.
#pragma once

#include <torch/headeronly/core/ScalarType.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ecp/base/error.h"
#include "ecp/intervals/pattern.h"
#include "ecp/kernels/dropout.h"
#include "ecp/kernels/interval_attention.h"
#include "ecp/kernels/isa.h"

namespace ecp::ops {

using torch::headeronly::ScalarType;

/// As the operator's schema has them.
template <class Tensor>
struct AttentionArguments {
  const Tensor& q;
  const Tensor& k;
  const std::optional<Tensor>& v;
  std::string_view pattern;
  std::span<const std::int64_t> pattern_parameters;
  std::int64_t query_offset = 0, key_offset = 0;
  const std::optional<Tensor>& document_start;
  std::optional<double> scale;
  double dropout = 0;
  std::span<const std::int64_t> dropout_key;  // seed, step, layer, global index of each sample
};

/// Tensors of one floating dtype and device that kernels can walk: elements of a head beside each other, rows
/// not overlapping.
template <class Tensor>
struct AttentionInputs {
  Tensor q, k;              // [B, n, H, d_h], [B, m, H_kv, d_h]
  std::optional<Tensor> v;  // absent: k
  Pattern pattern = Pattern::full();
  std::int64_t query_offset = 0, key_offset = 0;
  std::optional<Tensor> document_start;  // int32 [B, n], contiguous
  double scale = 1;
  kernels::AttentionDropout dropout;
};

/// [2, 5, 4, 8] for messages.
template <class Tensor>
std::string sizes_of(const Tensor& t) {
  std::string text = "[";
  for (std::int64_t i = 0; i < t.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(t.size(i));
  return text + "]";
}

template <class Tensor>
std::string device_name(const Tensor& t) {
  if constexpr (requires { t.device().str(); }) {
    return t.device().str();
  } else {
    return t.is_cpu() ? "cpu" : "another";
  }
}

template <class Tensor>
bool same_sizes(const Tensor& a, const Tensor& b) {
  bool same = a.dim() == b.dim();
  for (std::int64_t i = 0; same && i < a.dim(); ++i) same = a.size(i) == b.size(i);
  return same;
}

template <class Tensor>
bool walkable(const Tensor& t) {
  return (t.size(3) == 1 || t.stride(3) == 1) && (t.size(1) <= 1 || t.stride(1) >= t.size(3));
}

inline kernels::AttentionDropout dropout_of(double probability, std::span<const std::int64_t> key,
                                            std::int64_t batch, std::int64_t heads) {
  require(probability >= 0 && probability < 1,
          "interval_attention: dropout: expected a value in [0, 1), got {}", probability);
  if (probability == 0) return {};
  require(static_cast<std::int64_t>(key.size()) == 3 + batch,
          "interval_attention: dropout_key: expected seed, step, layer and the global index of each of {} "
          "samples, got {} integers",
          batch, key.size());
  kernels::AttentionDropout dropout;
  dropout.threshold = kernels::dropout_threshold(probability);
  if (dropout.threshold == 0) return dropout;
  dropout.kept = static_cast<float>(1 / kernels::kept_share(probability));
  for (const std::int64_t sample : key.subspan(3)) {
    for (std::int64_t head = 0; head < heads; ++head) {
      dropout.streams.push_back(kernels::dropout_stream(static_cast<std::uint64_t>(key[0]), key[1], sample,
                                                        key[2], kernels::DropoutSite::attention, head));
    }
  }
  return dropout;
}

template <class Tensor>
void check_rows(const Tensor& q, const Tensor& t, const char* name) {
  require(t.dim() == 4, "interval_attention: {}: expected 4 dimensions [B, m, H_kv, d_h], got {}", name,
          sizes_of(t));
  require(t.scalar_type() == q.scalar_type(), "interval_attention: {}: expected q's dtype {}, got {}", name,
          torch::headeronly::toString(q.scalar_type()), torch::headeronly::toString(t.scalar_type()));
  require(t.device() == q.device(), "interval_attention: {}: expected q's device {}, got {}", name,
          device_name(q), device_name(t));
  require(t.size(0) == q.size(0) && t.size(3) == q.size(3),
          "interval_attention: {}: expected [{}, m, H_kv, {}] as q {} has it, got {}", name, q.size(0),
          q.size(3), sizes_of(q), sizes_of(t));
}

/// Fails, naming what is wrong. `contiguous` copies a tensor so that it is.
template <class Tensor, class Contiguous>
AttentionInputs<Tensor> checked(const AttentionArguments<Tensor>& a, const Contiguous& contiguous) {
  const Tensor& q = a.q;
  require(q.dim() == 4, "interval_attention: q: expected 4 dimensions [B, n, H, d_h], got {}", sizes_of(q));
  require(q.size(2) >= 1 && q.size(3) >= 1,
          "interval_attention: q: expected heads and a head width of at least 1, got {}", sizes_of(q));
  const ScalarType dtype = q.scalar_type();
  require(dtype == ScalarType::Float || dtype == ScalarType::Double || dtype == ScalarType::BFloat16,
          "interval_attention: q: expected dtype float64, float32 or bfloat16, got {}",
          torch::headeronly::toString(dtype));
  check_rows(q, a.k, "k");
  require(a.k.size(2) >= 1 && q.size(2) % a.k.size(2) == 0,
          "interval_attention: k: expected a number of heads that divides q's {}, got {}", q.size(2),
          a.k.size(2));
  if (a.v) {
    check_rows(q, *a.v, "v");
    require(same_sizes(*a.v, a.k), "interval_attention: v: expected k's shape {}, got {}", sizes_of(a.k),
            sizes_of(*a.v));
  }
  require(a.query_offset >= 0, "interval_attention: query_offset: expected at least 0, got {}",
          a.query_offset);
  require(a.key_offset >= 0, "interval_attention: key_offset: expected at least 0, got {}", a.key_offset);
  require(!a.scale || std::isfinite(*a.scale), "interval_attention: scale: expected a finite number, got {}",
          a.scale.value_or(0));
  if (a.document_start) {
    const Tensor& start = *a.document_start;
    require(start.scalar_type() == ScalarType::Int && start.dim() == 2 && start.size(0) == q.size(0) &&
                start.size(1) == q.size(1),
            "interval_attention: document_start: expected int32 [{}, {}], got {} {}", q.size(0), q.size(1),
            torch::headeronly::toString(start.scalar_type()), sizes_of(start));
    require(start.device() == q.device(),
            "interval_attention: document_start: expected q's device {}, got {}", device_name(q),
            device_name(start));
  }
  kernels::isa();  // chooses the vector kernels, or says why it can't
  const auto rows = [&](const Tensor& t) { return walkable(t) ? t : contiguous(t); };
  AttentionInputs<Tensor> in{.q = rows(q), .k = rows(a.k), .v = {}, .document_start = {}, .dropout = {}};
  in.pattern = Pattern::parse(a.pattern, a.pattern_parameters);
  if (a.v) in.v = rows(*a.v);
  in.query_offset = a.query_offset;
  in.key_offset = a.key_offset;
  if (a.document_start)
    in.document_start = a.document_start->is_contiguous() ? *a.document_start : contiguous(*a.document_start);
  in.scale = a.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  in.dropout = dropout_of(a.dropout, a.dropout_key, q.size(0), q.size(2));
  return in;
}

/// What the backward is given of the forward. The dtype of sums is float32, or float64 of float64 tensors.
template <class Tensor>
void check_backward(const Tensor& q, const Tensor& grad_out, const Tensor& out, const Tensor& log_sum_exp) {
  require(same_sizes(grad_out, q) && same_sizes(out, q) && grad_out.scalar_type() == q.scalar_type() &&
              out.scalar_type() == q.scalar_type(),
          "interval_attention_backward: expected grad_out and out of q's shape {} and dtype, got {} and {}",
          sizes_of(q), sizes_of(grad_out), sizes_of(out));
  const ScalarType sums = q.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  require(log_sum_exp.dim() == 3 && log_sum_exp.size(0) == q.size(0) && log_sum_exp.size(1) == q.size(2) &&
              log_sum_exp.size(2) == q.size(1) && log_sum_exp.scalar_type() == sums,
          "interval_attention_backward: log_sum_exp: expected [{}, {}, {}] in the computing dtype, got {}",
          q.size(0), q.size(2), q.size(1), sizes_of(log_sum_exp));
}

template <class Tensor>
kernels::ReadRows readable(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}
template <class Tensor>
kernels::WriteRows writable(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}

/// Refers to the tensors of `in`.
template <class Tensor>
kernels::IntervalAttention problem_of(const AttentionInputs<Tensor>& in) {
  kernels::IntervalAttention problem;
  problem.element =
      in.q.scalar_type() == ScalarType::BFloat16 ? kernels::Element::bfloat16 : kernels::Element::float32;
  problem.batch = in.q.size(0);
  problem.rows = in.q.size(1);
  problem.keys = in.k.size(1);
  problem.heads = in.q.size(2);
  problem.kv_heads = in.k.size(2);
  problem.width = in.q.size(3);
  problem.q = readable(in.q);
  problem.k = readable(in.k);
  if (in.v) problem.v = readable(*in.v);
  problem.pattern = in.pattern;
  problem.query_offset = in.query_offset;
  problem.key_offset = in.key_offset;
  if (in.document_start)
    problem.document_start = static_cast<const std::int32_t*>(in.document_start->data_ptr());
  problem.scale = static_cast<float>(in.scale);
  problem.dropout = in.dropout;
  return problem;
}

}  // namespace ecp::ops
