// ecp generate: text from a checkpoint, shown as it is made.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/files.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/system.h"
#include "ecp/cli/arguments.h"
#include "ecp/cli/commands.h"
#include "ecp/cli/interactive.h"
#include "ecp/cli/output.h"
#include "ecp/cli/terminal.h"
#include "ecp/runtime/model.h"

namespace ecp::cli {
namespace {

struct Options {
  std::string checkpoint, prompt, prompt_file, dash, stream, load_session, save_session;
  std::vector<std::uint64_t> tokens;
  Sampling sampling;
  int threads = 0;
  bool json = false, quiet = false, interactive = false;
};

std::string read_standard_input() {
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  require(!std::cin.bad(), "cannot read standard input");
  return text;
}

std::string prompt_of(const Options& options) {
  if (options.dash == "-" || options.prompt_file == "-") return read_standard_input();
  return options.prompt_file.empty() ? options.prompt : read_file(options.prompt_file);
}

std::vector<Token> tokens_of(const Options& options, const ModelConfig& config) {
  std::vector<Token> tokens;
  for (const std::uint64_t token : options.tokens) {
    require(token < static_cast<std::uint64_t>(config.vocab),
            "--tokens: expected ids below the vocabulary's size {}, got {}", config.vocab, token);
    tokens.push_back(static_cast<Token>(token));
  }
  return tokens;
}

class Run {
 public:
  Run(const Options& options, const LoadModel& load)
      : options_(options),
        model_(load(options.checkpoint, options.threads)),
        session_(first_session()),
        generated_before_(session_.generated()) {}

  void operator()() {
    if (options_.interactive) {
      feed_prompt();
      return write_in_turns(model_, std::move(session_), options_.quiet);
    }
    by_token_ = !options_.tokens.empty() || model_->tokenizer() == nullptr;
    require(!by_token_ || !options_.tokens.empty(),
            "checkpoint '{}' has no tokenizer: expected a prompt as --tokens", options_.checkpoint);
    const ModelConfig& config = model_->config();
    if (config.is_latent() && !options_.quiet) {
      fmt::print(stderr, "ecp: note: architecture {} has no cache: each token computes the last {} anew\n",
                 config.architecture, config.sequence);
    }
    const auto begin = Clock::now();
    const std::string prompt = feed_prompt();
    const auto start = Clock::now();
    bool reader = options_.json || show(prompt);
    char last = prompt.empty() ? '\n' : prompt.back();
    std::string text;
    while (reader && stop_requested() == 0) {
      note_length();
      const auto piece = next();
      if (!piece) break;
      last = piece->back();
      if (options_.json) {
        text += *piece;
      } else {
        reader = show(*piece);
      }
    }
    const std::chrono::duration<double> prompt_time = start - begin, time = Clock::now() - start;
    if (!reader) return;
    if (options_.json) {
      show(result(prompt, text, time.count()));
    } else if (last != '\n') {
      show("\n");
    }
    report(prompt_time.count(), time.count());
    if (!options_.save_session.empty()) {
      make_output_folder(options_.save_session);
      session_.save(options_.save_session);
    }
    if (const int signal = stop_requested(); signal != 0 && options_.stream.empty())
      throw CLI::RuntimeError(128 + signal);
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] Session first_session() const {
    const ModelConfig& config = model_->config();
    require(!config.is_latent() || (options_.save_session.empty() && options_.load_session.empty()),
            "--save-session, --load-session: architecture {} has no cache to save", config.architecture);
    if (options_.load_session.empty()) return model_->session(options_.sampling);
    Session session = model_->restore(options_.load_session);
    session.set_sampling(options_.sampling);
    return session;
  }

  /// Returns what the prompt looks like.
  std::string feed_prompt() {
    if (!by_token_) {
      std::string prompt = prompt_of(options_);
      try {
        session_.prompt(prompt);
      } catch (const Error& error) {
        fail("{}: {}", options_.prompt_file.empty() ? "prompt" : "'" + options_.prompt_file + "'",
             error.what());
      }
      return prompt;
    }
    const std::vector<Token> tokens = tokens_of(options_, model_->config());
    session_.prompt(tokens);
    return fmt::format("{}", fmt::join(tokens, " "));
  }

  std::optional<std::string> next() {
    if (!by_token_) return session_.next();
    const auto token = session_.next_token();
    return token ? std::optional(fmt::format(" {}", *token)) : std::nullopt;
  }

  void note_length() {
    if (noted_ || options_.quiet || !session_.beyond_trained_length()) return;
    noted_ = true;
    fmt::print(
        stderr,
        "{}ecp: note: beyond the trained length of {} tokens; positions are held at the last trained block\n",
        ::isatty(STDERR_FILENO) == 1 ? "\n" : "", model_->config().sequence);
  }

  [[nodiscard]] double rate(double seconds) const {
    return seconds > 0 ? static_cast<double>(generated()) / seconds : 0;
  }
  /// By this program; a session that was loaded may have seen more.
  [[nodiscard]] std::uint64_t generated() const { return session_.generated() - generated_before_; }

  [[nodiscard]] std::string result(const std::string& prompt, const std::string& text, double seconds) const {
    const nlohmann::ordered_json json = {{"prompt", prompt},
                                         {"text", text},
                                         {"prompt_tokens", session_.position() - generated()},
                                         {"generated_tokens", generated()},
                                         {"seconds", seconds},
                                         {"tokens_per_second", rate(seconds)}};
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  void report(double prompt_seconds, double seconds) const {
    if (options_.quiet) return;
    const std::string memory =
        model_->config().is_latent()
            ? fmt::format("{:.3g} s a token", rate(seconds) > 0 ? 1 / rate(seconds) : 0)
            : "cache " + format_bytes(session_.cache_bytes());
    fmt::print(stderr, "ecp: {} tokens after {} of prompt ({:.2f} s): {:.1f} tokens/s; {}\n", generated(),
               session_.position() - generated(), prompt_seconds, rate(seconds), memory);
  }

  const Options& options_;
  std::shared_ptr<const Model> model_;
  Session session_;
  std::uint64_t generated_before_;
  bool by_token_ = false, noted_ = false;
};

/// Wrong values of options are told by the options' names, and end the program as all wrong usage does.
void require_sampling(const Sampling& sampling) {
  try {
    sampling.validate();
  } catch (const Error& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(message.find(':')), '_', '-');
    throw CLI::ValidationError("--" + message);
  }
}

void generate(Options& options, const LoadModel& load) {
  if (!options.dash.empty() && options.dash != "-")
    throw CLI::ValidationError("unexpected argument", options.dash);
  if (!options.stream.empty()) {
    require(!options.json, "--json: expected no --stream forever with it");
    options.sampling.max_tokens = -1;
    options.sampling.ignore_end_of_text = true;
  }
  require_sampling(options.sampling);
  if (!options.save_session.empty()) {
    require_output("--save-session", options.save_session, "", with_checkpoint(options.checkpoint, {}));
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away shows in the result of writing
  Run run(options, load);
  if (options.interactive) return run();  // where Ctrl-C ends a text, not the program
  const StopRequests stop_requests;       // the first Ctrl-C ends generation between two tokens
  run();
}

}  // namespace

void add_generate(CLI::App& app, LoadModel load) {
  auto options = std::make_shared<Options>();
  Sampling& sampling = options->sampling;
  CLI::App* command = app.add_subcommand("generate", "Generate text from a checkpoint");
  command->add_option("CHECKPOINT", options->checkpoint, "Checkpoint or run folder")->required();
  auto* dash =
      command->add_option("STDIN", options->dash, "-: read the prompt from standard input")->type_name("[-]");
  auto* prompt = command->add_option("--prompt", options->prompt, "Text to go on from; none: a new document");
  auto* file = command->add_option("--prompt-file", options->prompt_file, "Read the prompt from a file")
                   ->type_name("FILE");
  auto* tokens =
      command->add_option("--tokens", options->tokens, "Prompt as token ids, e.g. 5,17; prints ids")
          ->delimiter(',')
          ->check(whole_number(0))
          ->allow_extra_args(false);
  const std::vector<CLI::Option*> prompts = {dash, prompt, file, tokens};
  for (CLI::Option* one : prompts) {
    for (CLI::Option* other : prompts) {
      if (one != other) one->excludes(other);
    }
  }
  command->add_option("--max-tokens", sampling.max_tokens, "Tokens to generate; -1: until the text ends")
      ->capture_default_str()
      ->check(whole_number(-1));
  command->add_option("--temperature", sampling.temperature, "0: always the most probable token")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "Only the K most probable tokens; 0: all")
      ->capture_default_str()
      ->check(whole_number(0));
  command
      ->add_option("--top-p", sampling.top_p,
                   "Only the most probable tokens with this share together; 1: all")
      ->capture_default_str();
  command
      ->add_option("--min-p", sampling.min_p,
                   "Only tokens this probable relative to the most probable; 0: all")
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", sampling.repetition_penalty,
                   "Above 1: recent tokens become less probable")
      ->capture_default_str();
  command->add_option("--repetition-window", sampling.repetition_window, "How many tokens are recent")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--seed", sampling.seed, "The same seed gives the same text")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--stop", sampling.stop, "End before this text; may be given several times")
      ->allow_extra_args(false);
  command->add_option("--stream", options->stream, "'forever': go on until Ctrl-C, past the ends of texts")
      ->check(CLI::IsMember({"forever"}))
      ->excludes("--max-tokens");
  auto* interactive = command->add_flag("--interactive", options->interactive,
                                        "Write in turns with the model: line editing, Ctrl-C stops a text");
  command
      ->add_option("--load-session", options->load_session,
                   "Go on from a session that was saved, with the options given here")
      ->check(CLI::ExistingFile)
      ->type_name("FILE");
  auto* save = command
                   ->add_option("--save-session", options->save_session,
                                "Write the session at the end, to be gone on from")
                   ->type_name("FILE");
  for (CLI::Option* one : {dash, tokens, save}) interactive->excludes(one);
  command->add_option("--threads", options->threads, "0: all available CPUs")
      ->capture_default_str()
      ->check(whole_number(0, most_threads));
  command->add_flag("--json", options->json, "Print one JSON object at the end")->excludes(interactive);
  command->add_flag("--quiet", options->quiet, "No figures and notes on standard error");
  command->footer(
      "perceiver_ar, double, split and compressed have no cache: LibTorch computes their window anew for\n"
      "each token.\n\n"
      "Examples:\n"
      "  ecp generate runs/austen --prompt 'It is a truth' --max-tokens 200\n"
      "  ecp generate runs/austen --prompt-file chapter.txt --temperature 0.7 --top-p 0.9 --seed 7\n"
      "  echo 'Dear Jane,' | ecp generate runs/austen - --stop 'Yours'\n"
      "  ecp generate runs/austen --stream forever\n"
      "  ecp generate runs/austen --prompt-file book.txt --max-tokens 0 --save-session book.session\n"
      "  ecp generate runs/austen --load-session book.session --prompt ' And then'\n"
      "  ecp generate runs/austen --interactive");
  command->callback([options, load = std::move(load)] { generate(*options, load); });
}

}  // namespace ecp::cli
