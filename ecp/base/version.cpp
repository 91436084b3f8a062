#include "ecp/base/version.h"

namespace ecp {

std::string_view version() { return ECP_VERSION; }
std::string_view commit() { return ECP_COMMIT; }

}  // namespace ecp
