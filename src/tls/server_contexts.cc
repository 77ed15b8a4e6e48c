// ServerContexts over a generation's certificates. The work is in contexts.cc; this file alone
// needs the certificate index.
#include "postern/tls/server_contexts.h"

#include "postern/base/limits.h"
#include "tls/certificate_source.h"

namespace postern::tls {
namespace {

class IndexSource final : public CertificateSource {
 public:
  explicit IndexSource(generation::CertificateIndexPtr index) : index_(std::move(index)) {}

  generation::Choices Find(std::string_view host) const override { return index_->Find(host); }
  generation::Choices default_certificates() const override {
    return index_->default_certificates();
  }
  generation::CertificateFacts Facts(uint32_t certificate) const override {
    return index_->Facts(certificate);
  }
  generation::StapleView Staple(uint32_t certificate) const override {
    return index_->Staple(certificate);
  }
  generation::CertificateView Get(uint32_t certificate) const override {
    return index_->Get(certificate);
  }

 private:
  generation::CertificateIndexPtr index_;
};

}  // namespace

Result<std::shared_ptr<ServerContexts>> ServerContexts::Create(
    generation::CertificateIndexPtr certificates, const shm::TicketKeys& ticket_keys) {
  return CreateServerContexts(std::make_unique<IndexSource>(std::move(certificates)), ticket_keys,
                              limits::kMaxContexts);
}

}  // namespace postern::tls
