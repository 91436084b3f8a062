#include "ecp/cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <iostream>
#include <system_error>

#include "ecp/base/interrupt.h"

namespace ecp::cli {
namespace {

constexpr int most_lines = 1000;  // of the history

/// libedit asks for the prompt by a function without arguments.
std::string shown_prompt;
char* prompt_of(EditLine*) { return shown_prompt.data(); }

/// While it lives, requests to stop come only where they are waited for: one that came between a look at
/// `stop_requested` and a read that blocks would be noticed only after the next key.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    ::sigemptyset(&held);
    ::sigaddset(&held, SIGINT);
    ::sigaddset(&held, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &held, &before);
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  static inline sigset_t before;
};

/// Bytes in the queue that were typed before the terminal was the editor's, as while a model writes.
int typed_before = 0;

/// Reads one character for libedit: 1, 0 at the end, −1 on a request to stop.
///
/// A Ctrl-D that was typed before stands in the queue as a zero byte. libedit would take that for its command
/// that quotes the next character: it binds the codes of keys that the terminal doesn't have, which are zero.
/// One that is typed now is nothing (Ctrl-Space).
int read_character(EditLine*, wchar_t* character) {
  std::mbstate_t state{};
  while (true) {
    if (stop_requested() != 0) return -1;
    pollfd keyboard{STDIN_FILENO, POLLIN, 0};
    if (::ppoll(&keyboard, 1, nullptr, &HeldSignals::before) < 0) continue;
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return 0;
    const bool before = typed_before > 0;
    if (before) --typed_before;
    if (byte == '\0') {
      if (!before) continue;
      byte = '\x04';
    }
    const std::size_t length = std::mbrtowc(character, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-2)) continue;             // not whole yet
    if (length == static_cast<std::size_t>(-1)) *character = 0xFFFD;  // not one of this locale
    return 1;
  }
}

}  // namespace

struct LineEditor::Terminal {
  explicit Terminal(Path history_path) : path(std::move(history_path)) {
    // Characters are those of the terminal's locale; where that knows bytes only, UTF-8 is the better guess.
    if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    editor = ::el_init("ecp", stdin, stdout, stderr);
    history = ::history_init();
    require(editor != nullptr && history != nullptr, "the line editor can't be started on this terminal");
    HistEvent event;
    ::history(history, &event, H_SETSIZE, most_lines);
    ::history(history, &event, H_SETUNIQUE, 1);
    ::el_set(editor, EL_PROMPT, prompt_of);
    ::el_set(editor, EL_GETCFN, read_character);
    ::el_set(editor, EL_EDITOR, "emacs");
    ::el_set(editor, EL_HIST, ::history, history);
    ::el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    ::el_source(editor, nullptr);  // the user's ~/.editrc
    if (!path.empty()) ::history(history, &event, H_LOAD, path.c_str());
  }
  ~Terminal() {
    save();
    ::history_end(history);
    ::el_end(editor);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// A history that can't be written is no reason to fail.
  void save() const {
    if (path.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    const mode_t before = ::umask(S_IRWXG | S_IRWXO);  // what was typed is the user's own
    HistEvent event;
    ::history(history, &event, H_SAVE, path.c_str());
    ::umask(before);
  }

  Path path;
  EditLine* editor = nullptr;
  History* history = nullptr;
};

LineEditor::LineEditor(Path history) {
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) {
    terminal_ = std::make_unique<Terminal>(std::move(history));
  }
}

LineEditor::~LineEditor() = default;

Line LineEditor::read(const std::string& prompt) {
  if (terminal_ == nullptr) {
    Line line{Line::Kind::text};
    if (!std::getline(std::cin, line.text)) line.kind = Line::Kind::end;
    if (stop_requested() != 0) line.kind = Line::Kind::interrupted;
    return line;
  }
  shown_prompt = prompt;
  int count = 0;
  const HeldSignals held;
  // The terminal is the editor's before the prompt is seen, so that what is typed after it comes to the
  // editor.
  ::el_set(terminal_->editor, EL_PREP_TERM, 1);
  if (::ioctl(STDIN_FILENO, FIONREAD, &typed_before) != 0) typed_before = 0;
  const char* text = ::el_gets(terminal_->editor, &count);
  if (stop_requested() != 0) {
    ::el_reset(terminal_->editor);
    return {Line::Kind::interrupted};
  }
  if (text == nullptr || count <= 0) return {Line::Kind::end};
  std::string line(text, static_cast<std::size_t>(count));
  if (line.back() == '\n') line.pop_back();
  if (!line.empty()) {
    HistEvent event;
    ::history(terminal_->history, &event, H_ENTER, line.c_str());
  }
  return {Line::Kind::text, std::move(line)};
}

Path history_file() {
  if (const char* named = std::getenv("ECP_HISTORY")) return named;
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return Path(state) / "ecp" / "history";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? Path(home) / ".local" / "state" / "ecp" / "history" : Path();
}

}  // namespace ecp::cli
