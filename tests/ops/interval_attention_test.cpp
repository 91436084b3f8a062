// The operator against the dense definition in float64: one table of cases, every dtype, forward and
// backward.
#include "ecp/ops/interval_attention.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <ostream>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/base/system.h"
#include "ecp/kernels/dropout.h"

namespace ecp::ops {
namespace {

struct Case {
  std::int64_t n, m, batch, heads, kv_heads, width;
  std::int64_t block;  // 0: full
  std::int64_t lookback = 1;
  std::int64_t query_offset = 0, key_offset = 0;
  bool shared = false;  // v absent
  bool documents = false;
  double scale = 0;  // 0: default
  double dropout = 0;
  std::optional<Pattern> other = {};  // in place of block and lookback

  [[nodiscard]] Pattern pattern() const {
    if (other) return *other;
    return block == 0 ? Pattern::full() : Pattern::ecp(block, lookback);
  }
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << "n " << c.n << " m " << c.m << " B " << c.batch << " H " << c.heads << "/" << c.kv_heads
               << " d_h " << c.width << " " << c.pattern().kind_name() << " "
               << at::IntArrayRef(c.pattern().parameters()) << " offsets " << c.query_offset << ", "
               << c.key_offset << " shared " << c.shared << " documents " << c.documents << " scale "
               << c.scale << " dropout " << c.dropout;
  }
};

/// Written out by hand: the corners; then drawn: their combinations.
std::vector<Case> cases() {
  std::vector<Case> all{
      {.n = 1, .m = 1, .batch = 1, .heads = 1, .kv_heads = 1, .width = 2, .block = 1},
      {.n = 1, .m = 1, .batch = 1, .heads = 1, .kv_heads = 1, .width = 1, .block = 0},
      {.n = 2, .m = 2, .batch = 2, .heads = 3, .kv_heads = 1, .width = 6, .block = 2},
      {.n = 17, .m = 17, .batch = 1, .heads = 2, .kv_heads = 2, .width = 8, .block = 1},
      {.n = 33, .m = 33, .batch = 2, .heads = 2, .kv_heads = 1, .width = 10, .block = 8},
      {.n = 64, .m = 64, .batch = 1, .heads = 2, .kv_heads = 2, .width = 16, .block = 16},
      {.n = 70, .m = 70, .batch = 1, .heads = 4, .kv_heads = 2, .width = 64, .block = 16, .lookback = 3},
      {.n = 70, .m = 70, .batch = 1, .heads = 1, .kv_heads = 1, .width = 5, .block = 7, .lookback = 2},
      {.n = 67, .m = 67, .batch = 2, .heads = 2, .kv_heads = 2, .width = 3, .block = 0},
      {.n = 40, .m = 40, .batch = 1, .heads = 2, .kv_heads = 2, .width = 4, .block = 100},
      // queries later than keys, keys that begin within the interval, rows that see nothing
      {.n = 5, .m = 37, .batch = 1, .heads = 2, .kv_heads = 2, .width = 8, .block = 8, .query_offset = 32},
      {.n = 9,
       .m = 20,
       .batch = 2,
       .heads = 2,
       .kv_heads = 1,
       .width = 8,
       .block = 8,
       .query_offset = 40,
       .key_offset = 29},
      {.n = 30,
       .m = 10,
       .batch = 1,
       .heads = 2,
       .kv_heads = 2,
       .width = 4,
       .block = 3,
       .query_offset = 0,
       .key_offset = 12},
      {.n = 30,
       .m = 10,
       .batch = 1,
       .heads = 2,
       .kv_heads = 2,
       .width = 4,
       .block = 0,
       .query_offset = 0,
       .key_offset = 12},
      {.n = 8,
       .m = 6,
       .batch = 1,
       .heads = 1,
       .kv_heads = 1,
       .width = 4,
       .block = 4,
       .query_offset = 1000000,
       .key_offset = 3},
      {.n = 31,
       .m = 31,
       .batch = 2,
       .heads = 2,
       .kv_heads = 2,
       .width = 8,
       .block = 8,
       .shared = true,
       .documents = true},
      {.n = 50,
       .m = 50,
       .batch = 2,
       .heads = 2,
       .kv_heads = 1,
       .width = 8,
       .block = 0,
       .documents = true,
       .scale = 0.3},
      {.n = 41,
       .m = 41,
       .batch = 2,
       .heads = 2,
       .kv_heads = 2,
       .width = 8,
       .block = 8,
       .scale = 2,
       .dropout = 0.25},
      // more keys than are held at a time
      {.n = 600, .m = 600, .batch = 1, .heads = 1, .kv_heads = 1, .width = 4, .block = 0, .dropout = 0.1},
      {.n = 150,
       .m = 1300,
       .batch = 1,
       .heads = 2,
       .kv_heads = 1,
       .width = 6,
       .block = 700,
       .query_offset = 1250,
       .shared = true},
  };
  const std::vector<std::int64_t> blocks{0, 1, 2, 3, 7, 8, 16};
  for (std::uint64_t i = 0; i < 60; ++i) {
    std::uint64_t draw = 0;
    const auto below = [&](std::uint64_t bound) {
      return static_cast<std::int64_t>(random_below(bound, 7, i, draw++));
    };
    Case c{.n = 1 + below(70),
           .m = 1,
           .batch = 1 + below(3),
           .heads = 1,
           .kv_heads = 1 + below(3),
           .width = 1,
           .block = 0};
    c.m = below(2) == 0 ? c.n : 1 + below(90);
    c.heads = c.kv_heads * (1 + below(2));
    c.width = below(4) == 0 ? 1 + below(64) : 2 * (1 + below(16));
    c.block = blocks[static_cast<std::size_t>(below(blocks.size()))];
    c.lookback = 1 + below(3);
    c.query_offset = below(2) == 0 ? 0 : below(60);
    c.key_offset = below(3) == 0 ? below(40) : 0;
    c.shared = below(3) == 0;
    c.documents = below(3) == 0;
    c.scale = below(4) == 0 ? 0.05 + 0.05 * static_cast<double>(below(9)) : 0;
    c.dropout = below(4) == 0 ? 0.3 : 0;
    all.push_back(c);
  }
  // Every other kind of pattern, alone and in the middle of other draws.
  const std::size_t drawn = all.size();
  for (const Pattern& pattern :
       {Pattern::ecp(16, 1, 8), Pattern::ecp(5, 2, 3), Pattern::ecp(64, 1, 32), Pattern::group(7, 3),
        Pattern::group(32, 16), Pattern::sliding(1), Pattern::sliding(9), Pattern::sliding(100),
        Pattern::all(), Pattern::segments(5), Pattern::segments(40), Pattern::neighbours(4, 2),
        Pattern::neighbours(16)}) {
    all.push_back({.n = 130,
                   .m = 130,
                   .batch = 1,
                   .heads = 2,
                   .kv_heads = 1,
                   .width = 8,
                   .block = 0,
                   .other = pattern});
    for (const std::size_t i : {std::size_t{0}, drawn / 2, drawn - 20, drawn - 7, drawn - 1}) {
      all.push_back(all[i]);
      all.back().other = pattern;
    }
  }
  return all;
}

at::Tensor random(at::IntArrayRef shape, std::uint64_t key) {
  at::Tensor t = at::empty(shape, at::kDouble);
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    t.mutable_data_ptr<double>()[i] = 4 * random_uniform(key, static_cast<std::uint64_t>(i)) - 2;
  }
  return t;
}

struct Problem {
  at::Tensor q, k, v, grad;  // float64; v undefined: k
  AttentionOptions options;
};

Problem problem_of(const Case& c) {
  Problem p{random({c.batch, c.n, c.heads, c.width}, 1),
            random({c.batch, c.m, c.kv_heads, c.width}, 2),
            {},
            random({c.batch, c.n, c.heads, c.width}, 4),
            {}};
  if (!c.shared) p.v = random({c.batch, c.m, c.kv_heads, c.width}, 3);
  p.options.query_offset = c.query_offset;
  p.options.key_offset = c.key_offset;
  if (c.scale != 0) p.options.scale = c.scale;
  p.options.dropout = {c.dropout, 11, 5, 2, {}};
  for (std::int64_t b = 0; b < c.batch; ++b) p.options.dropout.samples.push_back(100 + b);
  if (c.documents) {
    p.options.document_start = at::zeros({c.batch, c.n}, at::kInt);
    for (std::int64_t b = 0; b < c.batch; ++b) {
      std::int64_t start = 0;
      for (std::int64_t i = 0; i < c.n; ++i) {
        if (random_below(5, 9, static_cast<std::uint64_t>(b), static_cast<std::uint64_t>(i)) == 0)
          start = c.query_offset + i;
        p.options.document_start->mutable_data_ptr<std::int32_t>()[b * c.n + i] =
            static_cast<std::int32_t>(start);
      }
    }
  }
  return p;
}

/// The dense definition: every score, a mask, softmax, dropout's factors one by one.
AttentionResult dense(const Case& c, const AttentionOptions& options, const at::Tensor& q,
                      const at::Tensor& k, const at::Tensor& v) {
  at::Tensor seen = at::zeros({c.batch, 1, c.n, c.m}, at::kBool);
  at::Tensor factors = at::ones({c.batch, c.heads, c.n, c.m}, at::kDouble);
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t i = 0; i < c.n; ++i) {
      Interval interval = c.pattern().at(options.query_offset + i);
      if (options.document_start) {
        const auto start = options.document_start->const_data_ptr<std::int32_t>()[b * c.n + i];
        interval.lo = std::max<std::int64_t>(interval.lo, start);
      }
      for (std::int64_t j = 0; j < c.m; ++j) {
        const std::int64_t key = options.key_offset + j;
        seen.mutable_data_ptr<bool>()[(b * c.n + i) * c.m + j] = key >= interval.lo && key < interval.hi;
        if (c.dropout == 0) continue;
        for (std::int64_t h = 0; h < c.heads; ++h) {
          const auto stream = kernels::dropout_stream(11, 5, 100 + b, 2, kernels::DropoutSite::attention, h);
          const bool falls =
              kernels::drops(stream, options.query_offset + i, key, kernels::dropout_threshold(c.dropout));
          factors.mutable_data_ptr<double>()[((b * c.heads + h) * c.n + i) * c.m + j] =
              falls ? 0 : static_cast<double>(static_cast<float>(1 / kernels::kept_share(c.dropout)));
        }
      }
    }
  }
  const auto heads_first = [&](const at::Tensor& t) {
    return t.repeat_interleave(c.heads / t.size(2), 2).transpose(1, 2);
  };
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(c.width)));
  const at::Tensor scores = at::matmul(heads_first(q), heads_first(k).transpose(2, 3))
                                .mul(scale)
                                .masked_fill(seen.logical_not(), -INFINITY);
  const at::Tensor nothing = seen.logical_not().all(3, true);
  const at::Tensor p =
      at::softmax(scores.masked_fill(nothing, 0), -1).masked_fill(nothing, 0) * factors.to(q.scalar_type());
  return {at::matmul(p, heads_first(v)).transpose(1, 2), at::logsumexp(scores, -1)};
}

struct Outcome {
  at::Tensor out, log_sum_exp;
  std::vector<at::Tensor> grads;
};

/// Runs the operator, or the definition, in `dtype`.
Outcome outcome_of(const Case& c, const Problem& p, at::ScalarType dtype, bool definition) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.defined() ? t.to(dtype).detach().clone().set_requires_grad(true) : t;
  };
  const at::Tensor q = leaf(p.q), k = leaf(p.k), v = leaf(p.v);
  const AttentionResult result =
      definition
          ? dense(c, p.options, q, k, v.defined() ? v : k)
          : interval_attention(q, k, v.defined() ? std::optional(v) : std::nullopt, c.pattern(), p.options);
  EXPECT_TRUE(definition || !result.log_sum_exp.requires_grad());
  result.out.backward(p.grad.to(dtype));
  Outcome outcome{
      result.out.detach().to(at::kDouble), result.log_sum_exp.detach().to(at::kDouble), {q.grad(), k.grad()}};
  if (v.defined()) outcome.grads.push_back(v.grad());
  for (at::Tensor& grad : outcome.grads) grad = grad.to(at::kDouble);
  return outcome;
}

double error(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_EQ(got.sizes(), want.sizes());
  return (got - want).abs().max().item<double>();
}

/// −inf must meet −inf; the rest may differ.
double log_sum_error(const at::Tensor& got, const at::Tensor& want) {
  EXPECT_TRUE(at::equal(got.isinf(), want.isinf()));
  return error(got.masked_fill(want.isinf(), 0), want.masked_fill(want.isinf(), 0));
}

void expect_within(const Outcome& got, const Outcome& want, double tolerance) {
  EXPECT_LE(error(got.out, want.out), tolerance);
  EXPECT_LE(log_sum_error(got.log_sum_exp, want.log_sum_exp), tolerance);
  for (std::size_t i = 0; i < want.grads.size(); ++i) {
    EXPECT_LE(error(got.grads[i], want.grads[i]),
              tolerance * std::max(1.0, want.grads[i].abs().max().item<double>()))
        << "gradient " << i;
  }
}

TEST(IntervalAttention, AgreesWithTheDenseDefinitionInFloat64) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c);
    const Problem p = problem_of(c);
    expect_within(outcome_of(c, p, at::kDouble, false), outcome_of(c, p, at::kDouble, true), 1e-11);
  }
}

TEST(IntervalAttention, AgreesWithTheDenseDefinitionInFloat32) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c);
    const Problem p = problem_of(c);
    expect_within(outcome_of(c, p, at::kFloat, false), outcome_of(c, p, at::kDouble, true), 1e-5);
  }
}

TEST(IntervalAttention, IsNoLessExactThanPlainBfloat16) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c);
    Problem p = problem_of(c);
    for (at::Tensor* t : {&p.q, &p.k, &p.v, &p.grad}) {
      if (t->defined()) *t = t->to(at::kBFloat16).to(at::kDouble);  // the same numbers for all three
    }
    const Outcome want = outcome_of(c, p, at::kDouble, true), plain = outcome_of(c, p, at::kBFloat16, true);
    const Outcome got = outcome_of(c, p, at::kBFloat16, false);
    double largest = 1;  // gradients may cancel exactly; the roundings of what they are made of remain
    for (const at::Tensor& grad : want.grads) largest = std::max(largest, grad.abs().max().item<double>());
    const auto expect_near = [&](const at::Tensor& ours, const at::Tensor& plains, const at::Tensor& exact) {
      EXPECT_LE(error(ours, exact), 1.5 * error(plains, exact) + 0.01 * largest);
    };
    expect_near(got.out, plain.out, want.out);
    EXPECT_LE(log_sum_error(got.log_sum_exp, want.log_sum_exp), 1e-5);
    for (std::size_t i = 0; i < want.grads.size(); ++i) {
      expect_near(got.grads[i], plain.grads[i], want.grads[i]);
    }
  }
}

TEST(IntervalAttention, TakesTensorsHoweverTheyLie) {
  const Case c{.n = 37, .m = 37, .batch = 2, .heads = 4, .kv_heads = 2, .width = 6, .block = 8};
  Problem p = problem_of(c);
  const Outcome want = outcome_of(c, p, at::kDouble, false);
  // Heads first in memory; rows interleaved with others; an expanded gradient.
  at::Tensor q = p.q.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_();
  at::Tensor k = at::stack({p.k, p.k}, 3).select(3, 1).requires_grad_();
  at::Tensor v = at::stack({p.v, p.v}, -1).select(-1, 0).requires_grad_();
  ASSERT_FALSE(v.is_contiguous());
  const auto [out, sums] = interval_attention(q, k, v, c.pattern(), p.options);
  EXPECT_LE(error(out.detach(), want.out), 1e-14);
  out.sum().backward();  // the gradient is one number, expanded
  p.grad = at::ones_like(p.grad);
  EXPECT_LE(error(q.grad(), outcome_of(c, p, at::kDouble, true).grads[0]), 1e-11);
}

TEST(IntervalAttention, DoesNotDependOnThreadsChunksOrBatch) {
  const Case c{
      .n = 300, .m = 300, .batch = 3, .heads = 2, .kv_heads = 2, .width = 16, .block = 32, .dropout = 0.2};
  const Problem p = problem_of(c);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Outcome one = outcome_of(c, p, at::kFloat, false);
  at::set_num_threads(3);
  const Outcome three = outcome_of(c, p, at::kFloat, false);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.out, three.out));
  for (std::size_t i = 0; i < one.grads.size(); ++i) EXPECT_TRUE(at::equal(one.grads[i], three.grads[i]));

  // Queries in two calls, the second with only the keys that its rows see.
  const at::Tensor q = p.q.to(at::kFloat), k = p.k.to(at::kFloat), v = p.v.to(at::kFloat);
  const std::int64_t cut = 150, first_key = 96;
  AttentionOptions later = p.options;
  later.query_offset = cut;
  later.key_offset = first_key;
  const at::Tensor head = interval_attention(q.slice(1, 0, cut), k, v, c.pattern(), p.options).out;
  const at::Tensor tail =
      interval_attention(q.slice(1, cut), k.slice(1, first_key), v.slice(1, first_key), c.pattern(), later)
          .out;
  EXPECT_LE(error(at::cat({head, tail}, 1).to(at::kDouble), one.out), 1e-6);

  // The same samples in another order.
  AttentionOptions turned = p.options;
  std::reverse(turned.dropout.samples.begin(), turned.dropout.samples.end());
  const at::Tensor backwards = interval_attention(q.flip(0), k.flip(0), v.flip(0), c.pattern(), turned).out;
  EXPECT_TRUE(at::equal(backwards.flip(0).to(at::kDouble), one.out));
}

TEST(IntervalAttention, DropoutKeepsTheMeanAndFollowsItsKey) {
  const Case c{
      .n = 400, .m = 400, .batch = 2, .heads = 4, .kv_heads = 4, .width = 8, .block = 64, .dropout = 0.3};
  Problem p = problem_of(c);
  const at::Tensor q = p.q.to(at::kFloat), k = p.k.to(at::kFloat), v = at::ones({2, 400, 4, 8});
  const auto run = [&](const DropoutKey& key) {
    AttentionOptions options = p.options;
    options.dropout = key;
    return interval_attention(q, k, v, c.pattern(), options).out;
  };
  const DropoutKey key = p.options.dropout;
  const at::Tensor out = run(key);  // with v = 1, a row's sum of kept probabilities over what is kept
  EXPECT_NEAR(out.mean().item<double>(), 1, 0.02);
  EXPECT_GT(out.std().item<double>(), 0.01);
  EXPECT_TRUE(at::equal(out, run(key)));
  EXPECT_FALSE(at::equal(out.select(1, 5), out.select(1, 6)));
  for (const DropoutKey& other :
       {DropoutKey{0.3, 12, 5, 2, {100, 101}}, DropoutKey{0.3, 11, 6, 2, {100, 101}},
        DropoutKey{0.3, 11, 5, 3, {100, 101}}}) {
    EXPECT_GT((out - run(other)).abs().max().item<double>(), 0.01);
  }
  const at::Tensor one_changed = run({0.3, 11, 5, 2, {100, 7}});
  EXPECT_TRUE(at::equal(out[0], one_changed[0]));
  EXPECT_FALSE(at::equal(out[1], one_changed[1]));
}

TEST(Dropout, RowsByVectorsFollowTheDefinition) {
  std::vector<float> scratch(2000 + 256);
  for (const std::int64_t first : {0, 1, 15, 16, 127, 128, 1000}) {
    for (const std::int64_t count : {1, 2, 17, 128, 129, 1000}) {
      const std::int64_t row = (std::int64_t{1} << 33) + first;
      const float* factors = kernels::dropout_row(99, row, first, count, 20000, 1.5f, scratch.data());
      for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(factors[i], kernels::drops(99, row, first + i, 20000) ? 0.0f : 1.5f) << first << " + " << i;
      }
    }
  }
}

TEST(Dropout, FallsAsOftenAsAsked) {
  const std::uint32_t threshold = kernels::dropout_threshold(0.05);
  std::int64_t fallen = 0;
  for (std::int64_t row = 0; row < 100; ++row) {
    for (std::int64_t element = 0; element < 1000; ++element)
      fallen += kernels::drops(3, row, element, threshold) ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(fallen) / 1e5, 0.05, 0.003);
  EXPECT_NEAR(kernels::kept_share(0.05), 0.95, 1e-5);
}

TEST(IntervalAttention, ManyKeysFarApartStayFinite) {
  // Scores of ±10,000: probabilities of exactly 0 and 1, no denormals, no NaN.
  const Case c{
      .n = 90, .m = 90, .batch = 1, .heads = 1, .kv_heads = 1, .width = 4, .block = 16, .scale = 1e4};
  const Problem p = problem_of(c);
  const Outcome got = outcome_of(c, p, at::kFloat, false);
  for (const at::Tensor& t : {got.out, got.log_sum_exp, got.grads[0], got.grads[1], got.grads[2]}) {
    EXPECT_TRUE(t.isfinite().all().item<bool>());
  }
}

TEST(IntervalAttention, ShowsNotANumber) {
  const Case c{.n = 20, .m = 20, .batch = 1, .heads = 1, .kv_heads = 1, .width = 4, .block = 4};
  const Problem p = problem_of(c);
  at::Tensor q = p.q.to(at::kFloat);
  q[0][7] = NAN;
  const at::Tensor out =
      interval_attention(q, p.k.to(at::kFloat), p.v.to(at::kFloat), c.pattern(), p.options).out;
  EXPECT_TRUE(out[0][7].isnan().all().item<bool>());
  EXPECT_TRUE(out[0].slice(0, 0, 7).isfinite().all().item<bool>());
  EXPECT_TRUE(out[0].slice(0, 8).isfinite().all().item<bool>());
}

TEST(IntervalAttention, MemoryIsLinear) {
  // One n×n matrix of float32 would be 16 GB (ecp) and 1.8 GB (full).
  const auto run = [](std::int64_t n, const Pattern& pattern) {
    const auto leaf = [&] { return at::rand({1, n, 1, 8}).set_requires_grad(true); };
    const at::Tensor q = leaf(), k = leaf(), v = leaf();
    const std::uint64_t before = peak_memory();
    interval_attention(q, k, v, pattern).out.sum().backward();
    return peak_memory() - before;
  };
  EXPECT_LT(run(65536, Pattern::ecp(128)), 100u << 20);
  EXPECT_LT(run(21000, Pattern::full()), 100u << 20);
}

}  // namespace
}  // namespace ecp::ops
