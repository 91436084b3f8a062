// ecp generate --interactive: a person and a model write a text in turns.
#pragma once

#include <memory>

#include "ecp/runtime/model.h"

namespace ecp::cli {

/// Goes on from `session`, which may have seen a prompt: a line typed is added to the text, the model writes
/// on, Ctrl-C stops it. Lines that begin with a slash are commands. Returns at the end of input or /quit.
/// `quiet`: no greeting and no figures.
void write_in_turns(const std::shared_ptr<const Model>& model, Session session, bool quiet);

}  // namespace ecp::cli
