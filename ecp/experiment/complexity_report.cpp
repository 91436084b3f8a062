#include "ecp/experiment/complexity_report.h"

#include <fmt/core.h>

#include <algorithm>

#include "ecp/base/error.h"
#include "ecp/base/suggest.h"
#include "ecp/config/config_file.h"
#include "ecp/config/variants.h"

namespace ecp {

ComplexityReport count_architectures(const std::string& name, const ModelConfig& config,
                                     const std::vector<std::string>& architectures, std::int64_t n) {
  const std::vector<std::string> known = architecture_names();
  ComplexityReport report{name, {}, {}, false};
  for (const std::string& given : architectures) {
    require(std::find(known.begin(), known.end(), given) != known.end(),
            "architecture: expected {}, got '{}'{}", alternatives(known), given, did_you_mean(given, known));
    const bool own = given == config.architecture;
    try {
      const ModelConfig model = at_length(with_architecture(config, given), n);
      model.validate();
      report.models.push_back({given, model, complexity(model, n)});
    } catch (const Error& error) {
      if (own) throw;
      report.left_out.push_back(fmt::format("{}: {}", given, error.what()));
    }
  }
  return report;
}

ModelConfig paper_setting() {
  return parse_config(R"([model]
preset = "paper"
sequence = 4096
layers = 48
heads = 24
block = 256
latents = 2048
history_segment = 256
compressed_history = 256
group = 768
window = 384
dim = 1536
vocab = 28996

[data]
train = "none"
)",
                      "the paper's Table 8")
      .model;
}

const std::vector<PrintedEntries>& printed_entries() {
  static const std::vector<PrintedEntries> rows{
      {"perceiver_ar", 4932, 25, ""},
      {"double", 14495, 75, ""},
      {"compressed", 9682, 50,
       "can't be derived from the design; it is what n*l + 128*128 entries in every layer would be, as if p "
       "were "
       "128 and the first layer's n*l were counted throughout. The paper's first version prints 14858 here"},
      {"split", 14858, 77,
       "can't be derived from the design: it is more than double attention's, of which split leaves entries "
       "out. The paper's first version prints 9682 here"},
      {"ecp", 2452, 12,
       "can't be derived from the design: the first block's b*b and 2*b*b for each other block make less, "
       "whether s is taken for b or for 2b"},
      {"full", 19327, 100, ""},
  };
  return rows;
}

const PrintedEntries* printed_entries(const std::string& name) {
  for (const PrintedEntries& row : printed_entries()) {
    if (name == row.architecture) return &row;
  }
  return nullptr;
}

std::int64_t millions(std::int64_t entries) { return entries / 1'000'000; }

}  // namespace ecp
