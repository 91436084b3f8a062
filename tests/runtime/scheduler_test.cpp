// Many texts at once: each says what it says alone, and ends, waits and fails without the others' harm.
#include "ecp/runtime/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ecp/base/error.h"
#include "forward_cases.h"
#include "reference_model.h"

namespace ecp {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

/// Remembers what it hears, and lets a test wait for the end.
class Heard : public TextListener {
 public:
  explicit Heard(std::int64_t choices = 1) : texts(static_cast<std::size_t>(choices)), missing_(choices) {}

  void on_prompt(const std::vector<Generated>& tokens) override { prompt = tokens; }
  void on_token(std::int64_t choice, const Generated& token) override {
    texts.at(static_cast<std::size_t>(choice)).push_back(token.token);
    ++tokens_;
    if (token.finish != Finish::none) end(1);
  }
  void on_empty() override { end(missing_); }
  void on_abort(Abort why, const std::string& message) override {
    aborted = why;
    reason = message;
    end(missing_);
  }

  void wait() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(over_.wait_for(lock, std::chrono::seconds(60), [&] { return missing_ == 0; }));
  }
  std::int64_t tokens() const { return tokens_; }

  std::vector<Generated> prompt;
  std::vector<std::vector<Token>> texts;
  std::optional<Abort> aborted;
  std::string reason;

 private:
  void end(std::int64_t texts_more) {
    const std::lock_guard lock(mutex_);
    missing_ -= texts_more;
    over_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable over_;
  std::int64_t missing_;
  std::atomic<std::int64_t> tokens_{0};
};

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest() {
    config_.vocab = 256;
    weights_ = random_weights(config_, 1);
    make_model();
  }

  void make_model() { model_ = Model::create(config_, weights_->tensors, byte_tokenizer(), 1); }

  TextRequest request(std::uint64_t seed, std::int64_t tokens, std::int64_t prompt = 5) const {
    TextRequest asked;
    asked.prompt = random_tokens(prompt, config_.vocab, seed);
    asked.sampling.temperature = 1;
    asked.sampling.seed = seed;
    asked.sampling.max_tokens = tokens;
    return asked;
  }

  std::vector<Token> alone(const TextRequest& asked, std::uint64_t choice = 0) const {
    Sampling sampling = asked.sampling;
    sampling.seed += choice;
    Session session = model_->session(sampling);
    session.prompt(asked.prompt);
    std::vector<Token> tokens;
    while (const auto token = session.next_token()) tokens.push_back(*token);
    return tokens;
  }

  ModelConfig config_ = small("ecp", "modern");
  std::unique_ptr<RandomWeights> weights_;
  std::shared_ptr<const Model> model_;
};

TEST_F(SchedulerTest, ManyTextsAreWhatTheyAreAlone) {
  Scheduler scheduler(model_, {.slots = 7, .queue = 100});
  std::vector<TextRequest> asked;
  std::vector<std::shared_ptr<Heard>> heard;
  for (std::uint64_t i = 0; i < 40; ++i) {
    asked.push_back(
        request(i, 1 + static_cast<std::int64_t>(i) % 23, 1 + static_cast<std::int64_t>(i * 37 % 600)));
    asked.back().choices = 1 + static_cast<std::int64_t>(i) % 3;
    heard.push_back(std::make_shared<Heard>(asked.back().choices));
    ASSERT_NE(scheduler.submit(asked.back(), heard.back()), nullptr);
  }
  for (std::size_t i = 0; i < asked.size(); ++i) {
    heard[i]->wait();
    EXPECT_FALSE(heard[i]->aborted.has_value()) << heard[i]->reason;
    for (std::uint64_t choice = 0; choice < heard[i]->texts.size(); ++choice) {
      EXPECT_EQ(heard[i]->texts[choice], alone(asked[i], choice)) << i << ", choice " << choice;
    }
  }
  while (!scheduler.idle()) std::this_thread::yield();
  const SchedulerState state = scheduler.state();
  EXPECT_EQ(state.active, 0);
  EXPECT_EQ(state.waiting, 0);
  EXPECT_EQ(state.cache_bytes, 0u);
  std::uint64_t prompts = 0;
  for (const TextRequest& one : asked) prompts += one.prompt.size();
  EXPECT_EQ(state.prompt_tokens, prompts);
}

TEST_F(SchedulerTest, PromptsAreScoredAndNothingMoreNeedBeWritten) {
  Scheduler scheduler(model_, {});
  TextRequest asked = request(1, 0, 700);
  asked.score_prompt = true;
  asked.sampling.logprobs = 1;
  const auto heard = std::make_shared<Heard>();
  scheduler.submit(asked, heard);
  heard->wait();
  Session session = model_->session(asked.sampling);
  const auto expected = session.score(asked.prompt);
  ASSERT_EQ(heard->prompt.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(heard->prompt[i].logprob, expected[i].logprob);
    EXPECT_EQ(heard->prompt[i].top.size(), i == 0 ? 0u : 1u);
  }
  EXPECT_EQ(heard->tokens(), 0);
}

TEST_F(SchedulerTest, WhoIsCancelledOrLateFreesItsSlot) {
  Scheduler scheduler(model_, {.slots = 1, .queue = 2});
  const auto endless = std::make_shared<Heard>(), late = std::make_shared<Heard>(),
             after = std::make_shared<Heard>();
  const auto ticket = scheduler.submit(request(1, -1), endless);
  while (endless->tokens() < 5) std::this_thread::yield();
  TextRequest short_lived = request(2, -1);
  short_lived.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  scheduler.submit(short_lived, late);
  scheduler.submit(request(3, 4), after);
  EXPECT_EQ(scheduler.submit(request(4, 4), std::make_shared<Heard>()), nullptr);  // the queue is full
  EXPECT_EQ(scheduler.state().waiting, 2);
  late->wait();  // while it still waits for the slot
  EXPECT_EQ(late->aborted, Abort::deadline);
  const auto gone = std::make_shared<Heard>();
  scheduler.submit(request(5, 4), gone)->cancel();
  while (scheduler.state().waiting > 1) std::this_thread::yield();
  EXPECT_EQ(endless->aborted, std::nullopt);
  EXPECT_EQ(scheduler.state().cancelled, 1u);
  ticket->cancel();
  after->wait();
  EXPECT_EQ(after->texts[0], alone(request(3, 4)));
  const std::int64_t told = endless->tokens();
  EXPECT_FALSE(endless->aborted.has_value());
  EXPECT_EQ(scheduler.state().cancelled, 2u);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(endless->tokens(), told);
}

TEST_F(SchedulerTest, StoppingEndsWhatIsLeft) {
  const auto working = std::make_shared<Heard>(), waiting = std::make_shared<Heard>();
  {
    Scheduler scheduler(model_, {.slots = 1, .queue = 5});
    scheduler.submit(request(1, -1), working);
    while (working->tokens() < 1) std::this_thread::yield();
    scheduler.submit(request(2, 5), waiting);
    scheduler.stop();
    EXPECT_EQ(scheduler.submit(request(3, 5), std::make_shared<Heard>()), nullptr);
    EXPECT_FALSE(scheduler.idle());
  }
  EXPECT_EQ(working->aborted, Abort::shutdown);
  EXPECT_EQ(waiting->aborted, Abort::shutdown);
}

TEST_F(SchedulerTest, AFailureIsToldAndHurtsNobodyElse) {
  auto& embedding = weights_->values["embedding.weight"];
  for (std::int64_t i = 0; i < config_.dim; ++i)
    embedding[static_cast<std::size_t>(7 * config_.dim + i)] = NAN;
  make_model();
  Scheduler scheduler(model_, {});
  const auto bad = std::make_shared<Heard>();
  TextRequest asked = request(1, 5);
  asked.prompt = {7};
  scheduler.submit(asked, bad);
  bad->wait();
  EXPECT_EQ(bad->aborted, Abort::failure);
  EXPECT_THAT(bad->reason, HasSubstr("not usable"));
}

TEST_F(SchedulerTest, RequestsThatCanNeverBeServedAreRefused) {
  EXPECT_THROW(Scheduler(model_, {.slots = 0}), Error);
  EXPECT_THROW(Scheduler(model_, {.queue = 1 << 20}), Error);
  Scheduler scheduler(model_, {.slots = 2});
  const auto heard = std::make_shared<Heard>();
  TextRequest asked = request(1, 5);
  asked.prompt.clear();
  EXPECT_THAT([&] { scheduler.submit(asked, heard); }, ThrowsMessage<Error>(HasSubstr("at least one token")));
  asked.prompt = {256};
  EXPECT_THAT([&] { scheduler.submit(asked, heard); }, ThrowsMessage<Error>(HasSubstr("got 256")));
  asked = request(1, 5);
  asked.choices = 3;
  EXPECT_THAT([&] { scheduler.submit(asked, heard); }, ThrowsMessage<Error>(HasSubstr("n: expected 1 to 2")));
  asked.choices = 1;
  asked.sampling.top_p = 0;
  EXPECT_THAT([&] { scheduler.submit(asked, heard); }, ThrowsMessage<Error>(HasSubstr("top_p")));
}

}  // namespace
}  // namespace ecp
