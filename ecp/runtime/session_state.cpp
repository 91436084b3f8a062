#include "ecp/runtime/session_state.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/text/json.h"
#include "ecp/text/utf8.h"

namespace ecp::runtime {
namespace {

using nlohmann::json;

constexpr std::array finishes{std::pair(Finish::none, "none"), std::pair(Finish::stop, "stop"),
                              std::pair(Finish::length, "length")};
constexpr std::uint64_t most_count = std::uint64_t{1} << 62;

/// Visits the fields of a Sampling that are single values, with their names in the file.
template <class S, class Visitor>
void visit(S& sampling, const Visitor& v) {
  v("temperature", sampling.temperature);
  v("top_k", sampling.top_k);
  v("top_p", sampling.top_p);
  v("min_p", sampling.min_p);
  v("repetition_penalty", sampling.repetition_penalty);
  v("repetition_window", sampling.repetition_window);
  v("presence_penalty", sampling.presence_penalty);
  v("frequency_penalty", sampling.frequency_penalty);
  v("seed", sampling.seed);
  v("max_tokens", sampling.max_tokens);
  v("ignore_end_of_text", sampling.ignore_end_of_text);
  v("document_break", sampling.document_break);
  v("logprobs", sampling.logprobs);
}

nlohmann::ordered_json sampling_json(const Sampling& sampling) {
  nlohmann::ordered_json object;
  visit(sampling, [&](const char* name, const auto& value) { object[name] = value; });
  object["stop"] = sampling.stop;
  object["logit_bias"] = nlohmann::ordered_json::array();
  for (const auto& [token, bias] : sampling.logit_bias) object["logit_bias"].push_back({token, bias});
  return object;
}

/// Reads members one by one.
class Reader {
 public:
  Reader(const json& object, std::string_view name) : object_(object), name_(name) {}

  void operator()(const char* key, bool& value) const { value = text::flag_member(object_, key, name_); }
  void operator()(const char* key, std::uint64_t& value) const {
    value = text::count_member(object_, key, name_);
  }
  void operator()(const char* key, std::int64_t& value) const {
    const json& found = at(key);
    require(found.is_number_integer() && found >= -1 && found <= most_count,
            "{}: {}: expected a whole number, at least -1", name_, key);
    value = found.get<std::int64_t>();
  }
  void operator()(const char* key, float& value) const {
    const json& found = at(key);
    require(found.is_number(), "{}: {}: expected a number", name_, key);
    value = found.get<float>();
  }
  void operator()(const char* key, std::string& value) const {
    require(at(key).is_string(), "{}: {}: expected a string", name_, key);
    value = at(key).get<std::string>();
  }
  [[nodiscard]] std::int64_t count(const char* key) const {
    return static_cast<std::int64_t>(text::count_member(object_, key, name_, most_count));
  }
  [[nodiscard]] Token token(const json& value, const char* key) const {
    require(value.is_number_unsigned() && value <= UINT32_MAX, "{}: {}: expected tokens", name_, key);
    return value.get<Token>();
  }
  [[nodiscard]] const json& at(const char* key) const {
    const auto found = object_.find(key);
    require(found != object_.end(), "{}: expected a member \"{}\"", name_, key);
    return *found;
  }
  [[nodiscard]] const json& list(const char* key) const { return text::array_member(object_, key, name_); }
  [[nodiscard]] std::string_view name() const { return name_; }

 private:
  const json& object_;
  std::string_view name_;
};

Sampling parse_sampling(const Reader& read) {
  Sampling sampling;
  visit(sampling, read);
  for (const json& stop : read.list("stop")) {
    require(stop.is_string(), "{}: stop: expected strings", read.name());
    sampling.stop.push_back(stop.get<std::string>());
  }
  for (const json& bias : read.list("logit_bias")) {
    require(bias.is_array() && bias.size() == 2 && bias[1].is_number(),
            "{}: logit_bias: expected pairs of a token and a number", read.name());
    sampling.logit_bias.emplace_back(read.token(bias[0], "logit_bias"), bias[1].get<float>());
  }
  try {
    sampling.validate();
  } catch (const Error& error) {
    fail("{}: {}", read.name(), error.what());
  }
  return sampling;
}

std::vector<unsigned> bytes_of(std::string_view text) {
  return {reinterpret_cast<const unsigned char*>(text.data()),
          reinterpret_cast<const unsigned char*>(text.data()) + text.size()};
}

/// The beginning of a character, as a list of bytes.
std::string parse_character(const Reader& read) {
  std::string bytes;
  for (const json& byte : read.list("character")) {
    require(byte.is_number_unsigned() && byte <= 255, "{}: character: expected bytes", read.name());
    bytes += static_cast<char>(byte.get<unsigned>());
  }
  const Utf8Prefix prefix = utf8_prefix(bytes);
  require(bytes.empty() || (prefix.length == 0 && prefix.incomplete),
          "{}: character: expected the beginning of one", read.name());
  return bytes;
}

}  // namespace

std::string to_json(const SessionState& state) {
  const GenerationState& generation = state.generation;
  nlohmann::ordered_json object = {{"rows", state.rows},
                                   {"written", state.written},
                                   {"pending", nullptr},
                                   {"generated", generation.generated},
                                   {"since_prompt", generation.since_prompt}};
  if (state.pending) object["pending"] = *state.pending;
  for (const auto& [finish, name] : finishes) {
    if (finish == generation.finish) object["finish"] = name;
  }
  object["character"] = bytes_of(generation.character);
  object["held"] = generation.held;
  object["stopped"] = generation.stopped;
  object["counts"] = nlohmann::ordered_json::array();
  const std::map<Token, std::int64_t> sorted(generation.counts.begin(), generation.counts.end());
  for (const auto& [token, count] : sorted) object["counts"].push_back({token, count});
  object["sampling"] = sampling_json(generation.sampling);
  object["model"] = state.model;
  object["tokenizer"] = state.tokenizer;
  try {
    return object.dump();
  } catch (const json::exception&) {
    fail("a session with text that is not UTF-8 can't be saved");
  }
}

SessionState parse_session_state(std::string_view text, std::string_view name) {
  const json object = text::parse_object(text, name);
  const Reader read(object, name);
  SessionState state;
  state.model = text::string_member(object, "model", name);
  state.tokenizer = text::string_member(object, "tokenizer", name);
  state.rows = read.count("rows");
  state.written = read.count("written");
  require(state.rows <= state.written, "{}: expected rows {} <= written {}", name, state.rows, state.written);
  if (!read.at("pending").is_null()) state.pending = read.token(read.at("pending"), "pending");
  GenerationState& generation = state.generation;
  generation.generated = static_cast<std::uint64_t>(read.count("generated"));
  generation.since_prompt = read.count("since_prompt");
  const std::string finish = text::string_member(object, "finish", name);
  const auto* known =
      std::find_if(finishes.begin(), finishes.end(), [&](const auto& one) { return one.second == finish; });
  require(known != finishes.end(), "{}: finish: expected none, stop or length, got '{}'", name, finish);
  generation.finish = known->first;
  generation.character = parse_character(read);
  read("held", generation.held);
  read("stopped", generation.stopped);
  for (const json& count : read.list("counts")) {
    require(count.is_array() && count.size() == 2 && count[1].is_number_unsigned() && count[1] <= most_count,
            "{}: counts: expected pairs of a token and a count", name);
    generation.counts.emplace(read.token(count[0], "counts"), count[1].get<std::int64_t>());
  }
  generation.sampling = parse_sampling(Reader(text::object_member(object, "sampling", name), name));
  const std::int64_t most = generation.sampling.max_tokens;
  require(generation.finish != Finish::none || most < 0 || generation.since_prompt < most,
          "{}: since_prompt: expected less than max_tokens {}, got {}", name, most, generation.since_prompt);
  return state;
}

}  // namespace ecp::runtime
