// Three short lists: listeners, back ends, certificates. Programs get theirs from `status --json`;
// this text may change.
#include "summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/os/clock.h"
#include "report.h"

namespace postern::cli {
namespace {

std::string AddressText(const config::ListenAddress& address) {
  if (address.dual_stack) return fmt::format("*:{}", address.port);
  const bool v6 = address.ip.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.ip, address.port)
            : fmt::format("{}:{}", address.ip, address.port);
}

template <typename List, typename Text>
std::string Joined(const List& list, Text text) {
  std::string joined;
  for (const auto& item : list) joined += (joined.empty() ? "" : ", ") + text(item);
  return joined;
}

template <typename List, typename Text>
size_t Widest(const List& list, Text text) {
  size_t width = 0;
  for (const auto& item : list) width = std::max(width, std::string_view(text(item)).size());
  return width;
}

std::string Clients(config::ClientMode mode) {
  if (mode == config::ClientMode::kOff) return {};
  return fmt::format(", client certificates {}", ToString(mode));
}

std::string Tls(const config::Listener& listener) {
  if (listener.tls == config::TlsMode::kOff) return "no TLS";
  const bool optional = !listener.require_tls;
  return fmt::format("TLS {}{} ({}{})", ToString(listener.tls), optional ? ", not required" : "",
                     listener.policy, Clients(listener.clients.mode));
}

std::string Listeners(const config::Config& config) {
  const auto name = [](const config::Listener& listener) { return listener.name; };
  const auto addresses = [](const config::Listener& listener) {
    return Joined(listener.addresses, AddressText);
  };
  const size_t name_width = Widest(config.listeners, name);
  const size_t address_width = std::min<size_t>(Widest(config.listeners, addresses), 30);
  std::string text = "listeners\n";
  for (const config::Listener& listener : config.listeners) {
    text += fmt::format("  {:<{}}  {:<{}}  {}, {}, to {}\n", listener.name, name_width,
                        addresses(listener), address_width, ToString(listener.service),
                        Tls(listener), listener.backend);
  }
  return text;
}

std::string Tls(const config::BackendTls& tls) {
  if (tls.mode == config::BackendTlsMode::kOff) return {};
  return fmt::format(", TLS {}{}", ToString(tls.mode), tls.verify ? "" : ", not verified");
}

std::string Backends(const config::Config& config) {
  const auto name = [](const config::Backend& backend) { return backend.name; };
  const size_t width = Widest(config.backends, name);
  std::string text = "back ends\n";
  for (const config::Backend& backend : config.backends) {
    text += fmt::format(
        "  {:<{}}  {}{}\n", backend.name, width,
        Joined(backend.servers, [](const config::Server& server) { return server.text; }),
        Tls(backend.tls));
  }
  return text;
}

std::string Certificates(const config::Config& config, const generation::Generation& generation,
                         bool would_make_pair) {
  std::string text = "certificates\n";
  if (would_make_pair) {
    return text + fmt::format(
                      "  none yet: a start makes a self-signed pair, {0}/default.crt and "
                      "{0}/default.key\n",
                      config.certificates.directory);
  }
  // A machine with 100,000 certificates wants to know about few of them here.
  constexpr size_t kMostShown = 50;
  constexpr size_t kMostNames = 5;
  const int64_t now = os::WallSeconds();
  const size_t shown = std::min(generation.summaries.size(), kMostShown);
  for (size_t i = 0; i < shown; ++i) {
    const generation::CertificateSummary& certificate = generation.summaries[i];
    std::string names;
    for (size_t j = 0; j < std::min(certificate.names.size(), kMostNames); ++j) {
      names += (j == 0 ? "" : ", ") + certificate.names[j];
    }
    if (certificate.names.size() > kMostNames) {
      names += fmt::format(" and {} more", certificate.names.size() - kMostNames);
    }
    text += fmt::format(
        "  {}{}: {}; {}; {}\n", certificate.name, certificate.is_default ? " (default)" : "",
        !certificate.backend.empty() ? fmt::format("for the servers of {}", certificate.backend)
        : names.empty()              ? "no host name"
                                     : names,
        certificate.key_type, ValidityText(certificate.not_after, now));
  }
  if (generation.summaries.size() > shown) {
    text += fmt::format("  and {} more\n", generation.summaries.size() - shown);
  }
  return text;
}

}  // namespace

std::string Summary(const config::Config& config, const generation::Generation& generation,
                    bool would_make_pair) {
  return Listeners(config) + Backends(config) + Certificates(config, generation, would_make_pair);
}

}  // namespace postern::cli
