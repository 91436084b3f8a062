// The mark that SentencePiece, and BPE as Llama 2 has it, write for a space. For sources of this room.
#pragma once

#include <string>
#include <string_view>

namespace ecp::text {

constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581

std::string with_spaces(std::string_view marked);
std::string with_marks(std::string_view text);

}  // namespace ecp::text
