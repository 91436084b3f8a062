// ecp doctor: what this machine offers, how fast it is, and what would make training slow or risky.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/child.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/delegate.h"
#include "ecp/cli/terminal.h"
#include "ecp/machine/findings.h"
#include "ecp/machine/machine.h"
#include "ecp/machine/rates.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string folder = ".";
  int threads = 0;
  bool json = false, quick = false;
};

constexpr const char* footer =
    R"(Takes about 15 seconds: matrix products, reading memory, writing and syncing a file without a name in the
folder, and five seconds of training a small model on random tokens. Other programs disturb all of that, and
are disturbed. --quick only looks.

Examples:
  ecp doctor
  ecp doctor --quick --json
  ecp doctor --folder /mnt/runs --threads 8)";

constexpr double step_seconds = 5;
constexpr double torch_timeout = 120;  // starting LibTorch from a slow disk included

/// What ecp-torch answers when it measures for so many seconds.
nlohmann::json ask_torch(double seconds, int threads) {
  const Path program = ecp_torch_program();
  require(std::filesystem::exists(program), "the program '{}' is missing", program.string());
  const Child child = run_child(
      program,
      {"doctor-step", "--seconds", fmt::format("{}", seconds), "--threads", fmt::format("{}", threads)},
      torch_timeout);
  if (child.timed_out) fail("{} gave no answer within {} seconds", program.string(), torch_timeout);
  if (child.code != 0) {
    const std::string_view errors = child.errors;
    fail("{} ended with code {}: {}", program.string(), child.code, errors.substr(0, errors.find('\n')));
  }
  auto answer = nlohmann::json::parse(child.output, nullptr, false);
  require(answer.is_object() && answer.contains("libtorch") && answer["libtorch"].is_string(),
          "{} is of another version than ecp", program.string());
  return answer;
}

/// Its versions, and then, which may fail or take too long, its speed.
TorchPart torch_part(const Options& options) {
  TorchPart torch;
  const auto noting = [](std::string& error, auto work) {
    try {
      work();
    } catch (const Interrupted&) {
      throw;
    } catch (const Error& caught) {
      error = caught.what();
    }
  };
  noting(torch.error, [&] {
    const auto answer = ask_torch(0, options.threads);
    torch.version = answer["libtorch"];
    torch.capability = answer.value("capability", "?");
  });
  if (options.quick || !torch.error.empty()) return torch;
  noting(torch.step_error, [&] {
    const auto answer = ask_torch(step_seconds, options.threads);
    const auto rate = [&](const char* key) -> std::optional<double> {
      if (!answer.contains(key) || !answer[key].is_number()) return std::nullopt;
      return answer[key].get<double>();
    };
    torch.float32 = rate("float32");
    torch.bfloat16 = rate("bfloat16");
  });
  return torch;
}

using Json = nlohmann::ordered_json;

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

Json to_json(const Rates& rates) {
  const auto both = [](const ThreadRates& r) { return Json{{"one_thread", r.one}, {"all_threads", r.all}}; };
  Json json = {{"threads", rates.threads},
               {"gemm_float32_flops", both(rates.gemm_float32)},
               {"gemm_bfloat16_flops", rates.gemm_bfloat16 ? both(*rates.gemm_bfloat16) : Json()},
               {"memory_read_bytes_per_second", both(rates.memory_read)},
               {"disk", nullptr}};
  if (rates.disk) {
    json["disk"] = {{"write_bytes_per_second", rates.disk->write},
                    {"sync_seconds", rates.disk->sync_seconds}};
  }
  return json;
}

Json to_json(const Machine& m, const std::optional<Rates>& rates, const TorchPart& torch,
             const std::vector<Finding>& found) {
  Json json = {{"format", "ecp-doctor"}, {"version", 1}};
  json["program"] = {{"version", m.version}, {"commit", m.commit}, {"compiler", m.compiler}};
  json["libraries"] = {{"libtorch", torch.error.empty() ? Json(torch.version) : Json()},
                       {"libtorch_error", torch.error.empty() ? Json() : Json(torch.error)},
                       {"libtorch_capability", torch.error.empty() ? Json(torch.capability) : Json()},
                       {"onednn", m.onednn},
                       {"sentencepiece", m.sentencepiece},
                       {"highway", m.highway}};
  json["processor"] = {{"name", m.cpu},
                       {"instruction_sets", m.instruction_sets},
                       {"kernels", m.kernels},
                       {"kernels_forced", m.kernels_forced},
                       {"cpus_online", m.cpus_online},
                       {"cpus_available", m.cpus_available},
                       {"cpu_limit", or_null(m.limits.cpus)},
                       {"load", m.load}};
  json["memory"] = {{"total", m.memory_total},
                    {"free", m.memory_free},
                    {"limit", or_null(m.limits.memory)},
                    {"limit_used", or_null(m.limits.memory_used)},
                    {"huge_pages", m.huge_pages}};
  json["folder"] = {{"path", m.folder.path},
                    {"file_system", m.folder.kind},
                    {"free", or_null(m.folder.free)},
                    {"writable", m.folder.writable}};
  json["rates"] = rates ? to_json(*rates) : Json();
  json["training_tokens_per_second"] = {{"float32", or_null(torch.float32)},
                                        {"bfloat16", or_null(torch.bfloat16)}};
  json["findings"] = Json::array();
  for (const Finding& finding : found) {
    json["findings"].push_back({{"level", finding.level == Finding::Level::warning ? "warning" : "note"},
                                {"id", finding.id},
                                {"what", finding.what},
                                {"advice", finding.advice}});
  }
  return json;
}

void line(std::string_view name, const std::string& value) { fmt::print("{:<16}{}\n", name, value); }

void print(const Machine& m, const TorchPart& torch) {
  line("program", fmt::format("ecp {} ({}), {}", m.version, m.commit, m.compiler));
  line("libraries",
       fmt::format("LibTorch {}, oneDNN {}, SentencePiece {}, Highway {}",
                   torch.error.empty() ? torch.version : "not found", m.onednn, m.sentencepiece, m.highway));
  line("processor", m.cpu);
  line("instructions",
       fmt::format("{}; kernels use {}{}{}",
                   m.instruction_sets.empty() ? "none that the kernels know"
                                              : fmt::format("{}", fmt::join(m.instruction_sets, " ")),
                   m.kernels, m.kernels_forced ? " (ECP_CPU_ISA)" : "",
                   torch.error.empty() ? ", LibTorch's " + torch.capability : ""));
  line("CPUs",
       fmt::format("{} of {} for this process{}; load {:.1f}", m.cpus_available, m.cpus_online,
                   m.limits.cpus ? fmt::format(", the time of {:.2g} allowed", *m.limits.cpus) : "", m.load));
  line("memory",
       fmt::format("{} free of {}{}; huge pages: {}", format_bytes(m.memory_free),
                   format_bytes(m.memory_total),
                   m.limits.memory ? fmt::format(", {} allowed", format_bytes(*m.limits.memory)) : "",
                   m.huge_pages.empty() ? "none" : m.huge_pages));
  line("folder", fmt::format("{}: {}{}{}", m.folder.path, m.folder.kind,
                             m.folder.free ? ", " + format_bytes(*m.folder.free) + " free" : "",
                             m.folder.writable ? "" : ", can't be written"));
}

void print(const Rates& rates, const TorchPart& torch) {
  const std::string all = fmt::format("{} threads", rates.threads);
  const auto row = [&](const char* name, const ThreadRates& r, const char* unit) {
    return std::vector<std::string>{name, fmt::format("{:.1f}", r.one / 1e9),
                                    fmt::format("{:.1f}", r.all / 1e9), unit};
  };
  std::vector<std::vector<std::string>> rows{{"measured", "1 thread", all, ""}};
  rows.push_back(row("matrix product, float32", rates.gemm_float32, "GFLOP/s"));
  if (rates.gemm_bfloat16) rows.push_back(row("matrix product, bfloat16", *rates.gemm_bfloat16, "GFLOP/s"));
  rows.push_back(row("memory, read", rates.memory_read, "GB/s"));
  fmt::print("\n{}", format_table(rows));
  if (rates.disk) {
    fmt::print("disk: {} MB/s written and synced; {:.1f} ms to sync a small file\n",
               static_cast<int>(rates.disk->write / 1e6), rates.disk->sync_seconds * 1e3);
  }
  if (torch.float32) {
    fmt::print("training the quick start's model: {} tokens/s in float32{}\n", format_count(*torch.float32),
               torch.bfloat16 ? ", " + format_count(*torch.bfloat16) + " in bfloat16" : "");
  }
}

void print(const std::vector<Finding>& found) {
  fmt::print("\n");
  if (found.empty()) fmt::print("Nothing here would make training slow or risky.\n");
  for (const Finding& finding : found) {
    fmt::print("{}: {}\n  -> {}\n", finding.level == Finding::Level::warning ? "warning" : "note",
               finding.what, finding.advice);
  }
}

void run_doctor(const Options& options) {
  const StopRequests guard;
  require(std::filesystem::is_directory(options.folder), "--folder: expected a folder, got '{}'",
          options.folder);
  const Machine machine = describe_machine(options.folder);  // its load is that of before
  const int threads = options.threads > 0 ? options.threads : machine.cpus_available;
  std::optional<Rates> rates;
  StatusLine status;
  const auto tell = [&](std::string_view what) { status.update(fmt::format("measuring {}", what)); };
  if (!options.quick) {
    rates = measure_rates(threads, options.folder, tell);
    tell("a training step");
  }
  check_interrupt();
  const TorchPart torch = torch_part(options);
  status.finish();
  const std::vector<Finding> found = findings(machine, rates, torch);
  if (options.json) {
    const auto replace = Json::error_handler_t::replace;  // a folder's name needn't be UTF-8
    fmt::print("{}\n", to_json(machine, rates, torch, found).dump(2, ' ', false, replace));
    return;
  }
  print(machine, torch);
  if (rates) print(*rates, torch);
  print(found);
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* doctor =
      app.add_subcommand("doctor", "Look at this machine: what it offers, how fast it is, what is wrong");
  doctor->add_flag("--quick", options->quick, "Measure nothing");
  doctor->add_flag("--json", options->json, "Print JSON");
  doctor
      ->add_option("--folder", options->folder, "Where runs are to be written (default: the current folder)")
      ->type_name("FOLDER");
  doctor->add_option("--threads", options->threads, "Threads to measure with; 0: all available")
      ->check(whole_number(0, most_threads));
  doctor->footer(footer);
  doctor->callback([options] { run_doctor(*options); });
}

}  // namespace ecp::cli
