#include "ecp/cli/arguments.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <system_error>

#include "ecp/base/error.h"

namespace ecp::cli {

CLI::Validator whole_number(std::int64_t least, std::int64_t most) {
  return {[least, most](const std::string& text) -> std::string {
            std::int64_t value{};
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            const bool whole = error == std::errc() && end == text.data() + text.size();
            if (whole && value >= least && value <= most) return "";
            return fmt::format("expected a whole number from {}{}, got '{}'", least,
                               most == INT64_MAX ? std::string() : fmt::format(" to {}", most), text);
          },
          ""};
}

void check_output(const Path& path, std::string_view extension, const std::vector<Path>& inputs) {
  const std::string shown = path.string();
  require(shown.ends_with(extension), "--output: expected a file name ending in {}, got '{}'", extension,
          shown);
  std::error_code error;
  require(!std::filesystem::is_directory(path, error), "--output: expected a file, got the folder '{}'",
          shown);
  for (const Path& input : inputs) {
    require(!std::filesystem::equivalent(path, input, error) || error,
            "--output: '{}' is read as well and would be overwritten", shown);
  }
  const Path folder = path.has_parent_path() ? path.parent_path() : Path(".");
  std::filesystem::create_directories(folder, error);
  require(!error, "cannot make folder '{}': {}", folder.string(), error.message());
  require(::access(folder.c_str(), W_OK) == 0, "cannot write into folder '{}': {}", folder.string(),
          std::strerror(errno));
}

}  // namespace ecp::cli
