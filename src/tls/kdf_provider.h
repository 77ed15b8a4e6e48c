// Postern's own TLS13-KDF within OpenSSL: the key schedule of libssl's TLS 1.3 handshakes runs
// through it, which makes it cheaper and shows the traffic secrets as they come about.
#pragma once

#include "postern/base/bytes.h"
#include "tls/key_schedule.h"

namespace postern::tls {

// UseOwnKdf registers the provider with OpenSSL, once per process, and returns the property query
// to make an SSL_CTX with (SSL_CTX_new_ex): it prefers our KDF and leaves all else to the providers
// that the system has configured. Null where OpenSSL does not take it; secrets then come by the key
// log.
const char* UseOwnKdf();

// TrafficSecretSink is told the two application traffic secrets (RFC 8446 section 7.1:
// client_application_traffic_secret_0, server_application_traffic_secret_0).
class TrafficSecretSink {
 public:
  virtual void OnTrafficSecret(bool client, Bytes secret) = 0;

 protected:
  ~TrafficSecretSink() = default;
};

// SinkScope has `sink` told what this thread's handshakes derive while it lives.
class SinkScope {
 public:
  explicit SinkScope(TrafficSecretSink& sink);
  ~SinkScope();
  SinkScope(const SinkScope&) = delete;
  SinkScope& operator=(const SinkScope&) = delete;
};

}  // namespace postern::tls
