// The fused kernels against the definition, written out in float64, on every instruction set. (The operator's
// test has more cases, and those who take LibTorch.)
#include "ecp/kernels/interval_attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "ecp/kernels/dropout.h"
#include "kernel_test.h"

namespace ecp::kernels {
namespace {

struct Case {
  Pattern pattern;
  std::int64_t rows, keys, heads, kv_heads, width;
  std::int64_t query_offset = 0, key_offset = 0;
  bool shared = false;
  float scale = 0.2f;
  double dropout = 0;

  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    out << c.pattern.kind_name();
    for (const std::int64_t parameter : c.pattern.parameters()) out << ' ' << parameter;
    return out << ", rows " << c.rows << " keys " << c.keys << " heads " << c.heads << "/" << c.kv_heads
               << " width " << c.width << " offsets " << c.query_offset << ", " << c.key_offset << " shared "
               << c.shared << " scale " << c.scale << " dropout " << c.dropout;
  }
};

constexpr std::int64_t batch = 2;

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<Pattern> patterns = {
      Pattern::full(),         Pattern::all(),       Pattern::ecp(128),       Pattern::ecp(16, 2),
      Pattern::ecp(64, 1, 32), Pattern::ecp(7, 3),   Pattern::ecp(300),       Pattern::group(100, 50),
      Pattern::sliding(1),     Pattern::sliding(50), Pattern::neighbours(16), Pattern::segments(40)};
  for (const Pattern& pattern : patterns) {
    all.push_back({.pattern = pattern, .rows = 1, .keys = 1, .heads = 1, .kv_heads = 1, .width = 8});
    all.push_back({.pattern = pattern, .rows = 333, .keys = 333, .heads = 2, .kv_heads = 1, .width = 24});
    all.push_back({.pattern = pattern,
                   .rows = 70,
                   .keys = 90,
                   .heads = 2,
                   .kv_heads = 2,
                   .width = 5,
                   .query_offset = 41,
                   .key_offset = 20,
                   .shared = true,
                   .scale = -0.3f});
    all.push_back({.pattern = pattern,
                   .rows = 130,
                   .keys = 130,
                   .heads = 2,
                   .kv_heads = 1,
                   .width = 64,
                   .scale = 0.1f,
                   .dropout = 0.3});
  }
  // More keys than a chunk of any kernel has, and tiles of queries than are kept.
  all.push_back({.pattern = Pattern::full(),
                 .rows = 1300,
                 .keys = 1300,
                 .heads = 2,
                 .kv_heads = 1,
                 .width = 16,
                 .dropout = 0.1});
  all.push_back(
      {.pattern = Pattern::sliding(1100), .rows = 1700, .keys = 1700, .heads = 1, .kv_heads = 1, .width = 8});
  // Kernels do other work between the steps along a width where those are many.
  for (const std::int64_t width : {96, 128, 160, 264, 520}) {
    all.push_back(
        {.pattern = Pattern::ecp(64), .rows = 200, .keys = 200, .heads = 1, .kv_heads = 1, .width = width});
  }
  return all;
}

/// Random values of [batch, rows, heads, width], as floats and as bfloat16.
struct Values {
  std::vector<float> floats;
  std::vector<std::uint16_t> halves;
  std::int64_t rows, heads, width;

  Values(std::int64_t of_rows, std::int64_t of_heads, std::int64_t of_width, std::uint64_t seed, bool half)
      : floats(random_values(batch * of_rows * of_heads * of_width, seed)),
        halves(floats.size()),
        rows(of_rows),
        heads(of_heads),
        width(of_width) {
    for (std::size_t i = 0; i < floats.size(); ++i) {
      halves[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(2 * floats[i]) >> 16);
      floats[i] = half ? value(halves[i]) : 2 * floats[i];
    }
  }
  static float value(std::uint16_t half) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
  }
  void results_to_floats() {
    for (std::size_t i = 0; i < floats.size(); ++i) floats[i] = value(halves[i]);
  }
  template <class Rows>
  Rows as(bool half) {
    return {half ? static_cast<void*>(halves.data()) : floats.data(), rows * heads * width, heads * width,
            width};
  }
  float* at(std::int64_t sample, std::int64_t row, std::int64_t head) {
    return floats.data() + ((sample * rows + row) * heads + head) * width;
  }
};

struct Problem {
  const Case& c;
  bool half;
  Values q, k, v, grad_out;

  Problem(const Case& of, bool as_half)
      : c(of),
        half(as_half),
        q(c.rows, c.heads, c.width, 1, half),
        k(c.keys, c.kv_heads, c.width, 2, half),
        v(c.keys, c.kv_heads, c.width, c.shared ? 2 : 3, half),
        grad_out(c.rows, c.heads, c.width, 4, half) {}

  IntervalAttention parameters() {
    IntervalAttention p;
    p.element = half ? Element::bfloat16 : Element::float32;
    p.batch = batch;
    p.rows = c.rows;
    p.keys = c.keys;
    p.heads = c.heads;
    p.kv_heads = c.kv_heads;
    p.width = c.width;
    p.q = q.as<ReadRows>(half);
    p.k = k.as<ReadRows>(half);
    if (!c.shared) p.v = v.as<ReadRows>(half);
    p.pattern = c.pattern;
    p.query_offset = c.query_offset;
    p.key_offset = c.key_offset;
    p.scale = c.scale;
    p.dropout.threshold = dropout_threshold(c.dropout);
    p.dropout.kept = static_cast<float>(1 / kept_share(c.dropout));
    for (std::int64_t head = 0; head < batch * c.heads; ++head) {
      p.dropout.streams.push_back(static_cast<std::uint64_t>(1000 + head));
    }
    return p;
  }
};

struct Outcome {
  std::vector<double> out, log_sum_exp, grad_q, grad_k, grad_v;
};

Outcome computed(Problem& problem) {
  const Case& c = problem.c;
  const bool half = problem.half;
  Values out(c.rows, c.heads, c.width, 5, half), grad_q(c.rows, c.heads, c.width, 6, half);
  Values grad_k(c.keys, c.kv_heads, c.width, 7, half), grad_v(c.keys, c.kv_heads, c.width, 8, half);
  std::vector<float> sums(static_cast<std::size_t>(batch * c.heads * c.rows));
  const IntervalAttention p = problem.parameters();
  // Tasks in two portions, the later first: they don't depend on each other.
  const AttentionForward results{out.as<WriteRows>(half), sums.data()};
  forward(p, results, forward_tasks(p) / 2, forward_tasks(p));
  forward(p, results, 0, forward_tasks(p) / 2);
  AttentionBackward gradients{problem.grad_out.as<ReadRows>(half), out.as<ReadRows>(half),     sums.data(),
                              grad_q.as<WriteRows>(half),          grad_k.as<WriteRows>(half), {}};
  if (!c.shared) gradients.grad_v = grad_v.as<WriteRows>(half);
  backward(p, gradients, backward_tasks(p) / 2, backward_tasks(p));
  backward(p, gradients, 0, backward_tasks(p) / 2);
  const auto doubles = [&](Values& x) {
    if (half) x.results_to_floats();
    return std::vector<double>(x.floats.begin(), x.floats.end());
  };
  Outcome outcome{
      doubles(out), {sums.begin(), sums.end()}, doubles(grad_q), doubles(grad_k), doubles(grad_v)};
  if (c.shared) outcome.grad_v.assign(outcome.grad_v.size(), 0);
  return outcome;
}

/// The definition, element by element.
Outcome defined(Problem& problem) {
  const Case& c = problem.c;
  Outcome want;
  want.out.resize(problem.q.floats.size());
  want.grad_q.resize(problem.q.floats.size());
  want.grad_k.resize(problem.k.floats.size());
  want.grad_v.resize(problem.k.floats.size());
  const IntervalAttention p = problem.parameters();
  const std::int64_t width = c.width;
  for (std::int64_t task = 0; task < batch * c.heads * c.rows; ++task) {
    const std::int64_t row = task % c.rows, head = task / c.rows % c.heads, sample = task / c.rows / c.heads;
    const std::int64_t kv_head = head / (c.heads / c.kv_heads);
    const auto seen = c.pattern.at(c.query_offset + row, c.key_offset + c.keys);
    const std::int64_t lo = std::max<std::int64_t>(seen.lo - c.key_offset, 0), hi = seen.hi - c.key_offset;
    const auto offset = [&](const Values& x, std::int64_t at, std::int64_t of_head) {
      return static_cast<std::size_t>(((sample * x.rows + at) * x.heads + of_head) * width);
    };
    const auto dot = [&](const float* a, const float* b) {
      double sum = 0;
      for (std::int64_t i = 0; i < width; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      return sum;
    };
    const float* q = problem.q.at(sample, row, head);
    const float* grad = problem.grad_out.at(sample, row, head);
    std::vector<double> scores;
    double sum = 0;
    for (std::int64_t key = lo; key < hi; ++key) {
      scores.push_back(static_cast<double>(c.scale) * dot(q, problem.k.at(sample, key, kv_head)));
      sum += std::exp(scores.back());
    }
    want.log_sum_exp.push_back(std::log(sum));
    const auto factor = [&](std::int64_t key) {
      if (p.dropout.threshold == 0) return 1.0;
      const auto stream = p.dropout.streams[static_cast<std::size_t>(sample * c.heads + head)];
      const bool falls = drops(stream, c.query_offset + row, c.key_offset + key, p.dropout.threshold);
      return falls ? 0.0 : static_cast<double>(p.dropout.kept);
    };
    double delta = 0;  // Σ p · dp
    for (std::int64_t key = lo; key < hi; ++key) {
      const double probability = std::exp(scores[static_cast<std::size_t>(key - lo)]) / sum * factor(key);
      const float* v = problem.v.at(sample, key, kv_head);
      for (std::int64_t i = 0; i < width; ++i) {
        want.out[offset(problem.q, row, head) + static_cast<std::size_t>(i)] +=
            probability * static_cast<double>(v[i]);
      }
      delta += probability * dot(grad, v);
    }
    for (std::int64_t key = lo; key < hi; ++key) {
      const double whole = std::exp(scores[static_cast<std::size_t>(key - lo)]) / sum;
      const double of_score = whole * (dot(grad, problem.v.at(sample, key, kv_head)) * factor(key) - delta);
      const std::size_t at_q = offset(problem.q, row, head), at_k = offset(problem.k, key, kv_head);
      for (std::size_t i = 0; i < static_cast<std::size_t>(width); ++i) {
        const double scaled = of_score * static_cast<double>(c.scale);
        want.grad_q[at_q + i] += scaled * static_cast<double>(problem.k.floats[at_k + i]);
        want.grad_k[at_k + i] += scaled * static_cast<double>(q[i]);
        want.grad_v[at_k + i] += whole * factor(key) * static_cast<double>(grad[i]);
      }
    }
  }
  if (c.shared) {
    for (std::size_t i = 0; i < want.grad_k.size(); ++i) want.grad_k[i] += std::exchange(want.grad_v[i], 0);
  }
  return want;
}

double largest(const std::vector<double>& x) {
  double most = 0;
  for (const double value : x) most = std::max(most, std::abs(value));
  return most;
}

/// The largest difference, in units of the largest wanted value or of 1.
double difference(const std::vector<double>& got, const std::vector<double>& want) {
  EXPECT_EQ(got.size(), want.size());
  std::vector<double> differences;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const bool both_infinite = std::isinf(want[i]) && got[i] == want[i];
    differences.push_back(both_infinite ? 0 : got[i] - want[i]);
    EXPECT_FALSE(std::isnan(differences.back()));
  }
  double scale = 1;
  for (const double value : want) {
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  }
  return largest(differences) / scale;
}

struct Tolerance {
  double results, log_sum_exp, grad_q;
};

/// Returns what is defined.
Outcome expect_near(Problem& problem, const Tolerance& tolerance) {
  SCOPED_TRACE(testing::Message() << problem.c);
  Outcome want = defined(problem);
  const Outcome got = computed(problem);
  EXPECT_LE(difference(got.out, want.out), tolerance.results);
  EXPECT_LE(difference(got.log_sum_exp, want.log_sum_exp), tolerance.log_sum_exp);
  EXPECT_LE(difference(got.grad_q, want.grad_q), tolerance.grad_q);
  EXPECT_LE(difference(got.grad_k, want.grad_k), tolerance.results);
  EXPECT_LE(difference(got.grad_v, want.grad_v), tolerance.results);
  return want;
}

void expect_near(bool half, double tolerance) {
  for (const Case& c : cases()) {
    Problem problem(c, half);
    expect_near(problem, {tolerance, 2e-5, tolerance});
  }
}

using FusedAttention = Kernel;

TEST_P(FusedAttention, IsWhatTheDefinitionSaysInFloat32) { expect_near(false, 2e-5); }

// Gradients that cancel exactly leave the rounding of what they are made of, `out` among it.
TEST_P(FusedAttention, IsWhatTheDefinitionSaysInBfloat16) { expect_near(true, 3e-2); }

// Where the first score that a row sees is no measure of its highest.
TEST_P(FusedAttention, HoldsScoresThatAreFarApart) {
  for (const bool half : {false, true}) {
    for (const Pattern& pattern : {Pattern::full(), Pattern::ecp(64)}) {
      const Case c{
          .pattern = pattern, .rows = 1200, .keys = 1200, .heads = 1, .kv_heads = 1, .width = 64, .scale = 8};
      Problem problem(c, half);
      const double tolerance = half ? 3e-2 : 3e-4;  // of scores of some hundreds a float keeps so much
      const Outcome want = expect_near(problem, {tolerance, 1e-6, tolerance});
      EXPECT_GT(largest(want.log_sum_exp), 200);
    }
  }
}

// What fills a tile of keys up has scores of 0, which would overflow beside these.
TEST_P(FusedAttention, IsNotDisturbedByWhatFillsTilesUp) {
  const Case c{.pattern = Pattern::ecp(100),
               .rows = 350,
               .keys = 350,
               .heads = 1,
               .kv_heads = 1,
               .width = 64,
               .scale = 94.0f / 256};
  Problem problem(c, true);
  for (const auto& [values, value] : {std::pair{&problem.q, 2.0f}, {&problem.k, -2.0f}}) {
    std::fill(values->floats.begin(), values->floats.end(), value);
    std::fill(values->halves.begin(), values->halves.end(),
              static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  }
  // The gradient of q cancels: what is left is rounding.
  const Outcome want = expect_near(problem, {3e-2, 1e-6, 0.3});
  EXPECT_NEAR(want.log_sum_exp.back() / std::log(2), -128, 1);
}

TEST_P(FusedAttention, WritesZerosWhereNothingIsSeen) {
  const Case c{.pattern = Pattern::ecp(8),
               .rows = 100,
               .keys = 10,
               .heads = 1,
               .kv_heads = 1,
               .width = 8,
               .query_offset = 0,
               .key_offset = 40};
  Problem problem(c, false);
  const Outcome got = computed(problem);
  for (std::size_t row : {std::size_t{0}, std::size_t{39}, std::size_t{99}}) {
    EXPECT_EQ(got.log_sum_exp[row], -std::numeric_limits<double>::infinity());
    EXPECT_EQ(got.out[row * 8], 0);
    EXPECT_EQ(got.grad_q[row * 8], 0);
  }
  EXPECT_NE(got.out[45 * 8], 0);
}

INSTANTIATE_TEST_SUITE_P(Isas, FusedAttention, testing::ValuesIn(all_isas), isa_name);

}  // namespace
}  // namespace ecp::kernels
