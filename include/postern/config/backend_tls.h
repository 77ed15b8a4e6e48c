// TLS towards the servers of a back end, as the configuration has it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "postern/base/result.h"
#include "postern/pki/passphrase.h"

namespace postern::config {

// kStartTls begins in plain text and asks for TLS by the service's command.
enum class BackendTlsMode : uint8_t { kOff, kImplicit, kStartTls };
std::string_view ToString(BackendTlsMode mode);  // "starttls", as written in the file

// With kOff the rest is without meaning.
struct BackendTls {
  BackendTlsMode mode = BackendTlsMode::kOff;
  // What the servers' certificates have to be for: a host name without a dot at its end, or a
  // numeric address. Empty: each server's own host, which every server has then, unless `verify` is
  // false.
  std::string name;
  bool verify = true;
  std::string ca;                 // path of the authorities' certificates, PEM
  bool system_ca = false;         // it is the machine's own list
  uint16_t min_version = 0x0303;  // as on the wire
  // Our own certificate, for servers that ask for one; both paths are empty when there is none.
  std::string certificate;
  std::string key;
  pki::PassphraseSource passphrase = {};
  Where where;              // of tls
  Where ca_where;           // of tls_ca; else that of tls
  Where certificate_where;  // of tls_certificate
};

// Where Debian keeps the authorities that the machine trusts (package ca-certificates).
inline constexpr std::string_view kSystemAuthorities = "/etc/ssl/certs/ca-certificates.crt";

struct Backend;
struct Server;
// ExpectedName is what the certificate of `server` has to be for, a server of `backend`; empty:
// that is not asked.
std::string ExpectedName(const Backend& backend, const Server& server);

}  // namespace postern::config
