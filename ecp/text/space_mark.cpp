#include "ecp/text/space_mark.h"

namespace ecp::text {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t found = 0; (found = text.find(from)) != std::string_view::npos;) {
    result.append(text.substr(0, found)).append(to);
    text.remove_prefix(found + from.size());
  }
  return result.append(text);
}

}  // namespace

std::string with_spaces(std::string_view marked) { return replace_all(marked, space_mark, " "); }
std::string with_marks(std::string_view text) { return replace_all(text, " ", space_mark); }

}  // namespace ecp::text
