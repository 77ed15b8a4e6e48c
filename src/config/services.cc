// Defaults are a little above what the protocol's RFC asks of a server, so that the mail server
// behind, which can say why, is the one to end an idle session.
#include "services.h"

#include <array>

#include "postern/base/check.h"

namespace postern::config {
namespace {

constexpr uint64_t kMinute = 60'000;

constexpr std::array<ServiceFacts, 8> kServices = {{
    {Service::kImap, "imap", 35 * kMinute, 30 * kMinute, "RFC 9051 section 5.4"},
    {Service::kPop3, "pop3", 11 * kMinute, 10 * kMinute, "RFC 1939 section 3"},
    {Service::kSmtp, "smtp", 11 * kMinute, 5 * kMinute, "RFC 5321 section 4.5.3.2.7"},
    {Service::kSubmission, "submission", 11 * kMinute, 5 * kMinute, "RFC 5321 section 4.5.3.2.7"},
    {Service::kLmtp, "lmtp", 11 * kMinute, 5 * kMinute, "RFC 5321 section 4.5.3.2.7"},
    {Service::kSieve, "sieve", 35 * kMinute, 30 * kMinute, "RFC 5804 section 1.2"},
    {Service::kHttp, "http", 2 * kMinute, 0, ""},
    {Service::kRaw, "raw", 60 * kMinute, 0, ""},
}};

constexpr std::array<PlainPort, 7> kPlainPorts = {{
    {25, "SMTP between servers, which begins without TLS", "465 for submission over TLS"},
    {80, "plain HTTP", "443 for HTTPS"},
    {110, "POP3, which begins without TLS", "995 for POP3 over TLS"},
    {143, "IMAP, which begins without TLS", "993 for IMAP over TLS"},
    {587, "submission, which begins without TLS", "465 for submission over TLS"},
    {2000, "old ManageSieve, which begins without TLS", "a port that your clients agree on"},
    {4190, "ManageSieve, which begins without TLS", "a port that your clients agree on"},
}};

constexpr std::array<TlsPort, 3> kTlsPorts = {{
    {465, "submission over TLS", 587},
    {993, "IMAP over TLS", 143},
    {995, "POP3 over TLS", 110},
}};

}  // namespace

std::span<const ServiceFacts> AllServices() { return kServices; }

const ServiceFacts& FactsOf(Service service) {
  for (const ServiceFacts& facts : kServices) {
    if (facts.service == service) return facts;
  }
  POSTERN_CHECK(false);
  return kServices.back();
}

bool HasStartTls(Service service) { return service != Service::kHttp && service != Service::kRaw; }

bool HasIdentification(Service service) { return HasStartTls(service); }

bool HasLoginXclient(Service service) {
  return service == Service::kSmtp || service == Service::kSubmission;
}

const PlainPort* FindPlainPort(uint16_t port) {
  for (const PlainPort& plain : kPlainPorts) {
    if (plain.port == port) return &plain;
  }
  return nullptr;
}

const TlsPort* FindTlsPort(uint16_t port) {
  for (const TlsPort& tls : kTlsPorts) {
    if (tls.port == port) return &tls;
  }
  return nullptr;
}

std::string_view ToString(Service service) { return FactsOf(service).name; }

}  // namespace postern::config
