#include "ecp/cli/app.h"

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "ecp/base/error.h"
#include "ecp/base/interrupt.h"
#include "ecp/base/suggest.h"
#include "ecp/base/version.h"
#include "ecp/cli/output.h"

namespace ecp::cli {
namespace {

/// Names that could have been meant by an unknown argument of the innermost chosen subcommand.
std::vector<std::string> known_names(const CLI::App& app) {
  const CLI::App* current = &app;
  while (!current->get_subcommands().empty()) current = current->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::App* sub : current->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  for (const CLI::Option* option : current->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

int report_parse_error(const CLI::App& app, const CLI::ParseError& error, int argc, const char* const* argv) {
  std::string message = error.what();
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  constexpr std::string_view conversion = "Could not convert: ";  // "--option = value", of numbers only
  if (const auto equals = message.find(" = "); message.starts_with(conversion) && equals != message.npos) {
    message = fmt::format("{}: expected a number, got '{}'",
                          message.substr(conversion.size(), equals - conversion.size()),
                          message.substr(equals + 3));
  }
  std::string hint, unknown;
  // This error's own name is that of the subcommand, so its type has to tell.
  const bool unexpected = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  if (unexpected || error.get_name() == "RequiredError") {
    const std::vector<std::string> names = known_names(app);
    for (int i = 1; i < argc && hint.empty(); ++i) {
      const std::string argument(argv[i]);
      if (message.find(argument) == std::string::npos && unexpected) continue;
      bool known = false;
      for (const std::string& name : names) known = known || name == argument;
      if (!known) hint = did_you_mean(argument, names);
      if (!hint.empty() && argument.starts_with("--")) unknown = argument;
    }
  }
  const bool no_command = app.get_subcommands().empty() && error.get_name() == "RequiredError" && argc > 1;
  std::string command;  // "data stats"
  for (const CLI::App* sub = &app; !sub->get_subcommands().empty();) {
    sub = sub->get_subcommands().front();
    command += (command.empty() ? "" : " ") + sub->get_name();
  }
  if (error.get_name() == "RequiredError" && hint.empty() && !command.empty())
    hint = fmt::format(" (see ecp {} --help)", command);
  if (!unexpected && !unknown.empty()) message = fmt::format("unknown option '{}'", unknown);
  if (argc == 1) hint = " (see ecp --help)";
  if (no_command) message = fmt::format("unknown subcommand or option '{}' (see ecp --help)", argv[1]);
  fmt::print(stderr, "ecp: {}{}\n", message, hint);
  return 2;
}

}  // namespace

std::unique_ptr<CLI::App> make_app() {
  auto app = std::make_unique<CLI::App>(
      "Long-context language models of the Efficient Context Propagating Perceiver family.");
  app->name("ecp");
  app->set_version_flag("--version", fmt::format("ecp {} ({})", version(), commit()));
  app->require_subcommand(1);
  app->get_formatter()->column_width(34);
  return app;
}

namespace {

/// Nothing isn't a number: the library would take it for 0.
void refuse_empty_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_type_name().find("FLOAT") == std::string::npos) continue;
    option->check(CLI::Validator(
        [](const std::string& text) {
          return text.empty() ? std::string("expected a number, got ''") : std::string();
        },
        ""));
  }
  for (CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) refuse_empty_numbers(*sub);
}

}  // namespace

int run(CLI::App& app, int argc, const char* const* argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // writing beyond a limit fails, and is cleaned up after, as on a full disk
  refuse_empty_numbers(app);
  try {
    app.parse(argc, argv);
    return finish_output();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error);
      return finish_output();
    }
    if (error.get_name() == "RuntimeError") return error.get_exit_code();
    return report_parse_error(app, error, argc, argv);
  } catch (const Interrupted& interrupted) {
    fmt::print(stderr, "ecp: {}\n", interrupted.what());
    return 128 + interrupted.signal();
  } catch (const Error& error) {
    fmt::print(stderr, "ecp: error: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "ecp: error: out of memory\n");
  } catch (const std::exception& error) {  // LibTorch's go on with the stack
    const std::string_view text = error.what();
    fmt::print(stderr, "ecp: error: {}\n", text.substr(0, text.find('\n')));
  }
  return 1;
}

}  // namespace ecp::cli
