// How the operator stands in LibTorch's dispatcher, and what it says to input that it cannot take.
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/ops/interval_attention.h"

namespace ecp::ops {
namespace {

using testing::HasSubstr;

TEST(Registration, EveryDispatchKeyHasAKernel) {
  for (const char* name : {"ecp::interval_attention", "ecp::interval_attention_backward"}) {
    const auto handle = c10::Dispatcher::singleton().findSchema({name, ""});
    ASSERT_TRUE(handle.has_value()) << name;
    EXPECT_TRUE(handle->hasKernelForDispatchKey(c10::DispatchKey::CPU)) << name;
    EXPECT_TRUE(handle->hasKernelForDispatchKey(c10::DispatchKey::Meta)) << name;
    EXPECT_TRUE(handle->hasComputedKernelForDispatchKey(c10::DispatchKey::AutogradCPU)) << name;
  }
  const auto forward = c10::Dispatcher::singleton().findSchemaOrThrow("ecp::interval_attention", "");
  EXPECT_TRUE(forward.hasKernelForDispatchKey(c10::DispatchKey::AutocastCPU));
}

TEST(Registration, TheSchemaIsTheDocumentedOne) {
  const auto handle = c10::Dispatcher::singleton().findSchemaOrThrow("ecp::interval_attention", "");
  EXPECT_EQ(
      c10::toString(handle.schema()),
      "ecp::interval_attention(Tensor q, Tensor k, Tensor? v, str pattern, int[] pattern_parameters, int "
      "query_offset=0, int key_offset=0, Tensor? document_start=None, float? scale=None, float dropout=0., "
      "int[] dropout_key=[]) -> (Tensor out, Tensor log_sum_exp)");
}

TEST(Registration, MetaGivesShapesAndDtypes) {
  const auto meta = [](at::ScalarType dtype) {
    const auto options = at::TensorOptions().dtype(dtype).device(at::kMeta);
    return interval_attention(at::empty({2, 7, 6, 4}, options), at::empty({2, 9, 3, 4}, options),
                              at::empty({2, 9, 3, 4}, options), Pattern::ecp(4));
  };
  const auto [out, sums] = meta(at::kBFloat16);
  EXPECT_TRUE(out.is_meta() && sums.is_meta());
  EXPECT_EQ(out.sizes(), at::IntArrayRef({2, 7, 6, 4}));
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  EXPECT_EQ(sums.sizes(), at::IntArrayRef({2, 6, 7}));
  EXPECT_EQ(sums.scalar_type(), at::kFloat);
  EXPECT_EQ(meta(at::kDouble).log_sum_exp.scalar_type(), at::kDouble);
}

TEST(Registration, AutocastCastsAndGradientsComeBackInFloat32) {
  const at::Tensor q = at::rand({1, 9, 2, 4}).set_requires_grad(true),
                   k = at::rand({1, 9, 2, 4}).set_requires_grad(true);
  const at::Tensor plain = interval_attention(q, k, std::nullopt, Pattern::ecp(4)).out;
  EXPECT_EQ(plain.scalar_type(), at::kFloat);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor out = interval_attention(q, k, std::nullopt, Pattern::ecp(4)).out;
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  EXPECT_LT((out.to(at::kFloat) - plain).abs().max().item<double>(), 0.02);
  out.sum().backward();
  EXPECT_EQ(q.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(k.grad().scalar_type(), at::kFloat);
}

TEST(Registration, OnlyWhatNeedsAGradientGetsOne) {
  const at::Tensor q = at::rand({1, 9, 2, 4}), k = at::rand({1, 9, 2, 4}).set_requires_grad(true);
  EXPECT_FALSE(interval_attention(q, k.detach(), std::nullopt, Pattern::full()).out.requires_grad());
  interval_attention(q, k, std::nullopt, Pattern::full()).out.sum().backward();
  EXPECT_FALSE(q.grad().defined());
  EXPECT_TRUE(k.grad().defined());
}

TEST(Errors, EachIsOneLineThatNamesTheInput) {
  const auto call =
      [](const at::Tensor& q, const at::Tensor& k, const std::optional<at::Tensor>& v = std::nullopt,
         const AttentionOptions& options = {}) { interval_attention(q, k, v, Pattern::ecp(4), options); };
  const at::Tensor q = at::rand({2, 5, 4, 8}), k = at::rand({2, 5, 2, 8});
  const auto with = [](const std::function<void(AttentionOptions&)>& change) {
    AttentionOptions options;
    change(options);
    return options;
  };
  struct Bad {
    std::function<void()> act;
    std::string says;
  };
  const std::vector<Bad> table{
      {[&] {
         call(at::rand({5, 4, 8}), k);
       },
       "q: expected 4 dimensions [B, n, H, d_h], got [5, 4, 8]"},
      {[&] {
         call(q, at::rand({2, 5, 8}));
       },
       "k: expected 4 dimensions [B, m, H_kv, d_h], got [2, 5, 8]"},
      {[&] {
         call(q, at::rand({2, 5, 3, 8}));
       },
       "k: expected a number of heads that divides q's 4, got 3"},
      {[&] {
         call(q, at::rand({2, 5, 2, 6}));
       },
       "k: expected [2, m, H_kv, 8]"},
      {[&] {
         call(q, at::rand({1, 5, 2, 8}));
       },
       "k: expected [2, m, H_kv, 8]"},
      {[&] { call(q, k.to(at::kDouble)); }, "k: expected q's dtype Float, got Double"},
      {[&] { call(q.to(at::kHalf), k.to(at::kHalf)); },
       "expected dtype float64, float32 or bfloat16, got Half"},
      {[&] { call(q.to(at::kInt), k.to(at::kInt)); }, "expected dtype float64, float32 or bfloat16, got Int"},
      {[&] {
         call(q, k, at::rand({2, 6, 2, 8}));
       },
       "v: expected k's shape [2, 5, 2, 8], got [2, 6, 2, 8]"},
      {[&] {
         call(at::rand({2, 5, 4, 0}), at::rand({2, 5, 2, 0}));
       },
       "expected heads and a head width of at least 1"},
      {[&] { call(q, k, {}, with([](auto& o) { o.query_offset = -1; })); },
       "query_offset: expected at least 0, got -1"},
      {[&] { call(q, k, {}, with([](auto& o) { o.key_offset = -2; })); },
       "key_offset: expected at least 0, got -2"},
      {[&] { call(q, k, {}, with([](auto& o) { o.scale = INFINITY; })); }, "scale: expected a finite number"},
      {[&] { call(q, k, {}, with([](auto& o) {
                    o.document_start = at::zeros({2, 4}, at::kInt);
                  })); },
       "document_start: expected int32 [2, 5], got Int [2, 4]"},
      {[&] { call(q, k, {}, with([](auto& o) {
                    o.document_start = at::zeros({2, 5}, at::kLong);
                  })); },
       "document_start: expected int32 [2, 5], got Long"},
      {[&] { call(q, k, {}, with([](auto& o) {
                    o.dropout = {1.0, 0, 0, 0, {1, 2}};
                  })); },
       "dropout: expected a value in [0, 1), got 1"},
      {[&] { call(q, k, {}, with([](auto& o) {
                    o.dropout = {0.5, 0, 0, 0, {1}};
                  })); },
       "dropout_key: expected seed, step, layer and the global index of each of 2 samples, got 4 integers"},
  };
  for (const Bad& bad : table) {
    try {
      bad.act();
      ADD_FAILURE() << "expected an error that says: " << bad.says;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(bad.says));
      EXPECT_THAT(error.what(), HasSubstr("interval_attention: "));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(Errors, PatternsAreSpelledAsInFiles) {
  const at::Tensor q = at::rand({1, 5, 2, 4});
  const auto call = [&](const std::string& pattern, const std::vector<std::int64_t>& parameters) {
    using Call = std::tuple<at::Tensor, at::Tensor>(
        const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
        at::IntArrayRef, std::int64_t, std::int64_t, const std::optional<at::Tensor>&, std::optional<double>,
        double, at::IntArrayRef);
    return c10::Dispatcher::singleton()
        .findSchemaOrThrow("ecp::interval_attention", "")
        .typed<Call>()
        .call(q, q, std::nullopt, pattern, parameters, 0, 0, std::nullopt, std::nullopt, 0, {});
  };
  EXPECT_NO_THROW(call("full", {}));
  EXPECT_NO_THROW(call("ecp", {2, 1}));
  EXPECT_NO_THROW(call("sliding", {3}));
  EXPECT_THROW(call("slide", {3}), Error);
  EXPECT_THROW(call("ecp", {2}), Error);
  EXPECT_THROW(call("ecp", {0, 1}), Error);
  EXPECT_THROW(call("full", {1}), Error);
}

TEST(Shapes, NoRowsIsNoWork) {
  const auto [out, sums] =
      interval_attention(at::rand({2, 0, 2, 4}), at::rand({2, 3, 2, 4}), std::nullopt, Pattern::full());
  EXPECT_EQ(out.sizes(), at::IntArrayRef({2, 0, 2, 4}));
  const auto [zeros, none] =
      interval_attention(at::rand({1, 3, 2, 4}), at::rand({1, 0, 2, 4}), std::nullopt, Pattern::full());
  EXPECT_TRUE(at::equal(zeros, at::zeros({1, 3, 2, 4})));
  EXPECT_TRUE(none.isneginf().all().item<bool>());
}

}  // namespace
}  // namespace ecp::ops
