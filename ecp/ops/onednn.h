// oneDNN's engine for this processor, and each thread's stream.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace ecp::ops {

inline const dnnl::engine& onednn_engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

inline dnnl::stream& onednn_stream() {
  static thread_local dnnl::stream own(onednn_engine());
  return own;
}

}  // namespace ecp::ops
