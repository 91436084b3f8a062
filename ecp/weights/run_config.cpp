#include "ecp/weights/run_config.h"

#include "ecp/config/config_file.h"

namespace ecp {

std::optional<Config> config_of_run(const Checkpoint& checkpoint) {
  const Path path =
      std::filesystem::absolute(checkpoint.folder()).parent_path().parent_path() / "config.toml";
  if (!std::filesystem::exists(path)) return std::nullopt;
  return read_config(path);
}

}  // namespace ecp
