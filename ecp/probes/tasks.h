// The tasks behind `make_probe`, one file each. Zeros of the settings stand for what `make_probe` says.
#pragma once

#include <memory>

#include "ecp/probes/probe.h"

namespace ecp {

/// Passkey retrieval (Mohtashami and Jaggi 2023): digits stand after a mark, amid noise, and have to be
/// repeated after another mark. `items` digits (5). Training packs several keys into a sequence, one after
/// the other's answer; a question is about the last key.
std::unique_ptr<Probe> make_passkey(ProbeSettings settings);

/// Multi-query associative recall (Arora et al. 2023, "Zoology"): pairs of a key and a value stand together;
/// later some row holds a key again and has to give its value. `items` pairs (8).
std::unique_ptr<Probe> make_recall(ProbeSettings settings);

/// ListOps as in the Long Range Arena (Nangia and Bowman 2018, Tay et al. 2020): nested lists of digits under
/// MIN, MAX, MED (median, rounded down) and SM (sum modulo 10), at most ten deep with at most `items`
/// arguments (10), whose value is asked for. A distance is the expression's length in tokens. Structures are
/// drawn for a wanted length, while the Arena draws until a length fits.
std::unique_ptr<Probe> make_listops(ProbeSettings settings);

/// Its tokens above the digits.
namespace listops {
constexpr std::int64_t close = 10, minimum = 11, maximum = 12, median = 13, sum = 14, equals = 15,
                       padding = 16;
}

}  // namespace ecp
