// The answer to a completion request while its texts are made: OpenAI's JSON, whole or as server-sent events.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ecp/runtime/scheduler.h"
#include "ecp/serve/completion_request.h"
#include "ecp/serve/http.h"
#include "ecp/serve/metrics.h"

namespace ecp::serve {

/// {"error": {"message", "type", "param", "code"}}
HttpResponse error_response(int status, const std::string& message, const std::string& code = "",
                            const std::string& field = "");

/// A token's bytes as JSON can have them: as they are, or "bytes:\xe2\x82" where they aren't whole
/// characters.
std::string token_text(std::string_view bytes);

/// Texts of all prompts of a request, in the order prompt × n + choice. After construction it belongs to the
/// scheduler's thread, whose listeners it makes.
class CompletionAnswer : public std::enable_shared_from_this<CompletionAnswer> {
 public:
  using Clock = std::chrono::steady_clock;
  /// `id`: unique, such as "cmpl-17". `metrics` hear how it ended, as a request to `path`.
  CompletionAnswer(CompletionRequest request, std::shared_ptr<const Tokenizer> tokenizer, std::string id,
                   std::string model, std::shared_ptr<Exchange> exchange, Metrics& metrics, std::string path);
  ~CompletionAnswer();
  CompletionAnswer(const CompletionAnswer&) = delete;
  CompletionAnswer& operator=(const CompletionAnswer&) = delete;

  /// Who listens to the texts of one prompt.
  std::shared_ptr<TextListener> listener(std::size_t prompt);

 private:
  class Listener;
  struct Text;

  void on_prompt(std::size_t prompt, const std::vector<Generated>& tokens);
  void on_token(std::size_t text, const Generated& token);
  void on_empty(std::size_t prompt);
  void on_abort(Abort why, const std::string& message);
  void finish_text(std::size_t text, Finish finish);
  void finish();
  void over(int status);
  /// Of a streamed answer: what a text has that wasn't sent.
  void send_piece(std::size_t text, Finish finish);
  void send_event(const nlohmann::ordered_json& event);
  /// The prompt's tokens, once, and those that were not told yet.
  void tell_tokens(std::size_t text, nlohmann::ordered_json& choice);
  [[nodiscard]] nlohmann::ordered_json head() const;
  [[nodiscard]] nlohmann::ordered_json usage() const;
  [[nodiscard]] nlohmann::ordered_json choice(std::size_t text);

  CompletionRequest request_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string id_, model_;
  std::int64_t created_;
  Clock::time_point start_ = Clock::now();
  std::shared_ptr<Exchange> exchange_;
  Metrics& metrics_;
  std::string path_;
  std::vector<Text> texts_;
  std::size_t missing_;
  std::uint64_t generated_ = 0;
  bool begun_ = false, over_ = false;
};

}  // namespace ecp::serve
