// ServerContexts over a generation's certificates. The work is in contexts.cc; this file alone
// needs the certificate index.
#include "postern/tls/server_contexts.h"

#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "postern/base/limits.h"
#include "tls/certificate_source.h"
#include "tls/contexts.h"

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

// One pass over the new index, since who is in it by name need not be so by identity.
void TakeOver(const Contexts& before, const generation::CertificateIndex& index, Contexts& made) {
  const std::vector<uint64_t> parsed = before.Identities();
  std::unordered_set<uint64_t> missing(parsed.begin(), parsed.end());
  std::unordered_set<uint64_t> found;
  for (uint32_t i = 0; i < index.size() && !missing.empty(); ++i) {
    const uint64_t identity = index.Facts(i).identity;
    if (missing.erase(identity) != 0) found.insert(identity);
  }
  made.Adopt(before, [&](uint64_t identity) { return found.contains(identity); });
}

}  // namespace

Result<std::shared_ptr<ServerContexts>> ServerContexts::Create(
    generation::CertificateIndexPtr certificates, const shm::TicketKeys& ticket_keys,
    const ServerContexts* before) {
  auto made = CreateServerContexts(std::make_unique<IndexSource>(certificates), ticket_keys,
                                   limits::kMaxContexts);
  if (made && before != nullptr) {
    TakeOver(static_cast<const Contexts&>(*before), *certificates, static_cast<Contexts&>(**made));
  }
  return made;
}

}  // namespace postern::tls
