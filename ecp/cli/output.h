// What a program writes to standard output, its results.
#pragma once

#include <string_view>

namespace ecp::cli {

/// Writes `text` and flushes. False if nobody reads any more, or on a request to stop (base/interrupt.h),
/// when a piece of `text` may be lost. Throws Error where it can't be written for another reason, as on a
/// full disk.
bool show(std::string_view text);

/// The exit code of a program that did what it should: 0, or 1 with a message if something it printed got
/// lost.
int finish_output();

}  // namespace ecp::cli
