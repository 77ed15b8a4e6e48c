// [tls] and [policies.NAME]. The built-in policies are those of Mozilla's guideline for servers,
// version 5.7, with two deliberate differences: no finite-field DHE in "intermediate" (every client
// that has TLS 1.2 and AEAD has ECDHE too, and 2,048-bit DHE costs the server a hundred times
// more), and X25519MLKEM768 in front of the groups.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "postern/config/policy.h"
#include "postern/config/suggest.h"
#include "sections.h"

namespace postern::config {
namespace {

constexpr std::string_view kSuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr std::string_view kGroups = "X25519MLKEM768:X25519:P-256:P-384";
constexpr std::string_view kAeadCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr std::string_view kOldCiphers =
    ":DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
    "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
    "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
    "DHE-RSA-AES128-SHA256:DHE-RSA-AES256-SHA256:"
    "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:"
    "AES128-SHA:AES256-SHA:DES-CBC3-SHA";

// The names that OpenSSL gives to versions, and the one that people do.
constexpr std::array<Choice<uint16_t>, 6> kVersions = {{{"TLSv1.3", 0x0304},
                                                        {"TLSv1.2", 0x0303},
                                                        {"TLSv1.1", 0x0302},
                                                        {"TLSv1", 0x0301},
                                                        {"TLSv1.0", 0x0301},
                                                        {"SSLv3", 0x0300}}};

Policy BuiltIn(std::string_view name, uint16_t min_version, std::string ciphers, bool preference) {
  Policy policy;
  policy.name = name;
  policy.min_version = min_version;
  policy.ciphers = std::move(ciphers);
  policy.ciphersuites = kSuites;
  policy.groups = kGroups;
  policy.server_preference = preference;
  return policy;
}

const Policy& DefaultPolicy() { return *FindPolicy(BuiltInPolicies(), kDefaultPolicy); }

// "modern", "intermediate", ... as far as anybody reads them.
std::vector<std::string_view> Names(std::span<const Policy> policies) {
  constexpr size_t kMost = 1000;
  std::vector<std::string_view> names;
  for (const Policy& policy : policies.first(std::min(policies.size(), kMost))) {
    names.push_back(policy.name);
  }
  return names;
}

// A list in either of its two forms, one text with colons or a list of texts.
void ReadList(TableReader& table, std::string_view key, std::string& out, Where& place) {
  const std::vector<PlacedText> texts = table.Texts(key);
  if (texts.empty()) return;
  place = table.WhereOfValue(key);
  out.clear();
  for (const PlacedText& text : texts) {
    if (!text.text.empty()) out += (out.empty() ? "" : ":") + text.text;
  }
}

void ReadVersions(Reading& reading, TableReader& table, Policy& policy) {
  std::array<bool, 5> wanted{};
  bool any = false;
  for (const PlacedText& text : table.Texts("versions")) {
    const auto known = std::ranges::find(kVersions, text.text, &Choice<uint16_t>::name);
    if (known != kVersions.end()) {
      wanted.at(known->value & 0xFF) = any = true;
      continue;
    }
    std::vector<std::string_view> names;
    for (const Choice<uint16_t>& choice : kVersions) names.push_back(choice.name);
    const std::string_view near = Nearest(text.text, names);
    reading.reporter.Fault(
        text.where, fmt::format("unknown version {} in {}", Quote(text.text), table.name()),
        near.empty() ? "versions are \"TLSv1.3\", \"TLSv1.2\", \"TLSv1.1\" and \"TLSv1\""
                     : fmt::format("did you mean {}?", Quote(near)));
  }
  if (!any) return;
  policy.places.versions = table.WhereOfValue("versions");
  const auto first = std::ranges::find(wanted, true);
  const auto last = std::find(wanted.rbegin(), wanted.rend(), true).base();
  if (std::find(first, last, false) != last) {
    // A client that offers a range cannot be told about the hole (RFC 5246 appendix E.1).
    reading.reporter.Fault(policy.places.versions,
                           fmt::format("versions in {} leaves one out in between", table.name()),
                           "name every version from the oldest to the newest that is wanted");
    return;
  }
  policy.min_version = static_cast<uint16_t>(0x0300 + (first - wanted.begin()));
  policy.max_version = static_cast<uint16_t>(0x0300 + (last - wanted.begin()) - 1);
}

Policy ReadPolicy(Reading& reading, const std::string& name, const toml::table& node) {
  TableReader table(node, fmt::format("[policies.{}]", name), reading.reporter);
  static const std::vector<Choice<const Policy*>> bases = [] {
    std::vector<Choice<const Policy*>> choices;
    for (const Policy& policy : BuiltInPolicies()) choices.push_back({policy.name, &policy});
    return choices;
  }();
  const Policy* base = &DefaultPolicy();
  table.OneOf<const Policy*>("base", base, bases);
  Policy policy = *base;
  policy.name = name;
  policy.where = table.where();
  ReadVersions(reading, table, policy);
  ReadList(table, "ciphers", policy.ciphers, policy.places.ciphers);
  ReadList(table, "ciphersuites", policy.ciphersuites, policy.places.ciphersuites);
  ReadList(table, "groups", policy.groups, policy.places.groups);
  ReadList(table, "signature_algorithms", policy.signature_algorithms,
           policy.places.signature_algorithms);
  table.Bool("server_preference", policy.server_preference);
  table.Finish();
  return policy;
}

}  // namespace

std::span<const Policy> BuiltInPolicies() {
  // "modern" has no cipher of its own below TLS 1.3; what stands there is never used.
  static const std::array<Policy, 3> policies = {
      BuiltIn("modern", 0x0304, std::string(kAeadCiphers), false),
      BuiltIn("intermediate", 0x0303, std::string(kAeadCiphers), false),
      BuiltIn("old", 0x0301, std::string(kAeadCiphers) + std::string(kOldCiphers), true),
  };
  return policies;
}

const Policy* FindPolicy(std::span<const Policy> policies, std::string_view name) {
  const auto found = std::ranges::find(policies, name, &Policy::name);
  return found == policies.end() ? nullptr : &*found;
}

void ReadPolicyName(Reading& reading, TableReader& table, std::string& policy) {
  std::string name;
  if (!table.Text("policy", name)) return;
  if (FindPolicy(reading.config.policies, name) != nullptr) {
    policy = std::move(name);
    return;
  }
  const std::vector<std::string_view> names = Names(reading.config.policies);
  const std::string_view near = Nearest(name, names);
  reading.reporter.Missing(
      table.WhereOfValue("policy"),
      fmt::format("the policy {} of {} is not defined", Quote(name), table.name()),
      near.empty()
          ? fmt::format("name one of {}, or add a table [policies.NAME]",
                        QuoteList(std::span(names).first(std::min<size_t>(10, names.size()))))
          : fmt::format("did you mean {}?", Quote(near)));
}

void ReadPolicies(Reading& reading) {
  for (const auto& [name, node] : NamedTables(reading, "policies", "policy")) {
    Policy policy = ReadPolicy(reading, name, *node);
    if (FindPolicy(BuiltInPolicies(), name) != nullptr) {
      reading.reporter.Fault(
          policy.where, fmt::format("the policy {} is built in", Quote(name)),
          fmt::format("choose another name, and begin with base = {}", Quote(name)));
      continue;
    }
    reading.config.policies.push_back(std::move(policy));
  }
}

void ReadTls(Reading& reading) {
  const auto* node = reading.root.Child<toml::table>("tls", "a table", kTableHelp);
  if (node == nullptr) return;
  TableReader table(*node, "[tls]", reading.reporter);
  ReadPolicyName(reading, table, reading.config.default_policy);
  table.Finish();
}

}  // namespace postern::config
