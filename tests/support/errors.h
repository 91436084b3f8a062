// What a failing call says: EXPECT_EQ(error_of([&] { read_file(path); }), "...").
#pragma once

#include <functional>
#include <string>

#include "ecp/base/error.h"

namespace ecp::test {

/// The message of the Error that `work` throws; "" if it throws none.
inline std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace ecp::test
