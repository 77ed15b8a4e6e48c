// Contexts: the implementation of ServerContexts, as the handshake sees it.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "postern/tls/server_contexts.h"
#include "tls/certificate_source.h"
#include "tls/client_abilities.h"
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
    uint32_t number = 0;   // of the certificate, for Staple
    bool by_name = false;  // a certificate for this very name, not the default one
  };
  // Asked only when there is a choice.
  using AskAbilities = std::function<ClientAbilities()>;
  // Select gives the best certificate for `sni`, parsed at need.
  Result<Selected> Select(std::string_view sni, const AskAbilities& abilities);
  // KeyKinds are those of all certificates that `sni` could be served with, bit 1 << pki::KeyClass.
  uint32_t KeyKinds(std::string_view sni) const;
  // Certificate gives one by its number, parsed at need. Valid until the next one is parsed.
  Result<const ServerCertificate*> Certificate(uint32_t number);
  // Adopt takes over what `other` has parsed of the certificates that `serves` says are here, too,
  // least recently used last, as far as there is room.
  void Adopt(const Contexts& other, const std::function<bool(uint64_t identity)>& serves);
  // Those that are parsed.
  std::vector<uint64_t> Identities() const;
  generation::Choices defaults() const { return source_->default_certificates(); }
  // The OCSP response to send with certificate `number` now; empty when there is none that still
  // holds. It lies in the generation's memory.
  Bytes Staple(uint32_t number) const;

 private:
  generation::Choices ChoicesFor(std::string_view sni, bool& by_name) const;
  uint32_t Choose(const generation::Choices& choices, const AskAbilities& abilities) const;

  struct Entry {
    uint64_t identity;
    std::shared_ptr<const ServerCertificate> certificate;
  };

  std::unique_ptr<const CertificateSource> source_;
  PolicyContextPtr base_;
  size_t max_contexts_;
  std::list<Entry> recent_;  // most recently used first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> by_identity_;
};

}  // namespace postern::tls
