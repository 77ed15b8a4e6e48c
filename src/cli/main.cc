// The command line. CLI11 parses; its exceptions end here. What it says about commands that it does
// not know is replaced: its own words ("The following argument was not expected") do not tell what
// would be right.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "postern/config/suggest.h"
#include "postern/tls/server_contexts.h"

namespace postern::cli {
namespace {

constexpr const char* kDescription =
    "Postern, a TLS front end for mail: speaks TLS with mail clients and relays to the mail "
    "servers behind";

constexpr const char* kFooter = R"(
First steps:
  postern check -c conf/postern.toml    what is wrong with a configuration, and how to mend it
  postern run -c conf/postern.toml      serve; makes a self-signed certificate if there is none
  postern reload                        bring changes in, without losing a connection
`postern COMMAND --help` tells more about each command. Exit status: 0 done, 1 not done (the
reasons are on standard error), 2 the command line was not understood.)";

std::string VersionText() {
  return fmt::format("postern {}\n{}\nliburing {}", POSTERN_VERSION,
                     OpenSSL_version(OPENSSL_VERSION), POSTERN_LIBURING_VERSION);
}

// The names that may stand where `app` has found something else.
std::vector<std::string> Names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

// The command that stopped the parse: the first that something was left over for, else the last one
// named. Its --help is the one to read.
const CLI::App& Culprit(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() || !app.remaining().empty() ? app : Culprit(*chosen.back());
}

std::string FullName(const CLI::App& app) {
  if (app.get_parent() == nullptr) return "postern";
  return FullName(*app.get_parent()) + ' ' + app.get_name();
}

std::string Unknown(const CLI::App& app, const std::string& word) {
  const std::vector<std::string> names = Names(app);
  const std::vector<std::string_view> known(names.begin(), names.end());
  const bool has_commands = !app.get_subcommands(nullptr).empty();
  const std::string_view kind = word.starts_with('-') ? "option"
                                : has_commands        ? "command"
                                                      : "argument";
  std::string text = fmt::format("unknown {} {}", kind, config::Quote(word));
  const std::string_view near = config::Nearest(word, known);
  // One letter for another is no help: -x is as near to -h as to any other.
  if (!near.empty() && word.size() > 2)
    text += fmt::format("; did you mean {}?", config::Quote(near));
  return text;
}

// What `app` cannot do without and was not given, as its --help calls it; empty: nothing.
std::string MissingArgument(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_required() && option->count() == 0) return option->get_type_name();
  }
  return {};
}

// What is wrong with the command line, in our words where ours say more.
std::string Explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& culprit = Culprit(app);
  const std::vector<std::string> left = culprit.remaining();
  const bool required = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  const bool extras = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  std::string text = error.what();
  if ((required || extras) && !left.empty()) {
    text = Unknown(culprit, left.front());
  } else if (required) {
    const std::string missing = MissingArgument(culprit);
    text = missing.empty() ? "no command given" : fmt::format("{} is missing", missing);
  }
  return fmt::format("postern: {}{} `{} --help`\n", text, text.ends_with('?') ? " See" : "; see",
                     FullName(culprit));
}

int Main(int argc, char** argv) {
  int status = kOk;
  CLI::App app(kDescription, "postern");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "Show this help");
  app.set_version_flag("--version", VersionText, "Show the versions of Postern and its libraries");
  AddRunCommands(app, status);
  AddCheckCommand(app, status);
  AddCiphersCommand(app, status);
  AddControlCommands(app, status);
  AddCertCommands(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done);  // help or version, printed
    return kOk;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "{}", Explain(app, error));
    return kUsage;
  }
  return status;
}

}  // namespace

CLI::Option* AddConfigOption(CLI::App& app, std::string& path) {
  return app.add_option("-c,--config", path, "Configuration file")
      ->type_name("FILE")
      ->capture_default_str();
}

}  // namespace postern::cli

int main(int argc, char** argv) {
  // Before anything else can make OpenSSL allocate.
  if (!postern::tls::UseMimalloc()) {
    std::fputs("postern: OpenSSL allocated before its allocator was set; a bug of ours\n", stderr);
  }
  const int status = postern::cli::Main(argc, argv);
  // A result that could not be written is no success.
  return std::fflush(stdout) == 0 ? status : postern::cli::kFailed;
}
