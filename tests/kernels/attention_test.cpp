#include <algorithm>
#include <tuple>

#include "ecp/kernels/attention.h"
#include "kernel_test.h"

namespace ecp::kernels {
namespace {

using IntervalAttention = Kernel;
ECP_FOR_EACH_ISA(IntervalAttention);

constexpr float guard = 12345.0f;

struct Case {
  std::int64_t rows, first_keys, keys, head_dim;
  double magnitude;  // of the scores
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::int64_t rows : {1, 2, 4, 5, 9}) {
    for (const std::int64_t first : {0, 1, 3, 17}) {
      for (const std::int64_t more : {0, 1, 6, 40}) {
        for (const std::int64_t head_dim : {2, 6, 16, 30, 64, 100})
          all.push_back({rows, first, rows + more, head_dim, 1});
      }
    }
  }
  all.push_back({4, 0, 64, 32, 300});  // nearly one-hot; most exponentials underflow
  all.push_back({1, 5, 64, 32, 1e4});
  return all;
}

/// out[row] = softmax over the keys it sees, in float64. Queries and results differ by span.
std::vector<double> reference(const Case& c, const std::vector<float> (&q)[2],
                              const std::vector<float> (&k)[2], const std::vector<float> (&v)[2], float scale,
                              int into) {
  std::vector<double> out(static_cast<std::size_t>(c.rows * c.head_dim));
  const std::int64_t keys[2] = {c.first_keys, c.keys};
  for (std::int64_t row = 0; row < c.rows; ++row) {
    std::vector<std::pair<double, const float*>> seen[2];
    double highest = -1e300, sum = 0;
    for (int s = 0; s < 2; ++s) {
      const std::int64_t visible = s == 1 ? keys[s] - (c.rows - 1 - row) : keys[s];
      for (std::int64_t j = 0; j < visible; ++j) {
        double score = 0;
        for (std::int64_t i = 0; i < c.head_dim; ++i) {
          score += static_cast<double>(q[s][static_cast<std::size_t>(row * c.head_dim + i)]) *
                   k[s][static_cast<std::size_t>(j * c.head_dim + i)];
        }
        seen[s].emplace_back(score * scale, v[s].data() + j * c.head_dim);
        highest = std::max(highest, score * scale);
      }
    }
    for (auto& span : seen) {
      for (auto& [score, value] : span) sum += score = std::exp(score - highest);
    }
    for (int s = 0; s < 2; ++s) {
      if (into >= 0 && into != s) continue;
      for (const auto& [weight, value] : seen[s]) {
        for (std::int64_t i = 0; i < c.head_dim; ++i) {
          out[static_cast<std::size_t>(row * c.head_dim + i)] += weight / sum * value[i];
        }
      }
    }
  }
  return out;
}

TEST_P(IntervalAttention, EqualsTheSoftmaxInDouble) {
  for (const Case& c : cases()) {
    const std::int64_t keys[2] = {c.first_keys, c.keys};
    std::vector<float> q[2], k[2], v[2];
    for (int s = 0; s < 2; ++s) {
      q[s] = random_values(c.rows * c.head_dim, 20 + s);
      k[s] = random_values(keys[s] * c.head_dim, 30 + s);
      v[s] = random_values(keys[s] * c.head_dim, 40 + s);
    }
    const auto scale = static_cast<float>(c.magnitude / std::sqrt(static_cast<double>(c.head_dim)));
    std::vector<float> out(static_cast<std::size_t>(c.rows * c.head_dim) + 1, guard), apart = out;
    std::vector<float> scratch(static_cast<std::size_t>(attention_scratch(c.first_keys + c.keys)) + 1, guard);
    AttentionSpan spans[2];
    for (int s = 0; s < 2; ++s)
      spans[s] = {q[s].data(), k[s].data(), v[s].data(), out.data(), keys[s], s == 1};
    Attention problem{spans,      2,          c.rows, c.head_dim,    c.head_dim,
                      c.head_dim, c.head_dim, scale,  scratch.data()};
    if (c.first_keys == 0) {  // one span alone
      spans[1].accumulate = false;
      problem.spans = spans + 1;
      problem.span_count = 1;
    }
    attention(problem);
    const double tolerance = 2e-6 * (1 + c.magnitude / 10);
    const auto expected = reference(c, q, k, v, scale, -1);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(out[i], expected[i], tolerance)
          << "rows " << c.rows << " keys " << c.first_keys << "+" << c.keys << " head width " << c.head_dim;
    }
    EXPECT_EQ(out.back(), guard);
    EXPECT_EQ(scratch.back(), guard);
    if (c.first_keys == 0) continue;
    // The second span's part of the result, kept apart.
    spans[1].out = apart.data();
    spans[1].accumulate = false;
    attention(problem);
    const auto part = reference(c, q, k, v, scale, 1);
    for (std::size_t i = 0; i < part.size(); ++i) ASSERT_NEAR(apart[i], part[i], tolerance);
  }
}

TEST_P(IntervalAttention, NothingOfALaterRowReachesAnEarlierOne) {
  const std::int64_t rows = 6, keys = 11, width = 20;
  const auto q = random_values(rows * width, 50);
  auto k = random_values(keys * width, 51), v = random_values(keys * width, 52);
  std::vector<float> scratch(static_cast<std::size_t>(attention_scratch(keys)));
  const auto run = [&] {
    std::vector<float> out(static_cast<std::size_t>(rows * width));
    const AttentionSpan span{q.data(), k.data(), v.data(), out.data(), keys, false};
    attention({&span, 1, rows, width, width, width, width, 0.3f, scratch.data()});
    return out;
  };
  const auto before = run();
  for (std::int64_t i = (keys - 1) * width; i < keys * width; ++i)
    k[static_cast<std::size_t>(i)] = v[static_cast<std::size_t>(i)] = 1e3f;
  const auto after = run();
  EXPECT_TRUE(std::equal(before.begin(), before.end() - width, after.begin()));
  EXPECT_FALSE(std::equal(before.end() - width, before.end(), after.end() - width));
}

}  // namespace
}  // namespace ecp::kernels
