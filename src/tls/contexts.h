// Contexts: the implementation of ServerContexts, as the handshake sees it.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "postern/tls/server_contexts.h"
#include "tls/certificate_source.h"
#include "tls/policy_context.h"
#include "tls/server_certificate.h"

namespace postern::tls {

class Contexts final : public ServerContexts {
 public:
  Contexts(std::unique_ptr<const CertificateSource> source, PolicyContextPtr base,
           size_t max_contexts);

  std::unique_ptr<Handshake> Begin(const ListenerPolicy& policy) override;
  size_t contexts() const override { return by_identity_.size(); }

  // The policy of handshakes that are begun without one.
  const PolicyContextPtr& base() const { return base_; }

  struct Selected {
    // Valid until the next Select.
    const ServerCertificate* certificate = nullptr;
    bool by_name = false;  // a certificate for this very name, not the default one
  };
  // Select gives the certificate for `sni`, parsed at need.
  Result<Selected> Select(std::string_view sni);

 private:
  struct Entry {
    uint64_t identity;
    ServerCertificate certificate;
  };

  std::unique_ptr<const CertificateSource> source_;
  PolicyContextPtr base_;
  size_t max_contexts_;
  std::list<Entry> recent_;  // most recently used first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> by_identity_;
};

}  // namespace postern::tls
