// CertificateSource: where certificates come from. Behind it is a generation's CertificateIndex;
// tests put a few certificates of their own there.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "postern/generation/certificate_index.h"
#include "postern/tls/server_contexts.h"

namespace postern::tls {

class CertificateSource {
 public:
  virtual ~CertificateSource() = default;
  virtual generation::Choices Find(std::string_view host) const = 0;
  virtual generation::Choices default_certificates() const = 0;  // never empty
  virtual generation::CertificateFacts Facts(uint32_t certificate) const = 0;
  virtual generation::StapleView Staple(uint32_t certificate) const = 0;
  virtual generation::CertificateView Get(uint32_t certificate) const = 0;
};

// ServerContexts::Create on any source. `max_contexts` is limits::kMaxContexts outside of tests.
Result<std::shared_ptr<ServerContexts>> CreateServerContexts(
    std::unique_ptr<const CertificateSource> certificates, const shm::TicketKeys& ticket_keys,
    size_t max_contexts);

}  // namespace postern::tls
