#include "ecp/cli/interactive.h"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/suggest.h"
#include "ecp/cli/line_editor.h"
#include "ecp/cli/output.h"
#include "ecp/cli/terminal.h"

namespace ecp::cli {
namespace {

template <class Number>
Number number(std::string_view name, const std::string& text) {
  std::size_t used = 0;
  Number value{};
  try {
    if constexpr (std::is_floating_point_v<Number>) {
      value = std::stof(text, &used);
    } else {
      value = static_cast<Number>(std::stoll(text, &used));
    }
  } catch (const std::exception&) {
    used = 0;
  }
  require(used > 0 && used == text.size(), "{}: expected a number, got '{}'", name, text);
  return value;
}

/// A field of the sampling that /set changes.
struct Setting {
  const char* name;
  std::function<std::string(const Sampling&)> show;
  std::function<void(Sampling&, const std::string&)> set;
};

template <class Value>
Setting setting(const char* name, Value Sampling::*field) {
  return {name, [field](const Sampling& sampling) { return fmt::format("{}", sampling.*field); },
          [name, field](Sampling& sampling, const std::string& text) {
            sampling.*field = number<Value>(name, text);
          }};
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {
      setting("temperature", &Sampling::temperature),
      setting("top-k", &Sampling::top_k),
      setting("top-p", &Sampling::top_p),
      setting("min-p", &Sampling::min_p),
      setting("repetition-penalty", &Sampling::repetition_penalty),
      setting("presence-penalty", &Sampling::presence_penalty),
      setting("frequency-penalty", &Sampling::frequency_penalty),
      setting("max-tokens", &Sampling::max_tokens),
      setting("seed", &Sampling::seed),
  };
  return all;
}

constexpr std::string_view help =
    "A line is added to the text after a line end, or right where the text stands if it begins with a "
    "space;\n"
    "one that ends in a backslash goes on in the next. Then the model writes. An empty line: it writes on.\n"
    "Ctrl-C stops the model, Ctrl-D ends.\n"
    "  /again            another version of what the model wrote last\n"
    "  /undo             takes the last line and what followed it back\n"
    "  /new              a new text\n"
    "  /set NAME VALUE   changes how tokens are chosen; /set alone shows it\n"
    "  /save FILE        writes the session, for /load or --load-session\n"
    "  /load FILE        goes on from a session that was saved\n"
    "  /help, /quit      a line that shall begin with a slash begins with two\n";

const std::vector<std::string> commands = {"/again", "/undo", "/new",  "/set",
                                           "/save",  "/load", "/help", "/quit"};

class Turns {
 public:
  Turns(std::shared_ptr<const Model> model, Session session, bool quiet)
      : model_(std::move(model)),
        session_(std::move(session)),
        sampling_(session_.sampling()),
        quiet_(quiet),
        editor_(history_file()) {}

  void operator()() {
    if (!quiet_) {
      fmt::print(stderr,
                 "ecp: {}, trained length {}; it writes on from what you type. /help tells the rest.\n",
                 model_->config().architecture, model_->config().sequence);
    }
    if (session_.position() > 0) write();
    while (!reader_gone_) {
      const auto line = next_line();
      if (!line) return;
      try {
        if (line->starts_with("/") && !line->starts_with("//")) {
          if (!command(*line)) return;
        } else {
          say(line->starts_with("//") ? line->substr(1) : *line);
        }
      } catch (const Error& error) {
        fmt::print(stderr, "ecp: error: {}\n", error.what());
      }
    }
  }

 private:
  /// What is typed up to a line that doesn't end in a backslash; nothing at the end.
  std::optional<std::string> next_line() {
    std::string whole;
    while (true) {
      const Line line = editor_.read(whole.empty() ? "> " : "| ");
      if (line.kind == Line::Kind::interrupted) {
        check_terminated();
        StopRequests::forget();
        fmt::print("\n");
        whole.clear();
        continue;
      }
      if (line.kind == Line::Kind::end) {
        if (!quiet_) fmt::print("\n");
        return std::nullopt;
      }
      if (!line.text.ends_with('\\')) return whole + line.text;
      whole += line.text.substr(0, line.text.size() - 1) + "\n";
    }
  }

  void say(const std::string& line) {
    remember(before_line_);
    if (!line.empty()) {
      const bool right_here = line.starts_with(' ') || session_.position() == 0 || at_line_end_;
      session_.prompt(right_here ? line : "\n" + line);
    }
    write();
  }

  /// Lets the model write until its end, or Ctrl-C.
  void write() {
    remember(before_text_);
    session_.set_sampling(sampling_);
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const std::uint64_t generated = session_.generated();
    int signal = 0;
    at_line_end_ = false;
    while ((signal = stop_requested()) == 0) {
      const auto piece = session_.next();
      if (!piece) break;
      at_line_end_ = piece->ends_with('\n');
      if (!show(*piece) && stop_requested() == 0) {
        reader_gone_ = true;
        return;
      }
    }
    check_terminated();
    if (signal != 0) StopRequests::forget();
    if (!at_line_end_) show("\n");
    const std::chrono::duration<double> time = Clock::now() - begin;
    const auto tokens = static_cast<double>(session_.generated() - generated);
    if (quiet_) return;
    fmt::print(stderr, "ecp: {}{} tokens, {:.1f} tokens/s; {} seen, cache {}{}\n",
               signal != 0 ? "stopped after " : "", tokens, time.count() > 0 ? tokens / time.count() : 0.0,
               session_.position(), format_bytes(session_.cache_bytes()),
               session_.beyond_trained_length() ? "; beyond the trained length" : "");
  }

  /// Ctrl-C ends a text or a line, SIGTERM the program.
  static void check_terminated() {
    if (stop_requested() == SIGTERM) throw Interrupted(SIGTERM);
  }

  bool command(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string rest = space == line.npos ? "" : line.substr(line.find_first_not_of(' ', space));
    if (name == "/quit") return false;
    if (name == "/help") {
      fmt::print("{}", help);
    } else if (name == "/again") {
      go_back(before_text_, "the model has written nothing yet");
      ++sampling_.seed;
      write();
    } else if (name == "/undo") {
      go_back(before_line_, "there is no line to take back, or it was taken back");
      before_text_.reset();
      before_line_.reset();
    } else if (name == "/new") {
      start(model_->session(sampling_));
    } else if (name == "/set") {
      set(rest);
    } else if (name == "/save") {
      require(!rest.empty(), "/save: expected a file");
      session_.save(rest);
    } else if (name == "/load") {
      require(!rest.empty(), "/load: expected a file");
      start(model_->restore(rest));
      sampling_ = session_.sampling();
    } else {
      fail("unknown command '{}'{}", name, did_you_mean(name, commands));
    }
    return true;
  }

  void start(Session session) {
    session_ = std::move(session);
    before_text_.reset();
    before_line_.reset();
    at_line_end_ = false;
  }

  void set(const std::string& what) {
    if (what.empty()) {
      for (const Setting& one : settings()) fmt::print("  {:<20}{}\n", one.name, one.show(sampling_));
      return;
    }
    const std::size_t space = what.find(' ');
    const std::string name = what.substr(0, space);
    std::vector<std::string> names;
    for (const Setting& one : settings()) {
      names.emplace_back(one.name);
      if (one.name != name) continue;
      require(space != what.npos, "{}: expected a value after it", name);
      Sampling changed = sampling_;
      one.set(changed, what.substr(space + 1));
      changed.validate();
      sampling_ = changed;
      return;
    }
    fail("unknown setting '{}'{}", name, did_you_mean(name, names));
  }

  /// Where the text stood before something.
  struct Place {
    Session session;
    bool at_line_end;
  };

  /// A model without a cache keeps no such places.
  void remember(std::optional<Place>& place) const {
    if (!model_->config().is_latent()) place.emplace(Place{session_.fork(), at_line_end_});
  }

  void go_back(const std::optional<Place>& place, const char* otherwise) {
    require(!model_->config().is_latent(), "architecture {} has no cache to go back to",
            model_->config().architecture);
    require(place.has_value(), "{}", otherwise);
    session_ = place->session.fork();
    at_line_end_ = place->at_line_end;
  }

  std::shared_ptr<const Model> model_;
  Session session_;
  Sampling sampling_;
  bool quiet_;
  StopRequests stop_requests_;
  LineEditor editor_;
  bool at_line_end_ = false;
  bool reader_gone_ = false;  // nobody reads what is written any more
  std::optional<Place> before_line_, before_text_;
};

}  // namespace

void write_in_turns(const std::shared_ptr<const Model>& model, Session session, bool quiet) {
  require(model->tokenizer() != nullptr, "--interactive: this model has no tokenizer, so there is no text");
  Turns(model, std::move(session), quiet)();
}

}  // namespace ecp::cli
