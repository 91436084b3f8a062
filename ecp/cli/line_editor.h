// Lines from a person at a terminal, with editing and a history; from a file or pipe, just lines.
#pragma once

#include <memory>
#include <string>

#include "ecp/base/files.h"

namespace ecp::cli {

struct Line {
  enum class Kind { text, interrupted, end };  // interrupted: Ctrl-C; end: Ctrl-D or the file's end
  Kind kind = Kind::end;
  std::string text = {};  // without its line end
};

class LineEditor {
 public:
  /// `history`: a file that earlier lines are read from and these are written to at the end; empty: none.
  explicit LineEditor(Path history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line. `prompt` is shown on a terminal only.
  Line read(const std::string& prompt);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;  // null where standard input or output isn't one
};

/// Where the history of what was typed is kept: $XDG_STATE_HOME or ~/.local/state, ecp/history. Empty where
/// there is no such place, or ECP_HISTORY is set and empty; ECP_HISTORY names another file.
Path history_file();

}  // namespace ecp::cli
