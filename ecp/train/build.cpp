#include <ATen/Version.h>
#include <fmt/format.h>

#include "ecp/base/system.h"
#include "ecp/base/version.h"
#include "ecp/train/training_state.h"

namespace ecp {

Build Build::current(std::int64_t threads) {
  std::string sets = fmt::format("{}", fmt::join(cpu_features(), " "));
  return {std::string(ecp::version()), std::string(ecp::commit()),
          sets + " (LibTorch " + at::get_cpu_capability() + ")", threads};
}

}  // namespace ecp
