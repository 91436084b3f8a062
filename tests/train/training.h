// A tiny training set-up for tests: text, token files, a configuration of a few thousand parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ecp/base/random.h"
#include "ecp/config/config_file.h"
#include "ecp/train/trainer.h"
#include "ecp/weights/safetensors.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/token_files.h"

namespace ecp::test {

inline std::string random_text(std::size_t size, std::uint64_t seed) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += "abcdefgh ijk\n"[random_below(13, seed, i)];
  return text;
}

/// A folder with token files and a configuration for them.
struct Training {
  TemporaryFolder folder;
  Config config;

  Training() {
    write_tokens(folder / "one.npy", {random_text(300, 1), random_text(500, 2)});
    write_tokens(folder / "two.npy", {random_text(400, 3)});
    write_tokens(folder / "validation.npy", {random_text(200, 4)});
    config.model.dim = 16;
    config.model.heads = 2;
    config.model.layers = 2;
    config.model.sequence = 16;
    config.model.block = 4;
    config.data.train = {(folder / "one.npy").string(), (folder / "two.npy").string()};
    config.data.validation = (folder / "validation.npy").string();
    config.train.steps = 12;
    config.train.batch = 2;
    config.train.warmup = 3;
    config.train.lr = 1e-2;
    config.train.threads = 2;
    config.train.sample_tokens = 0;
    config.train.eval_every = 4;
    config.train.checkpoint_every = 5;
    config.train.log_every = 1;
  }

  [[nodiscard]] Path run(const std::string& name = "run") const { return folder / name; }
  [[nodiscard]] Path checkpoint(const std::string& name, const std::string& run_name = "run") const {
    return folder / (run_name + "/checkpoints/" + name);
  }
};

/// Asks to stop after step `step`.
inline TrainObserver stopping_at(std::int64_t step) {
  auto now = std::make_shared<std::int64_t>(0);
  TrainObserver observer;
  observer.stepped = [now](const StepReport& report) { *now = report.step; };
  observer.stop = [now, step] { return *now == step; };
  return observer;
}

inline std::vector<nlohmann::json> metrics(const Path& run, const std::string& kind) {
  std::vector<nlohmann::json> lines;
  std::istringstream content(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(content, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["kind"] == kind) lines.push_back(json);
  }
  return lines;
}

/// Largest difference between two files' tensors of the same names.
inline double largest_difference(const Path& a, const Path& b) {
  const SafetensorsFile first(a), second(b);
  double largest = 0;
  for (const auto& [name, view] : first.tensors()) {
    const std::vector<float> x = view.to_float(), y = second.at(name).to_float();
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    }
  }
  return largest;
}

}  // namespace ecp::test
