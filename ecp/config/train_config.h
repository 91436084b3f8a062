// The sections of a training configuration besides [model]: data, train, eval and sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecp/base/fields.h"
#include "ecp/base/system.h"
#include "ecp/config/model_config.h"
#include "ecp/probes/probe.h"

namespace ecp {

struct DataConfig {
  std::vector<std::string> train;         // token files (.npy), as written by `ecp tokenize`
  std::vector<double> weights;            // one per file: shares of the mixture; empty: by number of tokens
  std::string validation;                 // token file; empty: no evaluation while training
  bool cross_documents = true;            // windows may span documents, as in the paper
  std::string images;                     // folder of labelled images, for a classifier; then no token files
  std::int64_t validation_images = 5000;  // training images kept aside
  bool flip = false;                      // half of the images as in a mirror
  std::string probe;                      // a generated task ("passkey"); then no files (probes/probe.h)
  std::int64_t probe_nearest = 0, probe_farthest = 0;  // distances; 0: all that fit
  std::int64_t probe_items = 0;                        // 0: the task's own number

  template <class Visitor>
  void visit(Visitor& v) {
    v.texts("train", train, "token files (.npy with their sidecars)");
    v.numbers("weights", weights, {0, 1e12}, "share of each training file; empty: by number of tokens");
    v.text("validation", validation, "token file for evaluation while training");
    v.flag("cross_documents", cross_documents, "false: what a token sees stays inside its document");
    v.text("images", images, "folder with CIFAR-10's binary files, for a classifier; no token files then");
    v.integer("validation_images", validation_images, {0, std::int64_t{1} << 40},
              "training images kept aside for evaluation while training");
    v.flag("flip", flip, "show half of the training images as in a mirror");
    v.text("probe", probe, "passkey, recall or listops: a generated task instead of files");
    v.integer("probe_nearest", probe_nearest, {0, INT32_MAX},
              "least distance of a question to what it asks for; 0: the least that fits");
    v.integer("probe_farthest", probe_farthest, {0, INT32_MAX}, "greatest; 0: the greatest that fits");
    v.integer("probe_items", probe_items, {0, INT32_MAX},
              "digits of a passkey (0: 5), pairs to recall (8), arguments of a list (10)");
  }
};

struct TrainConfig {
  std::int64_t steps = 1000;      // optimizer steps
  double minutes = 0;             // > 0: the run ends after this time instead, schedules follow the clock
  std::int64_t batch = 8;         // windows per micro-batch
  std::int64_t accumulation = 1;  // micro-batches per optimizer step
  std::int64_t seed = 1;
  std::string dtype = "float32";  // or "bfloat16"; "auto": that, where the processor has instructions for it
  std::int64_t threads = 0;       // 0: all available CPUs
  // Whether layers keep their input alone and are computed again in the backward: "on", "off", or "auto",
  // where memory wouldn't suffice otherwise. It changes no result.
  std::string activation_checkpointing = "auto";
  double memory_limit = 0;  // GB that training may take; 0: what is free
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;
  double clip = 1.0;               // largest gradient norm; 0: none
  std::int64_t most_skipped = 10;  // steps in a row that may be skipped for want of finite numbers
  std::string schedule = "cosine";
  std::int64_t warmup = 100;            // steps of linear warm-up
  double final_lr = 0.1;                // cosine and wsd end at this fraction of lr
  double decay_fraction = 0.2;          // wsd: the last part of the run in which the rate falls
  std::int64_t halve_every = 100000;    // halving: steps
  std::string init;                     // checkpoint whose weights to start from; empty: from scratch
  std::int64_t eval_every = 200;        // steps; 0: only at the end
  std::int64_t checkpoint_every = 200;  // steps; 0: only at the end
  std::int64_t keep = 3;                // newest checkpoints kept besides the best
  std::int64_t log_every = 10;          // steps per line of metrics.jsonl
  bool tensorboard = true;              // event files beside metrics.jsonl
  std::int64_t sample_every = 0;        // steps; 0: only at the end
  std::string sample_prompt;            // empty: the first tokens of the validation data
  std::int64_t sample_tokens = 100;

  template <class Visitor>
  void visit(Visitor& v) {
    constexpr std::int64_t many = std::int64_t{1} << 40;
    v.integer("steps", steps, {1, many}, "optimizer steps");
    v.number("minutes", minutes, {0, 1e9},
             "end after this many minutes instead of `steps` (0: off); not resumable bit for bit");
    v.integer("batch", batch, {1, 1 << 20}, "windows (or images) per micro-batch");
    v.integer("accumulation", accumulation, {1, 1 << 20}, "micro-batches per optimizer step");
    v.integer("seed", seed, {0, INT64_MAX / 2}, "seed of weights, data order and dropout");
    v.choice("dtype", dtype, {"float32", "bfloat16", "auto"},
             "type of the inputs and outputs of matrix products; auto: bfloat16 where the processor has it");
    v.integer("threads", threads, {0, most_threads}, "CPU threads; 0: all available");
    v.choice("activation_checkpointing", activation_checkpointing, {"auto", "off", "on"},
             "layers keep their input alone and are computed again; auto: where memory is short");
    v.number("memory_limit", memory_limit, {0, 1e9}, "GB that training may take; 0: what is free");
    v.number("lr", lr, {0, 100}, "peak learning rate");
    v.number("beta1", beta1, {0, 0.999999}, "AdamW");
    v.number("beta2", beta2, {0, 0.999999}, "AdamW");
    v.number("eps", eps, {0, 1}, "AdamW");
    v.number("weight_decay", weight_decay, {0, 100}, "AdamW, on weights of linear layers only");
    v.number("clip", clip, {0, 1e9}, "largest gradient norm; 0: no clipping");
    v.integer(
        "most_skipped", most_skipped, {0, many},
        "steps whose loss or gradient isn't finite are skipped; more than so many in a row end the run");
    v.choice("schedule", schedule, {"constant", "cosine", "wsd", "halving"}, "learning rate over steps");
    v.integer("warmup", warmup, {0, many}, "steps of linear warm-up");
    v.number("final_lr", final_lr, {0, 1}, "fraction of lr at the end of cosine and wsd");
    v.number("decay_fraction", decay_fraction, {0, 1}, "wsd: last part of the run in which the rate falls");
    v.integer("halve_every", halve_every, {1, many}, "halving: steps after which the rate halves");
    v.text("init", init, "checkpoint whose weights to start from");
    v.integer("eval_every", eval_every, {0, many}, "steps between evaluations; 0: only at the end");
    v.integer("checkpoint_every", checkpoint_every, {0, many},
              "steps between checkpoints; 0: only at the end");
    v.integer("keep", keep, {1, 1 << 20}, "newest checkpoints kept besides the best");
    v.integer("log_every", log_every, {1, many}, "steps per line of metrics.jsonl");
    v.flag("tensorboard", tensorboard, "write TensorBoard event files beside metrics.jsonl");
    v.integer("sample_every", sample_every, {0, many}, "steps between samples of text; 0: only at the end");
    v.text("sample_prompt", sample_prompt, "prompt of the samples; empty: the start of the validation data");
    v.integer("sample_tokens", sample_tokens, {0, 1 << 20}, "tokens per sample; 0: no samples");
  }
};

struct EvalConfig {
  std::int64_t context = -1;  // tokens before each scored position at least; −1: n/2
  std::int64_t tokens = 0;    // evaluate while training on the first so many tokens; 0: all
  std::int64_t batch = 8;     // windows at a time

  template <class Visitor>
  void visit(Visitor& v) {
    constexpr std::int64_t many = std::int64_t{1} << 40;
    v.integer("context", context, {-1, many}, "least number of tokens before a scored position; -1: n/2");
    v.integer("tokens", tokens, {0, many},
              "evaluate while training on the first so many tokens (pixels); 0: all");
    v.integer("batch", batch, {1, 1 << 20}, "windows (or images) at a time");
  }
};

/// A whole training configuration: one TOML file with the sections [model], [data], [train], [eval].
struct Config {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  EvalConfig eval;

  /// `v.section(name, struct)` for each section.
  template <class Visitor>
  void visit(Visitor& v) {
    v.section("model", model);
    v.section("data", data);
    v.section("train", train);
    v.section("eval", eval);
  }

  /// What concerns several fields or sections; each section's ranges were checked on reading.
  void validate() const;

  /// Of `data.probe`, for models of `model.sequence` rows.
  [[nodiscard]] ProbeSettings probe() const;

 private:
  void validate_images() const;
  void validate_probe() const;
};

}  // namespace ecp
