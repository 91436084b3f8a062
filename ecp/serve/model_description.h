// What a client is told of the served model: an object of OpenAI's list of models, and of ours what its
// attention sees and how long its texts can be.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "ecp/config/model_config.h"
#include "ecp/serve/completion_request.h"

namespace ecp::serve {

/// The model as clients call it, `created` in seconds of Unix time. Fails as `stream_reach` does.
nlohmann::ordered_json model_description(const ModelConfig& config, const std::string& name,
                                         std::int64_t created, const CompletionLimits& limits);

}  // namespace ecp::serve
