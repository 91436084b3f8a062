#include "ecp/cli/arguments.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <system_error>

#include "ecp/base/error.h"

namespace ecp::cli {
namespace {

Path folder_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }

}  // namespace

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

std::uint64_t parse_bytes(std::string_view option, const std::string& text) {
  static const std::map<std::string, std::uint64_t> units = {
      {"", 1},          {"b", 1},         {"kb", 1000},    {"mb", 1000'000}, {"gb", 1000'000'000},
      {"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}};
  std::uint64_t number = 0, bytes = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  std::string unit(stop, end);
  unit.erase(0, unit.find_first_not_of(' '));
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto factor = units.find(unit);
  require(error == std::errc() && factor != units.end() && number > 0 &&
              !__builtin_mul_overflow(number, factor->second, &bytes),
          "{}: expected a size such as 500MB or 2GiB, got '{}'", option, text);
  return bytes;
}

std::int64_t parse_count(std::string_view option, const std::string& text) {
  static const std::map<std::string, double> units = {
      {"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}};
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const auto factor = units.find(std::string(stop, end));
  const double exact = factor == units.end() ? 0 : number * factor->second;
  const double count = std::round(exact);  // 2.3M isn't a whole number in binary
  constexpr double most = 1e15;
  require(error == std::errc() && count >= 1 && count <= most && std::fabs(count - exact) < 1e-9 * count,
          "{}: expected a number such as 1500000, 20k or 1.5M, got '{}'", option, text);
  return static_cast<std::int64_t>(count);
}

void require_output(std::string_view option, const Path& path, std::string_view extension,
                    const std::vector<Path>& inputs) {
  const std::string shown = path.string();
  require(shown.ends_with(extension), "{}: expected a file name ending in {}, got '{}'", option, extension,
          shown);
  std::error_code error;
  require(!std::filesystem::is_directory(path, error), "{}: expected a file, got the folder '{}'", option,
          shown);
  const auto same = [&](const Path& a, const Path& b) {
    return std::filesystem::equivalent(a, b, error) && !error;
  };
  Path folder = folder_of(path);
  for (const Path& input : inputs) {
    require(!same(path, input) && !same(folder, input), "{}: '{}': what is read at '{}' would be overwritten",
            option, shown, input.string());
  }
  while (!std::filesystem::exists(folder, error)) folder = folder_of(folder);
  require(std::filesystem::is_directory(folder, error), "{}: '{}': '{}' is no folder", option, shown,
          folder.string());
  if (::access(folder.c_str(), W_OK) != 0)
    fail("{}: cannot write into folder '{}': {}", option, folder.string(), std::strerror(errno));
}

std::vector<Path> with_checkpoint(const Path& checkpoint, std::vector<Path> inputs) {
  std::error_code error;
  if (std::filesystem::exists(checkpoint / "manifest.json", error)) inputs.push_back(checkpoint);
  for (const char* name : {"run.json", "checkpoints/best", "checkpoints/last"})
    inputs.push_back(checkpoint / name);
  return inputs;
}

void make_output_folder(const Path& path) { make_folders(folder_of(path)); }

void write_output(const Path& path, std::string_view text) {
  make_output_folder(path);
  write_file(path, text);
}

}  // namespace ecp::cli
