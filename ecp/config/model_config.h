// What a model is: every choice a validated field, two presets that set them all.
//
// Source: arXiv 2412.06106 and its authors' program ("paper"); "modern" is the counterpart with today's
// choices (separate K and V that are not rotated, RMSNorm on queries and keys, SwiGLU, scaled normal
// initialisation).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace ecp {

/// Every choice that makes a model.
struct ModelConfig {
  std::string architecture = "ecp";  // which keys a query sees
  std::string preset = "modern";     // what the fields that weren't given come from

  std::int64_t vocab = 0;        // 0: taken from the tokenizer of the training data
  std::int64_t dim = 256;        // d
  std::int64_t layers = 4;       // L
  std::int64_t heads = 4;        // H; d_h = d / H must be even
  std::int64_t kv_heads = 0;     // H_kv, divides H; 0: H
  std::int64_t sequence = 1024;  // n, the trained length; any length ≥ 1 can be run
  std::int64_t block = 128;      // b, queries per block (half of the paper's segment s = 2b)
  std::int64_t lookback = 1;     // w, earlier blocks that a block sees
  bool shift_heads = false;      // half of the heads have their blocks moved by b/2
  bool causal = true;            // false: a classifier's rows see what comes after them too
  // 0: a share of n that the accessors below tell.
  std::int64_t latents = 0;                       // ℓ, the last rows of a window, which are trained
  std::int64_t history_segment = 0;               // s_h, divides the history c = n − ℓ
  std::int64_t compressed_history = 0;            // p, rows that the history becomes after layer 0
  std::string compressed_residual = "corrected";  // of a latent row in layer 0, or "authors"
  std::int64_t group = 0;                         // g, rows of a group
  std::int64_t window = 0;                        // w, keys that a row sees

  bool shared_kv = false;              // one projection for keys and values
  bool rotate_values = false;          // RoPE on the values as well (what shared_kv implies in the paper)
  std::string rope = "all";            // layers with rotary position embedding: none, first, all
  double rope_theta = 10000;           // base of the rotary frequencies
  std::string qk_norm = "rms";         // on queries and keys: none, rms, layer, layer_unused
  std::string norm = "rms";            // before attention, feed-forward and classifier: layer, rms
  double norm_eps = 1e-5;              // epsilon of all norms
  std::string ffn = "swiglu";          // feed-forward: gelu, swiglu
  std::int64_t ffn_dim = 0;            // 0: 4d for gelu, 8d/3 rounded up to a multiple of 64 for swiglu
  bool ffn_bias = false;               // biases in the feed-forward
  bool output_bias = false;            // bias of the attention's output projection
  bool first_block_output = false;     // ecp: block 0 has an output projection of its own (`to_out_0`, eq. 9)
  bool tie_embeddings = true;          // the classifier uses the embedding's weights
  bool classifier_bias = false;        // bias in the classifier
  std::string init = "scaled_normal";  // or "uniform", PyTorch's defaults
  std::int64_t classes = 0;            // 0: a language model; otherwise a classifier of whole inputs
  std::string pooling = "mean";        // classifier: which rows it sees
  double dropout = 0;                  // on attention probabilities and inside the feed-forward

  /// Shows each field to `v`: its name, range or choices, and help (base/fields.h).
  template <class Visitor>
  void visit(Visitor& v) {
    constexpr std::int64_t most = std::int64_t{1} << 24;
    v.choice("architecture", architecture,
             {"ecp", "full", "perceiver_ar", "double", "split", "compressed", "shifted", "sliding"},
             "which keys a query sees");
    v.choice("preset", preset, {"paper", "modern"}, "sets all fields below that are not given");
    v.integer("vocab", vocab, {0, most}, "vocabulary size; 0: that of the training data's tokenizer");
    v.integer("dim", dim, {2, 1 << 16}, "width d");
    v.integer("layers", layers, {1, 1024}, "number of layers L");
    v.integer("heads", heads, {1, 1024}, "attention heads H; must divide dim into an even head width");
    v.integer("kv_heads", kv_heads, {0, 1024},
              "key and value heads, a divisor of heads; 0: as many as heads");
    v.integer("sequence", sequence, {1, std::int64_t{1} << 40}, "trained length n in tokens");
    v.integer("block", block, {1, most}, "ecp: queries per block b (half of the paper's segment)");
    v.integer("lookback", lookback, {1, 1024}, "ecp: earlier blocks that a block sees");
    v.flag("shift_heads", shift_heads, "ecp: half of the heads have their blocks moved by b/2");
    v.flag("causal", causal, "false: rows see what comes after them too (ecp and full, for classifiers)");
    v.integer("latents", latents, {0, std::int64_t{1} << 40},
              "perceiver_ar, double, split, compressed: trained rows at the window's end; 0: n/2");
    v.integer("history_segment", history_segment, {0, std::int64_t{1} << 40},
              "split: rows of a history segment, a divisor of n - latents; 0: half of it");
    v.integer("compressed_history", compressed_history, {0, most},
              "compressed: rows that the history becomes after the first layer; 0: a quarter of it");
    v.choice("compressed_residual", compressed_residual, {"corrected", "authors"},
             "compressed: a latent row's own residual in layer 0, or that of the authors' program");
    v.integer("group", group, {0, most}, "shifted: rows of a group; 0: n/4");
    v.integer("window", window, {0, most}, "sliding: keys that a row sees; 0: n/4");
    v.flag("shared_kv", shared_kv, "one projection for keys and values");
    v.flag("rotate_values", rotate_values, "rotate values as well as keys");
    v.choice("rope", rope, {"none", "first", "all"}, "layers with rotary position embedding");
    v.number("rope_theta", rope_theta, {1, 1e12}, "base of the rotary frequencies");
    v.choice(
        "qk_norm", qk_norm, {"none", "rms", "layer", "layer_unused"},
        "rms: on each head's queries and keys before RoPE; layer: on the shared keys and values after it; "
        "layer_unused: the authors' unused parameters");
    v.choice("norm", norm, {"layer", "rms"}, "normalisation before attention, feed-forward and classifier");
    v.number("norm_eps", norm_eps, {1e-12, 1e-1}, "epsilon of all norms");
    v.choice("ffn", ffn, {"gelu", "swiglu"}, "feed-forward");
    v.integer("ffn_dim", ffn_dim, {0, most}, "inner width; 0: 4d (gelu) or 8d/3 rounded up to 64s (swiglu)");
    v.flag("ffn_bias", ffn_bias, "biases in the feed-forward");
    v.flag("output_bias", output_bias, "bias in the attention's output projection");
    v.flag("first_block_output", first_block_output, "ecp: block 0 has an output projection of its own");
    v.flag("tie_embeddings", tie_embeddings, "the classifier uses the embedding's weights");
    v.flag("classifier_bias", classifier_bias, "bias in the classifier");
    v.choice(
        "init", init, {"uniform", "scaled_normal"},
        "uniform: PyTorch's defaults; scaled_normal: N(0, 0.02), residual projections N(0, 0.02/sqrt(2L))");
    v.integer(
        "classes", classes, {0, 1 << 20},
        "0: a language model; otherwise a classifier of whole inputs (data.images) into so many classes");
    v.choice("pooling", pooling, {"mean", "last"}, "what a classifier sees: the rows' mean, or the last row");
    v.number("dropout", dropout, {0, 0.95}, "dropout on attention probabilities and inside the feed-forward");
  }

  /// d_h
  [[nodiscard]] std::int64_t head_dim() const { return dim / heads; }
  /// H_kv
  [[nodiscard]] std::int64_t key_heads() const { return kv_heads == 0 ? heads : kv_heads; }
  /// Inner width of the feed-forward after defaults.
  [[nodiscard]] std::int64_t inner_dim() const;
  /// Whether a layer has rotary position embedding.
  [[nodiscard]] bool rotates(std::int64_t layer) const {
    return rope == "all" || (rope == "first" && layer == 0);
  }
  /// Only the last ℓ rows are trained and have logits (perceiver_ar, double, split, compressed).
  [[nodiscard]] bool is_latent() const;
  /// Some rows see what comes after them in the window, in other documents too (an unmasked history).
  [[nodiscard]] bool has_unmasked_history() const { return is_latent() && architecture != "perceiver_ar"; }
  /// Values carry positions that are known up to n only: beyond, ecp holds them at the last trained block's.
  [[nodiscard]] bool holds_positions() const {
    return architecture == "ecp" && rotate_values && rope != "none" && causal && !shift_heads;
  }
  /// ℓ: `latents`, or half of n.
  [[nodiscard]] std::int64_t latent_rows() const { return latents > 0 ? latents : sequence / 2; }
  /// s_h: `history_segment`, or half of the history.
  [[nodiscard]] std::int64_t segment_rows() const;
  /// p: `compressed_history`, or a quarter of the history.
  [[nodiscard]] std::int64_t compressed_rows() const;
  /// g: `group`, or a quarter of n.
  [[nodiscard]] std::int64_t group_rows() const { return group > 0 ? group : (sequence + 3) / 4; }
  /// Keys of the sliding window: `window`, or a quarter of n.
  [[nodiscard]] std::int64_t window_keys() const { return window > 0 ? window : (sequence + 3) / 4; }
  /// Rows of a window of n tokens that have logits: the last ones, all but for latent architectures.
  [[nodiscard]] std::int64_t trained_rows(std::int64_t n) const {
    return is_latent() ? std::min(n, latent_rows()) : n;
  }
  /// Fields whose 0 stands for something with what it stands for; sizes that the architecture doesn't have
  /// are 0.
  [[nodiscard]] ModelConfig resolved() const;
  /// Fails on choices that don't fit together (heads that don't divide the width, tied weights with ...).
  /// `vocab` may still be 0.
  void validate() const;

 private:
  void validate_architecture() const;
};

/// Sets every field that `preset` ("paper", "modern") decides for `architecture` and `classes`; sizes are
/// left alone.
void apply_preset(ModelConfig& config);

}  // namespace ecp
