// The regular expressions that cut text into words for BPE, each as a scanner of its own (Unicode 15 by
// utf8proc: the 5,004 letters and numbers that Unicode 15.1 and 16 added are neither here). For sources of
// this room.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace ecp::text {

enum class SplitPattern { gpt2, llama3 };

/// GPT-2's, which ByteLevel has built in, and Llama 3's; none for others.
std::optional<SplitPattern> split_pattern(std::string_view regex);

/// Length of the match that begins at `begin` of well-formed `text`, begin < size. Matches cover all text.
std::size_t match_length(SplitPattern pattern, std::string_view text, std::size_t begin);

}  // namespace ecp::text
