// One SSL_CTX for each set of authorities and oldest version: parsing the machine's authorities
// takes some milliseconds and a megabyte, for each worker.
//
// Sessions are not carried from one generation to the next. What was verified by other rules must
// not be resumed under these, and a reload costs a full handshake or two.
#include "tls/backend_context.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include "postern/config/policy.h"
#include "tls/client_trust.h"
#include "tls/handshake_client.h"
#include "tls/kdf_provider.h"
#include "tls/openssl_error.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

// What we offer: that of the policy whose clients the server would be.
bool Offer(SSL_CTX* context, uint16_t min_version) {
  const char* base = min_version < TLS1_2_VERSION ? "old" : "intermediate";
  config::Policy policy = *config::FindPolicy(config::BuiltInPolicies(), base);
  policy.min_version = min_version;
  return ApplyPolicy(context, generation::SettingsOf(policy));
}

void Configure(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 0);
}

std::unexpected<Error> Refuse(const BackendPolicy& policy, std::string_view what) {
  return Fail(fmt::format("back end {}: {}", policy.name, what),
              "look into openssl.cnf for a system-wide policy that forbids it");
}

}  // namespace

Result<std::shared_ptr<SSL_CTX>> BackendContextMaker::Context(const BackendPolicy& policy) {
  std::shared_ptr<SSL_CTX>& known = made_[{policy.trust, policy.min_version}];
  if (known != nullptr) return known;
  ERR_clear_error();
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new_ex(nullptr, UseOwnKdf(), TLS_client_method()),
                                         SSL_CTX_free);
  if (context == nullptr || !Offer(context.get(), policy.min_version)) {
    return Refuse(policy, "OpenSSL refuses its TLS settings: " + TakeOpensslError());
  }
  Configure(context.get());
  if (policy.trust != nullptr) {
    // A store without authorities would refuse every server; no file without any gets this far.
    if (policy.trust->certificates.empty()) return Refuse(policy, "it trusts no authority");
    StorePtr& store = stores_[policy.trust];
    if (store == nullptr) store = MakeTrustStore(*policy.trust);
    if (store == nullptr) {
      return Refuse(policy, "its authorities cannot be used: " + TakeOpensslError());
    }
    SSL_CTX_set1_cert_store(context.get(), store.get());
  }
  SetClientCallbacks(context.get(), policy.trust != nullptr);
  ERR_clear_error();
  known = context;
  return known;
}

Result<BackendContextPtr> BackendContextMaker::Make(const BackendPolicy& policy) {
  auto context = Context(policy);
  if (!context) return std::unexpected(context.error());
  auto made = std::make_shared<BackendContext>();
  made->name = policy.name;
  made->starttls = policy.starttls;
  made->verify = policy.trust != nullptr;
  made->min_version = policy.min_version;
  made->context = std::move(*context);
  if (policy.certificate != nullptr) {
    auto certificate = ServerCertificate::Load(*policy.certificate);
    if (!certificate) return std::unexpected(certificate.error());
    // What libssl refuses (a key too small for its security level) should be known now.
    if (Status fits = certificate->Try(made->context.get()); !fits) {
      return Fail(fmt::format("back end {}: our certificate for its servers: {}", policy.name,
                              fits.error().what),
                  fits.error().remedy);
    }
    made->certificate = std::move(*certificate);
  }
  return made;
}

}  // namespace postern::tls
