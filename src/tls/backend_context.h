// BackendContext: what handshakes with the servers of one back end start from.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "postern/base/result.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/settings.h"
#include "tls/openssl_types.h"
#include "tls/server_certificate.h"
#include "tls/session_cache.h"

namespace postern::tls {

// What a back end asks of TLS. All borrowed.
struct BackendPolicy {
  std::string_view name;  // the back end's, for messages
  bool starttls = false;
  uint16_t min_version = 0x0303;
  const generation::TrustSettings* trust = nullptr;          // null: servers are not verified
  const generation::CertificateView* certificate = nullptr;  // ours; null: none
};

struct BackendContext {
  std::string name;
  bool starttls = false;
  bool verify = true;
  uint16_t min_version = 0;
  std::shared_ptr<SSL_CTX> context;  // without certificate: no connection keeps its key
  std::optional<ServerCertificate> certificate;
  // Shared with the connections, whose tickets may come when the generation has gone.
  std::shared_ptr<SessionCache> sessions = std::make_shared<SessionCache>();
};
using BackendContextPtr = std::shared_ptr<const BackendContext>;

// BackendContextMaker makes them; those with the same authorities share the parsed ones.
class BackendContextMaker {
 public:
  Result<BackendContextPtr> Make(const BackendPolicy& policy);

 private:
  Result<std::shared_ptr<SSL_CTX>> Context(const BackendPolicy& policy);

  // By authorities and oldest version.
  std::map<std::pair<const generation::TrustSettings*, uint16_t>, std::shared_ptr<SSL_CTX>> made_;
  std::map<const generation::TrustSettings*, StorePtr> stores_;
};

}  // namespace postern::tls
