#include "ecp/kernels/isa.h"

#include "ecp/kernels/targets.h"

#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "ecp/base/error.h"
#include "ecp/base/system.h"
#include "ecp/kernels/amx.h"

namespace ecp::kernels {
namespace {

/// The Highway targets that `isa` allows.
std::int64_t targets_of(Isa isa) {
  std::int64_t targets = HWY_EMU128 | HWY_SCALAR;
  if (isa >= Isa::avx2) targets |= HWY_AVX2;
  if (isa >= Isa::avx512) targets |= HWY_AVX3;
  return targets;
}

Isa best() {
  Isa found = Isa::baseline;
  for (const Isa isa : all_isas) {
    if (supported(isa)) found = isa;
  }
  return found;
}

struct Choice {
  Isa isa;
  bool forced;
};

Choice choose() {
  const char* wanted = std::getenv("ECP_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return {best(), false};
  std::string names;
  for (const Isa isa : all_isas) {
    if (wanted == name_of(isa)) {
      require(supported(isa), "ECP_CPU_ISA={}: this machine ({}) can't run it; its best is {}", wanted,
              cpu_name(), name_of(best()));
      hwy::DisableTargets(~targets_of(isa));
      return {isa, true};
    }
    names += (names.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  fail("ECP_CPU_ISA: expected one of {}; got '{}'", names, wanted);
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

std::string_view name_of(Isa isa) {
  constexpr std::array<std::string_view, all_isas.size()> names = {"baseline", "avx2", "avx512",
                                                                   "avx512_bf16", "amx_bf16"};
  return names[static_cast<std::size_t>(isa)];
}

bool supported(Isa isa) {
  if (isa == Isa::baseline) return true;
  static const std::vector<std::string> features = cpu_features();
  static const std::int64_t targets = hwy::SupportedTargets();
  const auto has = [](std::string_view name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  };
  switch (isa) {
    case Isa::baseline:
      return true;
    case Isa::avx2:
      return (targets & HWY_AVX2) != 0;
    case Isa::avx512:
      return (targets & HWY_AVX3) != 0;
    case Isa::avx512_bf16:
      return (targets & HWY_AVX3) != 0 && has("avx512_vnni") && has("avx512_bf16");
    case Isa::amx_bf16:
      return supported(Isa::avx512_bf16) && has("amx_bf16") && amx::permitted();
  }
  return false;
}

/// What a test switched to; none: −1.
std::atomic<int> switched_to = -1;

Isa isa() { return choice().isa; }

Isa isa_in_use() {
  const int other = switched_to.load(std::memory_order_relaxed);
  return other < 0 ? isa() : static_cast<Isa>(other);
}

bool isa_forced() { return choice().forced; }

void use_isa_for_test(Isa isa) {
  choice();
  require(supported(isa), "instruction set {}: this machine can't run it", name_of(isa));
  switched_to = static_cast<int>(isa);
  const std::int64_t targets = targets_of(isa);
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(targets);
}

}  // namespace ecp::kernels
