// ecp checkpoint: are they whole, which are there, which may go, and the same weights in another form.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/terminal.h"
#include "ecp/experiment/run_log.h"
#include "ecp/weights/checkpoint.h"
#include "ecp/weights/convert.h"
#include "ecp/weights/run_checkpoints.h"

namespace ecp::cli {
namespace {

using Json = nlohmann::ordered_json;

void print_json(const Json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

// ---- verify

struct VerifyCommand {
  std::vector<std::string> paths;
  bool json = false;
};

/// The checkpoints that the paths stand for: themselves, or all of a run folder.
std::vector<Path> checkpoints_of(const std::vector<std::string>& paths) {
  std::vector<Path> folders;
  for (const Path path : paths) {
    require(std::filesystem::is_directory(path), "'{}': expected a checkpoint or run folder, got {}",
            path.string(), std::filesystem::exists(path) ? "a file" : "nothing of that name");
    if (!std::filesystem::is_directory(path / "checkpoints")) {
      folders.push_back(path);
      continue;
    }
    const auto all = list_checkpoints(path);
    require(!all.empty(), "run folder '{}': no checkpoints in it", path.string());
    for (const RunCheckpoint& checkpoint : all) folders.push_back(checkpoint.folder);
  }
  return folders;
}

Json to_json(const CheckpointState& state) {
  Json json = {{"path", state.folder.string()}, {"intact", state.intact()}};
  json["fault"] = state.intact() ? Json() : Json(state.fault);
  json["files"] = Json::array();
  for (const auto& file : state.files) {
    json["files"].push_back({{"name", file.name},
                             {"bytes", file.bytes},
                             {"fault", file.fault.empty() ? Json() : Json(file.fault)}});
  }
  return json;
}

void print_state(const CheckpointState& state) {
  fmt::print("{}: {}\n", state.folder.string(), state.intact() ? "intact" : "DAMAGED: " + state.fault);
  for (const auto& file : state.files) {
    fmt::print("  {}: {}\n", file.name,
               file.fault.empty() ? "intact, " + format_bytes(file.bytes) : file.fault);
  }
}

void verify(const VerifyCommand& options) {
  const StopRequests stop_requests;
  const std::vector<Path> folders = checkpoints_of(options.paths);
  std::size_t damaged = 0;
  Json json = Json::array();
  for (const Path& folder : folders) {
    const CheckpointState state = inspect_checkpoint(folder);
    damaged += state.intact() ? 0 : 1;
    if (options.json) {
      json.push_back(to_json(state));
    } else {
      print_state(state);
    }
  }
  if (options.json) print_json({{"checkpoints", json}, {"damaged", damaged}});
  require(damaged == 0, "{} of {} checkpoints {} damaged", damaged, folders.size(),
          damaged == 1 ? "is" : "are");
}

// ---- list

struct ListCommand {
  std::string run;
  bool verify = false, json = false;
};

/// Validation losses by step, as far as the run's log tells them.
std::map<std::int64_t, double> losses_of(const Path& run) {
  constexpr std::size_t largest_log = std::size_t{1} << 30;
  std::map<std::int64_t, double> losses;
  const Path log = run / "metrics.jsonl";
  if (!std::filesystem::exists(log)) return losses;
  for (const EvalPoint& point : parse_metrics(read_small_file(log, largest_log), log.string()).eval) {
    if (std::isfinite(point.figures.loss)) losses[point.step] = point.figures.loss;
  }
  return losses;
}

std::string utc(std::filesystem::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(
                         std::chrono::time_point_cast<std::chrono::system_clock::duration>(system))));
}

void list(const ListCommand& options) {
  const StopRequests stop_requests;
  const auto all = list_checkpoints(options.run);
  const auto losses = losses_of(options.run);
  bool damaged = false;
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows{{"step", "written (UTC)", "size", "validation loss", "is"}};
  if (options.verify) rows.front().emplace_back("state");
  for (const RunCheckpoint& checkpoint : all) {
    const auto loss = losses.find(checkpoint.step);
    std::optional<CheckpointState> state;
    if (options.verify) state = inspect_checkpoint(checkpoint.folder);
    damaged = damaged || (state && !state->intact());
    std::string marks = checkpoint.best ? "best" : "";
    if (checkpoint.last) marks += marks.empty() ? "last" : ", last";
    rows.push_back({std::to_string(checkpoint.step), utc(checkpoint.written), format_bytes(checkpoint.bytes),
                    loss == losses.end() ? "-" : fmt::format("{:.4f}", loss->second), marks});
    if (state) rows.back().push_back(state->intact() ? "intact" : "DAMAGED: " + state->fault);
    json.push_back({{"step", checkpoint.step},
                    {"path", checkpoint.folder.string()},
                    {"written", utc(checkpoint.written)},
                    {"bytes", checkpoint.bytes},
                    {"best", checkpoint.best},
                    {"last", checkpoint.last},
                    {"loss", loss == losses.end() ? Json() : Json(loss->second)}});
    if (state) json.back()["intact"] = state->intact();
  }
  if (options.json) {
    print_json({{"checkpoints", json}});
  } else if (all.empty()) {
    fmt::print("no checkpoints in '{}'\n", options.run);
  } else {
    fmt::print("{}", format_table(rows));
  }
  if (damaged) throw CLI::RuntimeError(1);
}

// ---- prune

struct PruneCommand {
  std::string run;
  std::int64_t keep = 0;
  bool dry = false, json = false;
};

void prune(const PruneCommand& options) {
  const StopRequests stop_requests;
  const PrunePlan plan = plan_prune(options.run, options.keep);
  std::uint64_t freed = 0;
  Json removed = Json::array(), kept = Json::array();
  for (const RunCheckpoint& checkpoint : plan.removed) {
    check_interrupt();
    if (!options.dry) remove_checkpoint(checkpoint);
    freed += checkpoint.bytes;
    removed.push_back(checkpoint.step);
    if (!options.json) {
      fmt::print("{} {} ({})\n", options.dry ? "would delete" : "deleted", checkpoint.folder.string(),
                 format_bytes(checkpoint.bytes));
    }
  }
  for (const RunCheckpoint& checkpoint : plan.kept) kept.push_back(checkpoint.step);
  if (options.json)
    return print_json({{"removed", removed}, {"kept", kept}, {"bytes", freed}, {"dry_run", options.dry}});
  fmt::print("{} {} in {} checkpoints; {} stay\n", options.dry ? "would free" : "freed", format_bytes(freed),
             plan.removed.size(), plan.kept.size());
}

// ---- convert

struct ConvertCommand {
  std::string checkpoint, output, dtype, shard_size = "500MB";
  bool json = false;
};

void convert(const ConvertCommand& options) {
  const StopRequests stop_requests;
  ConvertOptions convert;
  if (!options.dtype.empty()) convert.dtype = options.dtype == "bfloat16" ? DType::bf16 : DType::f32;
  convert.most_shard_bytes = parse_bytes("--max-shard-size", options.shard_size);
  StatusLine status;
  convert.progress = [&](const Progress& progress) {
    status.update(
        fmt::format("{} {} of {}", progress.what, format_bytes(progress.done), format_bytes(progress.total)));
  };
  const Conversion done = convert_checkpoint(options.checkpoint, options.output, convert);
  status.finish();
  if (options.json) {
    return print_json({{"output", options.output},
                       {"weight_files", done.weight_files},
                       {"bytes_before", done.bytes_before},
                       {"bytes_after", done.bytes_after},
                       {"left_out", done.left_out}});
  }
  fmt::print("{}: weights of {} in {} {}, {} before\n", options.output, format_bytes(done.bytes_after),
             done.weight_files.size(), done.weight_files.size() == 1 ? "file" : "files",
             format_bytes(done.bytes_before));
  if (!done.left_out.empty()) {
    fmt::print("left out, training can't be resumed from the result: {}\n", fmt::join(done.left_out, ", "));
  }
}

void add_verify(CLI::App& app) {
  auto options = std::make_shared<VerifyCommand>();
  CLI::App* command =
      app.add_subcommand("verify", "Read checkpoints and say of each file whether it is intact");
  command->add_option("PATH", options->paths, "Checkpoints, or run folders: all of theirs")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Ends with 1 if any is damaged.\n\nExample:\n  ecp checkpoint verify runs/austen");
  command->callback([options] { verify(*options); });
}

void add_list(CLI::App& app) {
  auto options = std::make_shared<ListCommand>();
  CLI::App* command = app.add_subcommand("list", "List a run's checkpoints");
  command->add_option("RUN", options->run, "Run folder")->required();
  command->add_flag("--verify", options->verify, "Read them and say which are intact");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "With --verify it ends with 1 if any is damaged.\n\nExample:\n  ecp checkpoint list runs/austen "
      "--verify");
  command->callback([options] { list(*options); });
}

void add_prune(CLI::App& app) {
  auto options = std::make_shared<PruneCommand>();
  CLI::App* command = app.add_subcommand("prune", "Delete a run's older checkpoints");
  command->add_option("RUN", options->run, "Run folder")->required();
  command->add_option("--keep", options->keep, "How many of the newest stay")
      ->required()
      ->check(whole_number(1));
  command->add_flag("--dry-run", options->dry, "Only say what would be deleted");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "The best one, the last one and the newest one that is intact always stay.\n\n"
      "Example:\n  ecp checkpoint prune runs/austen --keep 2 --dry-run");
  command->callback([options] { prune(*options); });
}

void add_convert(CLI::App& app) {
  auto options = std::make_shared<ConvertCommand>();
  CLI::App* command =
      app.add_subcommand("convert", "Write a checkpoint's weights in another type or in several files");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder")->required();
  command->add_option("--output", options->output, "Folder to write; must not exist")
      ->required()
      ->type_name("FOLDER");
  command
      ->add_option("--dtype", options->dtype,
                   "bfloat16 (rounded to nearest, half the size) or float32; none: as they are")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->type_name("float32|bfloat16");
  command->add_option("--max-shard-size", options->shard_size, "Larger weights go into several files")
      ->type_name("SIZE")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "What only resuming needs (optimizer, training state) is left out. SIZE: bytes, or with KB, MB, GB\n"
      "(powers of 1000), KiB, MiB, GiB (of 1024).\n\n"
      "Examples:\n"
      "  ecp checkpoint convert runs/austen --output austen-bf16 --dtype bfloat16\n"
      "  ecp checkpoint convert runs/austen --output austen-shards --max-shard-size 5MB");
  command->callback([options] { convert(*options); });
}

}  // namespace

void add_checkpoint(CLI::App& app) {
  CLI::App* command = app.add_subcommand("checkpoint", "Verify, list, prune and convert checkpoints");
  command->require_subcommand(1);
  add_verify(*command);
  add_list(*command);
  add_prune(*command);
  add_convert(*command);
}

}  // namespace ecp::cli
