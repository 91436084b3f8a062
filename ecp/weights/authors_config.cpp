#include "ecp/weights/authors_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "ecp/base/error.h"
#include "ecp/config/config_file.h"

namespace ecp {
namespace {

/// What tells one architecture from the others, and what it needs besides the sizes of all.
struct Architecture {
  std::string_view name;
  std::string_view only_it_has;  // a part of the names of its tensors; empty: nothing
  std::array<const char*, 2> needs;
};
constexpr std::array<Architecture, 5> architectures = {{
    {"ecp", ".0.fn.to_out_0.", {"block", ""}},
    {"compressed", ".0.fn.projection_hist.", {"latents", "compressed_history"}},
    {"perceiver_ar", ".0.fn.w_out.", {"latents", ""}},
    {"double", "", {"latents", ""}},
    {"split", "", {"latents", "history_segment"}},
}};

/// What a user might give, for messages.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> examples = {{
    {"architecture", "double"},
    {"heads", "6"},
    {"sequence", "2048"},
    {"block", "256"},
    {"latents", "1024"},
    {"history_segment", "512"},
    {"compressed_history", "256"},
}};

constexpr std::int64_t longest_history = std::int64_t{1} << 40;

using Value = decltype(RawValue::value);

class Facts {
 public:
  explicit Facts(const AuthorsWeights& weights) : weights_(weights) {}

  ModelConfig resolve(const std::vector<std::string>& overrides) {
    know("preset", std::string("paper"), "the authors' models are");
    if (weights_.metadata.contains("architecture")) {
      read_metadata();
    } else {
      read_tensors();
    }
    for (const std::string& text : overrides) add_override(text);
    conclude();
    require_all();
    apply_preset(config_);
    for (const auto& [key, fact] : facts_) set(key, fact);
    config_.validate();
    return config_;
  }

 private:
  struct Fact {
    Value value;
    std::string source;  // "the shape of 'token_emb.weight' says"; empty: --set
  };

  /// Sets the field at once, so that what isn't in its range is refused before anything is computed with it.
  void know(const std::string& key, Value value, std::string source) {
    Fact& fact = facts_[key];
    fact = {std::move(value), std::move(source)};
    set(key, fact);
  }
  void know_residual() {
    know("compressed_residual", std::string("authors"), "the program that trained it has");
  }
  [[nodiscard]] std::optional<std::int64_t> number(const std::string& key) const {
    const auto found = facts_.find(key);
    if (found == facts_.end()) return std::nullopt;
    const auto* value = std::get_if<std::int64_t>(&found->second.value);
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  void set(const std::string& key, const Fact& fact) {
    assign(find_field(fields_, "model", key, weights_.file), "model",
           {fact.value, fact.source.empty() ? "--set" : weights_.file});
  }

  // Metadata

  std::string metadata_text(const std::string& key) const {
    const auto found = weights_.metadata.find(key);
    require(found != weights_.metadata.end(), "{}: expected '{}' in the file's metadata", weights_.file, key);
    return found->second;
  }
  std::int64_t metadata_number(const std::string& key) const {
    const std::string text = metadata_text(key);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    require(error == std::errc() && end == text.data() + text.size(),
            "{}: metadata '{}': expected a whole number, got '{}'", weights_.file, key, text);
    return value;
  }

  void read_metadata() {
    const std::string architecture = metadata_text("architecture");
    const auto copy = [&](const std::string& ours, const std::string& theirs) {
      know(ours, metadata_number(theirs), "the file's metadata says");
    };
    know("architecture", architecture, "the file's metadata says");
    for (const char* key : {"vocab", "dim", "layers", "heads", "sequence"}) copy(key, key);
    for (const Architecture& known : architectures) {
      if (known.name != architecture) continue;
      for (const std::string key : known.needs) {
        if (key == "block") copy(key, key);
        if (key == "latents") copy(key, "latent");
        if (key == "compressed_history") {
          copy(key, "compressed");
          know_residual();
        }
        if (key == "history_segment") read_segments();
      }
    }
  }

  /// The authors' program is told how many segments the history has.
  void read_segments() {
    const std::int64_t history = *number("sequence") - *number("latents"),
                       segments = metadata_number("history_segments");
    require(segments >= 1 && history >= 1 && history % segments == 0,
            "{}: metadata 'history_segments': expected a divisor of the history of {} rows, got {}",
            weights_.file, history, segments);
    know("history_segment", history / segments, "the file's metadata says");
  }

  // Tensors

  [[nodiscard]] const TensorView* find(const std::string& name, std::size_t dimensions) const {
    const auto found = weights_.tensors.find(name);
    return found != weights_.tensors.end() && found->second.shape.size() == dimensions ? &found->second
                                                                                       : nullptr;
  }

  void read_tensors() {
    const auto shape = [](std::string_view name) { return fmt::format("the shape of '{}' says", name); };
    const TensorView* const embedding = find("token_emb.weight", 2);
    require(embedding != nullptr, "{}: expected the authors' tensor 'token_emb.weight' of shape [vocab, dim]",
            weights_.file);
    const std::int64_t dim = embedding->shape[1];
    know("vocab", embedding->shape[0], shape("token_emb.weight"));
    know("dim", dim, shape("token_emb.weight"));
    read_names();
    for (const auto& [name, factor] :
         {std::pair("layers.0.0.fn.pos_emb.freqs", 2), std::pair("layers.0.0.fn.norm.weight", 1)}) {
      const TensorView* const head = find(name, 1);  // the width of a head, or half of it
      if (head == nullptr || head->shape[0] == 0) continue;
      const std::int64_t width = head->shape[0];
      require(width <= dim && dim % (factor * width) == 0,
              "{}: '{}' has {} values, which doesn't fit a width of {}", weights_.file, name, width, dim);
      know("heads", dim / (factor * width), shape(name));
    }
    const std::string up = "layers.0.1.fn.net.0.weight";
    if (const TensorView* const inner = find(up, 2); inner != nullptr && inner->shape[0] != 4 * dim) {
      know("ffn_dim", inner->shape[0], shape(up));
    }
    const std::string history = "layers.0.0.fn.projection_hist.weight";
    if (const TensorView* const projection = find(history, 2)) {
      know("compressed_history", projection->shape[0], shape(history));
      know_residual();
      history_ = projection->shape[1];
      require(*history_ <= longest_history, "{}: '{}' has an extent of {}", weights_.file, history,
              *history_);
    }
  }

  void read_names() {
    std::int64_t layers = 0;
    for (const auto& [name, view] : weights_.tensors) {
      if (!name.starts_with("layers.")) continue;
      std::int64_t layer = -1;
      const char* const digits = name.data() + std::string_view("layers.").size();
      const auto [end, error] = std::from_chars(digits, name.data() + name.size(), layer);
      if (error == std::errc() && layer >= 0 && layer < INT64_MAX) layers = std::max(layers, layer + 1);
    }
    know("layers", layers, "its tensors' names say");
    for (const Architecture& known : architectures) {
      const bool is_it =
          !known.only_it_has.empty() &&
          std::any_of(weights_.tensors.begin(), weights_.tensors.end(), [&](const auto& tensor) {
            return tensor.first.find(known.only_it_has) != std::string::npos;
          });
      if (is_it) return know("architecture", std::string(known.name), "its tensors' names say");
    }
  }

  // The user, and what follows

  void add_override(const std::string& text) {
    const Override given = split_override(text);
    require(given.section == "model", "--set: expected model.key=value, got '{}'", text);
    const Field& field = find_field(fields_, "model", given.key, "--set");
    Value value = parse_override(field, "model", given.value).value;
    const auto known = facts_.find(given.key);
    if (known != facts_.end() && known->second.value != value) {
      fail("{}: --set {}: {} {}", weights_.file, text,
           known->second.source.empty() ? "was given before as" : known->second.source,
           std::visit([](const auto& known_value) { return as_text(known_value); }, known->second.value));
    }
    if (known == facts_.end()) know(given.key, std::move(value), "");
  }

  static std::string as_text(const std::string& value) { return value; }
  template <class T>
  static std::string as_text(const T& value) {
    if constexpr (std::is_arithmetic_v<T>) return fmt::format("{}", value);
    return "a list";
  }

  void conclude() {
    const auto sequence = number("sequence"), latents = number("latents");
    if (!history_) return;
    constexpr const char* source = "the width of the history's projection says";
    if (sequence && !latents) know("latents", *sequence - *history_, source);
    if (latents && !sequence) know("sequence", *latents + *history_, source);
    require(!sequence || !latents || *sequence - *latents == *history_,
            "{}: expected model.sequence - model.latents = {}, the width of the history's projection, got {} "
            "- {}",
            weights_.file, *history_, sequence.value_or(0), latents.value_or(0));
  }

  void require_all() {
    std::vector<std::string> missing;
    std::string options;
    const auto need = [&](const std::string& key) {
      if (key.empty() || facts_.contains(key) || (key == "latents" && history_)) return;
      missing.push_back("model." + key);
      const auto* const example = std::find_if(examples.begin(), examples.end(),
                                               [&](const auto& candidate) { return candidate.first == key; });
      options += fmt::format(" --set model.{}={}", key, example->second);
    };
    for (const char* key : {"architecture", "heads", "sequence"}) need(key);
    // Those whose names don't tell them have latent rows.
    if (!facts_.contains("architecture")) need("latents");
    for (const Architecture& known : architectures) {
      if (facts_.contains("architecture") && known.name == config_.architecture) {
        for (const char* key : known.needs) need(key);
      }
    }
    require(missing.empty(), "{}: the weights don't tell {}: give {}, such as{}", weights_.file,
            fmt::join(missing, ", "), missing.size() == 1 ? "it" : "them", options);
  }

  const AuthorsWeights& weights_;
  ModelConfig config_;
  std::vector<Field> fields_ = FieldList(config_).fields;
  std::map<std::string, Fact> facts_;
  std::optional<std::int64_t> history_;  // c, where a tensor has it
};

}  // namespace

ModelConfig authors_config(const AuthorsWeights& weights, const std::vector<std::string>& overrides) {
  return Facts(weights).resolve(overrides);
}

}  // namespace ecp
