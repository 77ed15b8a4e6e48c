#include "postern/tls/client_contexts.h"

#include <utility>
#include <vector>

#include "postern/base/check.h"
#include "tls/backend_context.h"
#include "tls/handshake_client.h"

namespace postern::tls {
namespace {

class AllBackends final : public ClientContexts {
 public:
  explicit AllBackends(std::vector<BackendContextPtr> backends) : backends_(std::move(backends)) {}

  std::unique_ptr<Handshake> Begin(uint32_t backend, std::string_view server_name) override {
    POSTERN_CHECK(backend < backends_.size() && backends_[backend] != nullptr);
    return BeginClientHandshake(backends_[backend], server_name);
  }

 private:
  std::vector<BackendContextPtr> backends_;  // by number; null: without TLS
};

}  // namespace

Result<std::shared_ptr<ClientContexts>> ClientContexts::Create(
    const generation::Settings& settings, const generation::CertificateIndex& certificates) {
  BackendContextMaker maker;
  std::vector<BackendContextPtr> made;
  for (const generation::BackendSettings& backend : settings.backends()) {
    BackendContextPtr& context = made.emplace_back();
    if (backend.tls == config::BackendTlsMode::kOff) continue;
    BackendPolicy policy{.name = backend.name,
                         .starttls = backend.tls == config::BackendTlsMode::kStartTls,
                         .min_version = backend.tls_min_version};
    if (backend.trust != generation::kNoTrust) policy.trust = &settings.trusts()[backend.trust];
    generation::CertificateView certificate;
    if (backend.certificate != generation::kNoCertificate) {
      if (backend.certificate >= certificates.size()) {
        return Fail("the settings part of the generation names a certificate that is not there");
      }
      certificate = certificates.Get(backend.certificate);
      policy.certificate = &certificate;
    }
    Result<BackendContextPtr> fresh = maker.Make(policy);
    if (!fresh) return std::unexpected(fresh.error());
    context = std::move(*fresh);
  }
  return std::make_shared<AllBackends>(std::move(made));
}

}  // namespace postern::tls
