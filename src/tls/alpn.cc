// Registered names: IANA's "TLS Application-Layer Protocol Negotiation (ALPN) Protocol IDs". SMTP
// has none, so that there is nothing to select; "smtp" and "esmtp", which some clients send all the
// same, mean what they say. A raw listener carries whatever its clients speak.
#include "tls/alpn.h"

#include <algorithm>
#include <array>

namespace postern::tls {
namespace {

constexpr size_t kMaxNames = 6;
constexpr size_t kMaxName = 32;

struct Registered {
  std::string_view service;
  std::string_view protocol;
};
constexpr std::array<Registered, 4> kRegistered = {{
    {"imap", "imap"},
    {"pop3", "pop3"},
    {"sieve", "managesieve"},
    {"http", "http/1.1"},
}};

// Calls `visit` for each name until it returns false.
template <typename Visit>
void ForEach(Bytes offered, Visit visit) {
  std::string_view rest = AsText(offered);
  while (!rest.empty()) {
    const size_t size = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    if (size == 0 || size > rest.size() || !visit(rest.substr(0, size))) return;
    rest.remove_prefix(size);
  }
}

bool Offers(Bytes offered, std::string_view protocol) {
  bool found = false;
  ForEach(offered, [&](std::string_view name) { return !(found = name == protocol); });
  return found;
}

}  // namespace

AlpnChoice ChooseAlpn(std::string_view service, Bytes offered) {
  if (service == "raw") return {};
  const auto known = std::ranges::find(kRegistered, service, &Registered::service);
  if (known != kRegistered.end()) {
    if (!Offers(offered, known->protocol)) return {AlpnChoice::Kind::kForeign, {}};
    return {AlpnChoice::Kind::kSelected, known->protocol};
  }
  if (Offers(offered, "smtp") || Offers(offered, "esmtp")) return {};
  return {AlpnChoice::Kind::kForeign, {}};
}

std::string_view AlpnServed(std::string_view service) {
  const auto known = std::ranges::find(kRegistered, service, &Registered::service);
  return known != kRegistered.end() ? known->protocol : "smtp or esmtp";
}

std::vector<std::string> AlpnNames(Bytes offered) {
  std::vector<std::string> names;
  ForEach(offered, [&](std::string_view name) {
    names.emplace_back(name.substr(0, kMaxName));
    return names.size() < kMaxNames;
  });
  return names;
}

}  // namespace postern::tls
