// What a program can do with a model: embed CHECKPOINT [PROMPT]
//
// Built with CMake (CMakeLists.txt beside this file), or by hand:
//
//   g++ -std=c++20 main.cpp $(pkg-config --cflags --libs ecp) -o embed
#include <ecp/ecp.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

namespace {

using ModelPointer = std::shared_ptr<const ecp::Model>;

/// Text as it is made: each piece is of whole UTF-8 characters.
void stream(const ModelPointer& model, const std::string& prompt) {
  ecp::Session session = model->session({.temperature = 0.8f, .seed = 1, .max_tokens = 40});
  session.prompt(prompt);
  std::cout << prompt;
  while (const auto piece = session.next()) std::cout << *piece << std::flush;
  const bool ended = session.finish() == ecp::Finish::stop;
  std::cout << "\n[" << session.generated() << " tokens; "
            << (ended ? "the text's end" : "as many as asked for") << "]\n";
}

/// How probable each token was, and what was most probable in its place.
void log_probabilities(const ModelPointer& model, const std::string& prompt) {
  const ecp::Tokenizer& tokenizer = *model->tokenizer();
  ecp::Session session = model->session({.temperature = 0, .max_tokens = 3, .logprobs = 2});
  session.prompt(prompt);
  while (const auto generated = session.step()) {
    std::cout << "token " << generated->token << ": log-probability " << generated->logprob
              << "; most probable:";
    for (const ecp::TokenProbability& other : generated->top) std::cout << " " << other.token;
    std::cout << "\n";
  }
  double sum = 0;  // of the prompt's own tokens; of the first nothing is known
  for (const ecp::Generated& scored : model->session().score(tokenizer.encode(prompt))) sum += scored.logprob;
  std::cout << "log-probability of the prompt: " << sum << "\n";
}

std::string rest(ecp::Session& session) {
  std::string text;
  while (const auto piece = session.next()) text += *piece;
  return text;
}

/// Several texts from one prompt that is read once; a token taken back; a session in a file.
void fork_rewind_save(const ModelPointer& model, const std::string& prompt) {
  ecp::Session session = model->session({.seed = 1, .max_tokens = 8});
  session.prompt(prompt);
  for (const std::uint64_t seed : {2, 3}) {
    ecp::Session other = session.fork();
    other.set_sampling({.seed = seed, .max_tokens = 8});
    std::cout << "fork " << seed << ": " << rest(other) << "\n";
  }

  const std::uint64_t position = session.position();
  if (session.most_rewind() > 0) {
    session.rewind(1);
    std::cout << "rewound from " << position << " tokens to " << session.position() << "\n";
  }

  const ecp::Path file = std::filesystem::temp_directory_path() / "embed.session";
  session.save(file);
  ecp::Session restored = model->restore(file);
  std::filesystem::remove(file);
  const bool same = rest(restored) == rest(session);
  std::cout << "a restored session goes on " << (same ? "as" : "NOT as") << " the one that was saved\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: embed CHECKPOINT [PROMPT]\n";
    return EXIT_FAILURE;
  }
  try {
    const ModelPointer model = ecp::Model::load(argv[1]);
    const std::string prompt = argc > 2 ? argv[2] : "It is a truth";
    std::cout << "libecp " << ecp::version() << ": " << model->config().architecture << ", "
              << model->config().layers << " layers\n";
    stream(model, prompt);
    log_probabilities(model, prompt);
    fork_rewind_save(model, prompt);
  } catch (const ecp::Error& error) {
    std::cerr << "embed: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
