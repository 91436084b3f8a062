#include "ecp/runtime/logit_source.h"

#include "ecp/base/error.h"

namespace ecp::runtime {

std::unique_ptr<LogitSource> LogitSource::fork() const {
  fail("this model's window is computed anew for each token: its sessions can't be forked");
}

void LogitSource::rewind(std::int64_t) {
  fail("this model's window is computed anew for each token: its sessions can't be rewound");
}

}  // namespace ecp::runtime
