// The module ecp._stream: models, sessions and tokenizers of libecp in Python. It knows no PyTorch.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/version.h"
#include "ecp/config/model_config.h"
#include "ecp/runtime/model.h"
#include "ecp/runtime/session.h"
#include "ecp/text/tokenizer.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace ecp::python {
namespace {

using Tokens = std::vector<Token>;
using TextOrTokens = std::variant<std::string, Tokens>;
using Texts = std::variant<std::string, std::vector<std::string>>;

/// Signals wait while it lives: oneDNN's generated kernels keep data in the stack pointer, and what the
/// system puts there for a handler would overwrite it (base/interrupt.h). Python's handlers run when a token
/// is done.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    ::sigfillset(&held);
    for (const int at_once : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) ::sigdelset(&held, at_once);
    ::pthread_sigmask(SIG_SETMASK, &held, &before_);
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_{};
};

/// Without Python's lock, and signals waiting.
template <class Work>
auto compute(const Work& work) {
  const nb::gil_scoped_release others_run;
  const HeldSignals held;
  return work();
}

/// Ends by Python's exception if Ctrl-C was pressed.
void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

Sampling sampling_of(double temperature, std::int64_t top_k, double top_p, double min_p,
                     double repetition_penalty, std::int64_t repetition_window, double presence_penalty,
                     double frequency_penalty, const std::optional<nb::dict>& logit_bias, std::uint64_t seed,
                     const std::optional<Texts>& stop, std::optional<std::int64_t> max_tokens,
                     bool ignore_end_of_text, std::string document_break,
                     std::optional<std::int64_t> logprobs) {
  Sampling sampling;
  sampling.temperature = static_cast<float>(temperature);
  sampling.top_k = top_k;
  sampling.top_p = static_cast<float>(top_p);
  sampling.min_p = static_cast<float>(min_p);
  sampling.repetition_penalty = static_cast<float>(repetition_penalty);
  sampling.repetition_window = repetition_window;
  sampling.presence_penalty = static_cast<float>(presence_penalty);
  sampling.frequency_penalty = static_cast<float>(frequency_penalty);
  if (logit_bias) {
    for (const auto& [token, bias] : *logit_bias) {
      sampling.logit_bias.emplace_back(nb::cast<Token>(token), nb::cast<float>(bias));
    }
  }
  sampling.seed = seed;
  if (stop) {
    if (const auto* one = std::get_if<std::string>(&*stop)) {
      sampling.stop = {*one};
    } else {
      sampling.stop = std::get<std::vector<std::string>>(*stop);
    }
  }
  sampling.max_tokens = max_tokens.value_or(-1);
  sampling.ignore_end_of_text = ignore_end_of_text;
  sampling.document_break = std::move(document_break);
  sampling.logprobs = logprobs.value_or(-1);
  sampling.validate();
  return sampling;
}

/// A token as Python sees it: what wasn't asked for is None.
struct TokenInfo {
  Token token = 0;
  std::string text;
  std::optional<std::string> finish;
  std::optional<float> logprob;
  std::vector<std::pair<Token, float>> top;
};

std::optional<std::string> name_of(Finish finish) {
  if (finish == Finish::none) return std::nullopt;
  return finish == Finish::stop ? "stop" : "length";
}

TokenInfo info_of(Generated generated, bool with_logprob) {
  TokenInfo info{generated.token, std::move(generated.text), name_of(generated.finish), {}, {}};
  if (with_logprob) info.logprob = generated.logprob;
  for (const TokenProbability& other : generated.top) info.top.emplace_back(other.token, other.logprob);
  return info;
}

const Tokenizer& tokenizer_of(const Model& model) {
  require(model.tokenizer() != nullptr, "this model has no tokenizer: expected tokens, got text");
  return *model.tokenizer();
}

/// A session and who may touch it: calls of several threads come one after the other.
class Stream {
  template <class Work>
  auto locked(const Work& work) {
    return compute([&] {
      const std::scoped_lock one(lock_);
      return work();
    });
  }
  Tokens tokens_of(const TextOrTokens& input) {
    if (const auto* tokens = std::get_if<Tokens>(&input)) return *tokens;
    const auto& text = std::get<std::string>(input);
    return locked([&] {
      Tokens tokens;
      const Tokenizer& tokenizer = tokenizer_of(*model_);
      session_.position() > 0 ? tokenizer.encode_more(text, tokens) : tokenizer.encode(text, tokens);
      return tokens;
    });
  }

 public:
  Stream(std::shared_ptr<const Model> model, Session session)
      : model_(std::move(model)), session_(std::move(session)) {}

  void prompt(const TextOrTokens& input) {
    constexpr std::size_t part = 2048;  // after which Ctrl-C is looked at
    const Tokens tokens = tokens_of(input);
    std::size_t begin = 0;
    do {
      const std::size_t count = std::min(part, tokens.size() - begin);
      locked([&] { session_.prompt(std::span(tokens).subspan(begin, count)); });
      check_signals();
      begin += count;
    } while (begin < tokens.size());
  }

  std::optional<std::string> next() {
    while (true) {
      const auto drawn = locked([&] { return session_.step(); });
      check_signals();
      if (!drawn) return std::nullopt;
      if (!drawn->text.empty()) return drawn->text;
    }
  }

  std::optional<TokenInfo> step() {
    auto drawn = locked([&] { return session_.step(); });
    check_signals();
    if (!drawn) return std::nullopt;
    return info_of(std::move(*drawn), session_.sampling().logprobs >= 0);
  }

  std::optional<Token> next_token() {
    const auto token = locked([&] { return session_.next_token(); });
    check_signals();
    return token;
  }

  std::vector<TokenInfo> score(const TextOrTokens& input) {
    constexpr std::size_t part = 2048;
    const Tokens tokens = tokens_of(input);
    const bool begins = locked([&] { return session_.position(); }) == 0;
    std::vector<TokenInfo> all;
    for (std::size_t begin = 0; begin < tokens.size(); begin += part) {
      const std::size_t count = std::min(part, tokens.size() - begin);
      auto scored = locked([&] { return session_.score(std::span(tokens).subspan(begin, count)); });
      check_signals();
      for (Generated& token : scored) all.push_back(info_of(std::move(token), !begins || !all.empty()));
    }
    return all;
  }

  std::unique_ptr<Stream> fork() {
    return locked([&] { return std::make_unique<Stream>(model_, session_.fork()); });
  }
  void rewind(std::uint64_t tokens) {
    locked([&] { session_.rewind(tokens); });
  }
  void save(const Path& path) {
    locked([&] { session_.save(path); });
  }
  void set_sampling(const Sampling& sampling) {
    locked([&] { session_.set_sampling(sampling); });
  }
  template <class Property>
  auto get(const Property& property) {
    return locked([&] { return property(session_); });
  }

 private:
  std::mutex lock_;
  std::shared_ptr<const Model> model_;
  Session session_;
};

/// Bytes that are no whole characters become U+FFFD.
nb::object text_of(const std::string& bytes) {
  PyObject* text = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace");
  if (text == nullptr) throw nb::python_error();
  return nb::steal(text);
}

std::unique_ptr<Stream> session_of(const Model& model, const Sampling& sampling) {
  return compute([&] { return std::make_unique<Stream>(model.shared_from_this(), model.session(sampling)); });
}

/// What Model.session and Session.set_sampling take alike.
#define ECP_SAMPLING_ARGUMENTS                                                                          \
  nb::kw_only(), "temperature"_a = 0.8, "top_k"_a = 0, "top_p"_a = 1.0, "min_p"_a = 0.0,                \
                 "repetition_penalty"_a = 1.0, "repetition_window"_a = 256, "presence_penalty"_a = 0.0, \
                 "frequency_penalty"_a = 0.0, "logit_bias"_a = nb::none(), "seed"_a = 1,                \
                 "stop"_a = nb::none(), "max_tokens"_a.none() = 256, "ignore_end_of_text"_a = false,    \
                 "document_break"_a = "\n\n", "logprobs"_a = nb::none()

template <class Owner, class Result>
auto with_sampling(Result (*function)(Owner&, const Sampling&)) {
  return [function](Owner& owner, double temperature, std::int64_t top_k, double top_p, double min_p,
                    double repetition_penalty, std::int64_t repetition_window, double presence_penalty,
                    double frequency_penalty, const std::optional<nb::dict>& logit_bias, std::uint64_t seed,
                    const std::optional<Texts>& stop, std::optional<std::int64_t> max_tokens,
                    bool ignore_end_of_text, const std::string& document_break,
                    std::optional<std::int64_t> logprobs) {
    return function(owner, sampling_of(temperature, top_k, top_p, min_p, repetition_penalty,
                                       repetition_window, presence_penalty, frequency_penalty, logit_bias,
                                       seed, stop, max_tokens, ignore_end_of_text, document_break, logprobs));
  };
}

void bind_tokenizer(nb::module_& m) {
  nb::class_<Tokenizer>(m, "Tokenizer", "Text to token ids and back.")
      .def_prop_ro("kind", &Tokenizer::kind, "bytes, sentencepiece, wordpiece or bpe.")
      .def_prop_ro("vocab_size", &Tokenizer::vocab_size)
      .def_prop_ro("end_of_text", &Tokenizer::end_of_text, "The token that ends a document, or None.")
      .def(
          "encode",
          [](const Tokenizer& t, const std::string& text) {
            const nb::gil_scoped_release others_run;
            return t.encode(text);
          },
          "text"_a, "The ids of a text.")
      .def(
          "decode", [](const Tokenizer& t, const Tokens& ids) { return text_of(t.decode(ids)); },
          nb::sig("def decode(self, ids: collections.abc.Sequence[int], /) -> str"),
          "The text of ids; bytes that are no whole characters become U+FFFD.")
      .def(
          "bytes_of",
          [](const Tokenizer& t, Token token) {
            const std::string_view bytes = t.bytes_of(token);
            return nb::bytes(bytes.data(), bytes.size());
          },
          "token"_a, "The bytes that a token stands for; may be part of a character.");
  m.def(
      "load_tokenizer", [](const Path& path) { return load_tokenizer(path); }, "path"_a,
      "From a checkpoint or tokenizer folder, a .model file, a vocab.txt or a tokenizer.json.");
}

void bind_session(nb::module_& m) {
  nb::class_<TokenInfo>(m, "Generated", "A token that was generated, or one of a text that was scored.")
      .def_ro("token", &TokenInfo::token)
      .def_ro("text", &TokenInfo::text, "What became certain with it: whole characters; may be empty.")
      .def_ro("finish", &TokenInfo::finish, "'stop' or 'length' at the last token, None before.")
      .def_ro("logprob", &TokenInfo::logprob,
              "Natural logarithm, by the model alone; None if not known or not asked for.")
      .def_ro("top", &TokenInfo::top,
              "The most probable tokens with their log-probabilities, as many as asked for.")
      .def("__repr__", [](const TokenInfo& t) {
        return nb::str("Generated(token={}, text={!r}, finish={!r}, logprob={!r})")
            .attr("format")(t.token, t.text, t.finish, t.logprob);
      });
  nb::class_<Stream>(m, "Session", "A stream of text: what the model has seen, and what it says next.")
      .def("prompt", &Stream::prompt, "text"_a,
           "Appends text (or token ids) to what the model has seen; max_tokens counts anew.")
      .def("__iter__", [](nb::handle self) { return nb::borrow(self); })
      .def("__next__",
           [](Stream& s) {
             auto piece = s.next();
             if (!piece) throw nb::stop_iteration();
             return std::move(*piece);
           })
      .def("step", &Stream::step, "One token more and the text that it makes certain; None at the end.")
      .def("next_token", &Stream::next_token,
           "The next token alone, without text and stop strings; None at the end.")
      .def("score", &Stream::score, "text"_a,
           "Appends as prompt does, and tells how probable each token was after those before it.")
      .def("fork", &Stream::fork, "Another session that goes on from here.")
      .def("rewind", &Stream::rewind, "tokens"_a, "Takes the last tokens back.")
      .def("save", &Stream::save, "path"_a,
           "Writes everything that is needed to go on later (Model.restore).")
      .def("set_sampling",
           with_sampling<Stream, void>([](Stream& s, const Sampling& sampling) { s.set_sampling(sampling); }),
           ECP_SAMPLING_ARGUMENTS, "How tokens are chosen from the next one on.")
      .def_prop_ro(
          "most_rewind", [](Stream& s) { return s.get([](Session& of) { return of.most_rewind(); }); },
          "Tokens that can be taken back.")
      .def_prop_ro(
          "position", [](Stream& s) { return s.get([](Session& of) { return of.position(); }); },
          "Tokens seen so far, prompt and generated.")
      .def_prop_ro(
          "generated", [](Stream& s) { return s.get([](Session& of) { return of.generated(); }); },
          "Tokens generated so far.")
      .def_prop_ro(
          "finish", [](Stream& s) { return s.get([](Session& of) { return name_of(of.finish()); }); },
          "Why there is nothing more: 'stop' or 'length'; None while there is.")
      .def_prop_ro("beyond_trained_length",
                   [](Stream& s) { return s.get([](Session& of) { return of.beyond_trained_length(); }); })
      .def_prop_ro(
          "cache_bytes", [](Stream& s) { return s.get([](Session& of) { return of.cache_bytes(); }); },
          "Bytes of this session's caches.");
}

void bind_model(nb::module_& m) {
  nb::class_<Model>(m, "Model", "A model read from a checkpoint, shared by any number of sessions.")
      .def("session", with_sampling<const Model, std::unique_ptr<Stream>>(&session_of),
           ECP_SAMPLING_ARGUMENTS, "A new stream of text.")
      .def(
          "restore",
          [](const Model& model, const Path& path) {
            return compute(
                [&] { return std::make_unique<Stream>(model.shared_from_this(), model.restore(path)); });
          },
          "path"_a, "The session that Session.save wrote.")
      .def_prop_ro(
          "tokenizer",
          [](const Model& model) { return std::const_pointer_cast<Tokenizer>(model.tokenizer()); },
          "None if the checkpoint has none.")
      .def_prop_ro(
          "vocab", [](const Model& model) { return model.config().vocab; }, "Size of the vocabulary.")
      .def_prop_ro("architecture", [](const Model& model) { return model.config().architecture; })
      .def_prop_ro(
          "sequence", [](const Model& model) { return model.config().sequence; },
          "Trained length in tokens.");
  m.def(
      "load",
      [](const Path& path, int threads) {
        return compute([&] { return std::const_pointer_cast<Model>(Model::load(path, threads)); });
      },
      "path"_a, nb::kw_only(), "threads"_a = 0,
      "A model from a checkpoint or run folder; threads 0: all processors. Fails for architectures of "
      "latents.");
}

}  // namespace
}  // namespace ecp::python

NB_MODULE(_stream, m) {
  nb::exception<ecp::Error>(m, "Error", PyExc_RuntimeError);
  m.attr("version") = std::string(ecp::version());
  ecp::python::bind_tokenizer(m);
  ecp::python::bind_session(m);
  ecp::python::bind_model(m);
}
