// The page of a run folder, one of whose files is the input; the first byte says which.
#include "ecp/experiment/report.h"

#include <array>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ecp;
  static const fuzz::Folder folder;
  static const std::array<std::pair<std::string_view, std::string_view>, 6> files = {{
      {"metrics.jsonl", "{\"kind\": \"eval\", \"step\": 1, \"loss\": 2}\n"},
      {"run.json", "{}"},
      {"config.toml", "[model]\ndim = 8\n"},
      {"evaluations/test.json", "{\"loss\": 2}"},
      {"evaluations/baselines.json", "{\"baselines\": []}"},
      {"sample.txt", "text"},
  }};
  if (size == 0) return 0;
  std::filesystem::create_directory(folder / "evaluations");
  for (std::size_t i = 0; i < files.size(); ++i) {
    const bool chosen = data[0] % files.size() == i;
    folder.write(files[i].first, chosen ? fuzz::text_of(data, size).substr(1) : files[i].second);
  }
  fuzz::accepted([&] { (void)render_report({read_run(folder.path())}); });
  return 0;
}
