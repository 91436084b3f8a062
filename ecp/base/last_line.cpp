#include "ecp/base/last_line.h"

#include <algorithm>
#include <string_view>

namespace ecp {

std::string last_line(const Path& path) {
  constexpr std::size_t most = 4096;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return "";
  const MappedFile file(path);
  std::string_view text = file.text();
  text.remove_prefix(text.size() - std::min(text.size(), most));
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

}  // namespace ecp
