#include "ecp/runtime/sampling.h"

#include "ecp/base/error.h"
#include "ecp/text/utf8.h"

namespace ecp {

void Sampling::validate() const {
  // Each comparison is written so that NaN fails it.
  require(temperature >= 0 && temperature <= 1000, "temperature: expected 0 (greedy) to 1000, got {}",
          temperature);
  require(top_k >= 0, "top_k: expected 0 (off) or more, got {}", top_k);
  require(top_p > 0 && top_p <= 1, "top_p: expected more than 0, at most 1 (off), got {}", top_p);
  require(min_p >= 0 && min_p <= 1, "min_p: expected 0 (off) to 1, got {}", min_p);
  require(repetition_penalty >= 0.01f && repetition_penalty <= 100,
          "repetition_penalty: expected 0.01 to 100 (1: off), got {}", repetition_penalty);
  require(repetition_window >= 0, "repetition_window: expected 0 or more, got {}", repetition_window);
  require(max_tokens >= -1, "max_tokens: expected -1 (no end) or more, got {}", max_tokens);
  for (const auto& [name, value] :
       {std::pair("presence_penalty", presence_penalty), {"frequency_penalty", frequency_penalty}}) {
    require(value >= -100 && value <= 100, "{}: expected -100 to 100 (0: off), got {}", name, value);
  }
  for (const auto& [token, bias] : logit_bias) {
    require(bias >= -1000 && bias <= 1000, "logit_bias: expected -1000 to 1000 for token {}, got {}", token,
            bias);
  }
  require(logprobs >= -1 && logprobs <= most_logprobs, "logprobs: expected 0 to {} (-1: off), got {}",
          most_logprobs, logprobs);
  for (const std::string& text : stop) {
    require(!text.empty(), "stop: expected a string that is not empty");
    require(is_utf8(text), "stop: expected UTF-8 text");
  }
}

}  // namespace ecp
