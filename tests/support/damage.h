// Damaging files on purpose: flipped bits and cut-off ends.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/base/random.h"
#include "tests/support/temporary_folder.h"

namespace ecp::test {

/// Without syncing, which a thousand times would take minutes on some disks.
inline void overwrite(const Path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  ASSERT_TRUE(file.good());
}

/// Damages one file of a folder after another, in turn, and restores it; each time it returns what `load`
/// fails with, or "" where that succeeds.
class Damager {
 public:
  Damager(Path folder, std::function<void()> load)
      : folder_(std::move(folder)), load_(std::move(load)), names_(files_under(folder_)) {
    for (const std::string& name : names_) contents_.push_back(read_file(folder_ / name));
  }

  /// The file that the i-th damage is done to.
  [[nodiscard]] const std::string& name(std::uint64_t i) const { return names_[i % names_.size()]; }

  std::string flip(std::uint64_t i) {
    std::string content = contents_[i % names_.size()];
    const std::uint64_t bit = random_below(content.size() * 8, 1, i);
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ 1 << bit % 8);
    return load_with(i % names_.size(), content);
  }
  std::string cut(std::uint64_t i) {
    const std::string& content = contents_[i % names_.size()];
    return load_with(i % names_.size(), content.substr(0, random_below(content.size(), 2, i)));
  }

 private:
  std::string load_with(std::size_t file, const std::string& content) {
    overwrite(folder_ / names_[file], content);
    std::string message;
    try {
      load_();
    } catch (const Error& error) {
      message = error.what();
    }
    overwrite(folder_ / names_[file], contents_[file]);
    return message;
  }

  Path folder_;
  std::function<void()> load_;
  std::vector<std::string> names_, contents_;
};

}  // namespace ecp::test
