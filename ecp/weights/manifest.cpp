#include "ecp/weights/manifest.h"

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/base/hash.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/own_hash.h"
#include "ecp/text/json.h"

namespace ecp {
namespace {

constexpr std::size_t largest_manifest = 64 << 20;
constexpr std::uint64_t version_without_hash = 1, version_now = 2;

/// A name in a manifest must stay inside the folder.
bool stays_inside(const Path& name) {
  return !name.empty() && name.is_relative() && name.has_filename() &&
         std::none_of(name.begin(), name.end(), [](const Path& part) { return part == ".." || part == "."; });
}

}  // namespace

Manifest parse_manifest(std::string_view text, std::string_view name) {
  const nlohmann::json json = text::parse_object(text, name);
  const auto version = json.value("version", nlohmann::json());
  require(json.value("format", nlohmann::json()) == "ecp-checkpoint" &&
              (version == version_without_hash || version == version_now) && json.contains("files") &&
              json["files"].is_object(),
          "{}: expected the manifest of an ecp checkpoint, version {} or {}", name, version_without_hash,
          version_now);
  const std::size_t members = json.size();
  require(version != version_now || has_own_hash(text), "{}: damaged: its hash of itself differs", name);
  require(members == (version == version_now ? 4 : 3), "{}: expected no other members in version {}", name,
          version.get<std::uint64_t>());
  Manifest manifest;
  for (const auto& [file, entry] : json["files"].items()) {
    require(stays_inside(file) && entry.is_object() && entry.size() == 2 && entry.contains("bytes") &&
                entry["bytes"].is_number_unsigned() && entry.contains("xxh3") && entry["xxh3"].is_string(),
            "{}: the entry of '{}' is not valid", name, file);
    manifest.files[file] = {entry["bytes"].get<std::uint64_t>(), entry["xxh3"].get<std::string>()};
  }
  return manifest;
}

Manifest read_manifest(const Path& folder) {
  const Path path = folder / manifest_name;
  return parse_manifest(read_small_file(path, largest_manifest), path.string());
}

void write_manifest(const Path& folder) {
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  std::vector<Path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path() != folder / manifest_name) paths.push_back(entry.path());
    if (entry.is_directory()) sync_folder(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const Path& path : paths) {
    files[path.lexically_relative(folder).generic_string()] = {{"bytes", std::filesystem::file_size(path)},
                                                               {"xxh3", hash_file(path)}};
  }
  const nlohmann::ordered_json manifest = {
      {"format", "ecp-checkpoint"}, {"version", version_now}, {"files", files}};
  std::string text = manifest.dump(2);
  text.resize(text.size() - 2);  // the line end and brace that close it
  write_file(folder / manifest_name, text + own_hash_ending(hash_bytes(text)));
}

std::string find_fault(const Path& folder, const std::string& name, const Manifest::Entry& entry) {
  check_interrupt();
  const Path file = folder / name;
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return "is missing";
  try {
    const std::uint64_t got = std::filesystem::file_size(file);
    if (got != entry.bytes)
      return fmt::format("has another size: expected {} bytes, got {}", entry.bytes, got);
    if (hash_file(file) != entry.xxh3) return "is damaged (its hash differs from the manifest's)";
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& unreadable) {
    return fmt::format("can't be read: {}", unreadable.what());
  }
  return "";
}

}  // namespace ecp
