// manifest.json: size and hash of every file of a checkpoint, and of itself.
//
//   {"format": "ecp-checkpoint", "version": 2, "files": {"name": {"bytes": 646, "xxh3": "..."}}, "xxh3":
//   "..."}
//
// The last "xxh3" is the hash of all bytes of the manifest before the comma that precedes it; what follows is
// fixed to the byte. So a flip of any bit of a checkpoint shows. Version 1 had no such hash and is still
// read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/files.h"

namespace ecp {

constexpr const char* manifest_name = "manifest.json";

struct Manifest {
  struct Entry {
    std::uint64_t bytes = 0;
    std::string xxh3;
  };
  std::map<std::string, Entry> files;  // by name relative to the folder
};

/// Strict; fails on a manifest that is damaged. `name` stands for the file in messages.
Manifest parse_manifest(std::string_view text, std::string_view name);
/// The manifest of the checkpoint in `folder`.
Manifest read_manifest(const Path& folder);
/// Writes manifest.json over all files under `folder` (call last, before committing the folder).
void write_manifest(const Path& folder);

/// What is wrong with a listed file: "is missing", "has another size: ...", "is damaged ..."; empty if
/// nothing. Reads all of it; throws Interrupted.
std::string find_fault(const Path& folder, const std::string& name, const Manifest::Entry& entry);

}  // namespace ecp
