// ciphers: what a policy allows with the OpenSSL that Postern runs with. It asks that library, not
// the process that serves: both are the same program.
//
// The name is looked for among the policies first and then among the listeners. Without a
// configuration file the built-in policies can be asked for all the same.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "commands.h"
#include "postern/config/config.h"
#include "postern/config/suggest.h"
#include "postern/tls/policy.h"
#include "postern/tls/policy_table.h"
#include "report.h"

namespace postern::cli {
namespace {

using Cells = std::vector<std::string>;

// Columns as wide as their widest cell.
std::string Columns(const std::vector<Cells>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Cells& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Cells& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  }
  return text;
}

std::string Joined(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, ", "));
}

std::string Show(const config::Policy& policy, const tls::PolicyTable& table) {
  std::vector<Cells> rows = {
      {"NAME", "VERSIONS", "KEY EXCHANGE", "CERTIFICATE", "ENCRYPTION", "BITS", "MAC"}};
  for (const tls::PolicyRow& row : table.rows) {
    rows.push_back({row.name, row.versions, row.key_exchange, row.authentication, row.encryption,
                    fmt::to_string(row.bits), row.mac});
  }
  std::string text = fmt::format("policy \"{}\" with {}\n", policy.name, tls::LibraryName());
  text += fmt::format("versions              {}\n", table.versions);
  text += fmt::format("groups                {}\n", Joined(table.groups));
  text += fmt::format("signature algorithms  {}\n", table.signature_algorithms.empty()
                                                        ? "OpenSSL's own"
                                                        : table.signature_algorithms);
  text += fmt::format("order of suites       {}\n",
                      table.server_preference ? "Postern's" : "the client's");
  text += fmt::format("security level        {}\n", table.security_level);
  if (!table.lacking.empty()) {
    text += fmt::format("not in this OpenSSL   {}\n", Joined(table.lacking));
  }
  return text + '\n' + Columns(rows);
}

// The policy called `name`, or the one of the listener called so; null: neither is there.
const config::Policy* Find(const config::Config& config, const std::string& name) {
  if (const config::Policy* policy = config::FindPolicy(config.policies, name)) return policy;
  const auto listener = std::ranges::find(config.listeners, name, &config::Listener::name);
  if (listener == config.listeners.end()) return nullptr;
  return config::FindPolicy(config.policies, listener->policy);
}

int Unknown(const config::Config& config, const std::string& name) {
  std::vector<std::string_view> names;
  for (const config::Policy& policy : config.policies) names.push_back(policy.name);
  for (const config::Listener& listener : config.listeners) names.push_back(listener.name);
  const std::string_view near = config::Nearest(name, names);
  PrintError({fmt::format("there is no policy and no listener {}", config::Quote(name)),
              near.empty() ? "name one of the configuration, or \"modern\", \"intermediate\" or "
                             "\"old\""
                           : fmt::format("did you mean {}?", config::Quote(near)),
              {}});
  return kFailed;
}

int Ciphers(const std::string& path, const std::string& name, bool path_given) {
  config::Config config;
  const bool built_in = config::FindPolicy(config.policies, name) != nullptr;
  // A name of the file needs the file; the built-in ones are there without.
  if (path_given || !built_in) {
    const bool missing = !path_given && ::access(path.c_str(), F_OK) != 0;
    auto loaded = missing ? config::Loaded{} : config::Load(path);
    if (!loaded.has_value()) {
      PrintErrors(loaded.error());
      return kFailed;
    }
    config = std::move(loaded->config);
  }
  const std::string wanted = name.empty() ? config.default_policy : name;
  const config::Policy* policy = Find(config, wanted);
  if (policy == nullptr) return Unknown(config, wanted);
  const Result<tls::PolicyTable> table = tls::DescribePolicy(*policy);
  if (!table.has_value()) {
    PrintError(table.error());
    return kFailed;
  }
  Print(Show(*policy, *table));
  return kOk;
}

}  // namespace

void AddCiphersCommand(CLI::App& app, int& status) {
  CLI::App* ciphers = app.add_subcommand("ciphers", "Show what a TLS policy allows");
  auto path = std::make_shared<std::string>(kDefaultConfig);
  auto name = std::make_shared<std::string>();
  CLI::Option* option = AddConfigOption(*ciphers, *path);
  ciphers->add_option("policy", *name, "Name of a policy, or of a listener for its policy")
      ->type_name("POLICY|LISTENER");
  ciphers->footer(R"(
Lists versions, key exchange groups and suites, best first, as the OpenSSL has them that
Postern runs with. "modern", "intermediate" and "old" are built in; other names come from
the configuration file. Without a name: the policy of [tls].
Exit status: 0, or 1 when there is no such policy or it cannot be used.)");
  ciphers->callback(
      [path, name, option, &status] { status = Ciphers(*path, *name, option->count() > 0); });
}

}  // namespace postern::cli
