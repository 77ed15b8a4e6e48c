// Certificates by name, parsed when first asked for, least recently used out first.
//
// What is kept per name is the parsed chain and key (see server_certificate.cc for why that is not
// an SSL_CTX). Connections hold references of their own, so that an entry may go at any time.
#include "tls/contexts.h"

#include <openssl/err.h>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "tls/handshake_libssl.h"
#include "tls/openssl_error.h"

namespace postern::tls {
namespace {

// What libssl refuses (a key too small for its security level) should be known before a client
// comes.
Status TryInstall(SSL_CTX* context, const ServerCertificate& certificate) {
  ERR_clear_error();
  const SslPtr ssl(SSL_new(context));
  if (ssl != nullptr && certificate.Install(ssl.get())) return {};
  return Fail("certificate " + certificate.name() + ": OpenSSL refuses it: " + TakeOpensslError(),
              "make a key of at least 2048 bits (RSA) or 256 bits (ECDSA)");
}

}  // namespace

Contexts::Contexts(std::unique_ptr<const CertificateSource> source, PolicyContextPtr base,
                   size_t max_contexts)
    : source_(std::move(source)), base_(std::move(base)), max_contexts_(max_contexts) {
  POSTERN_CHECK(max_contexts_ > 0);
}

Result<Contexts::Selected> Contexts::Select(std::string_view sni) {
  uint32_t number = sni.empty() ? generation::CertificateIndex::kNone : source_->Find(sni);
  const bool by_name = number != generation::CertificateIndex::kNone;
  if (!by_name) number = source_->default_certificate();
  const generation::CertificateView view = source_->Get(number);

  if (const auto known = by_identity_.find(view.identity); known != by_identity_.end()) {
    recent_.splice(recent_.begin(), recent_, known->second);
    return Selected{&recent_.front().certificate, by_name};
  }
  auto certificate = ServerCertificate::Load(view);
  if (!certificate) return std::unexpected(certificate.error());
  if (const Status fits = TryInstall(base_->context.get(), *certificate); !fits) {
    return std::unexpected(fits.error());
  }
  if (recent_.size() == max_contexts_) {
    by_identity_.erase(recent_.back().identity);
    recent_.pop_back();
  }
  recent_.push_front({view.identity, std::move(*certificate)});
  by_identity_[view.identity] = recent_.begin();
  return Selected{&recent_.front().certificate, by_name};
}

std::unique_ptr<Handshake> Contexts::Begin(const ListenerPolicy& policy) {
  return BeginLibsslHandshake(std::static_pointer_cast<Contexts>(shared_from_this()), policy);
}

Result<std::shared_ptr<ServerContexts>> CreateServerContexts(
    std::unique_ptr<const CertificateSource> certificates, const shm::TicketKeys& ticket_keys,
    size_t max_contexts) {
  const config::Policy* policy =
      config::FindPolicy(config::BuiltInPolicies(), config::kDefaultPolicy);
  auto base = MakePolicyContext(generation::SettingsOf(*policy), {}, ticket_keys);
  if (!base) return std::unexpected(base.error());
  auto contexts =
      std::make_shared<Contexts>(std::move(certificates), std::move(*base), max_contexts);
  if (const auto chosen = contexts->Select({}); !chosen) return std::unexpected(chosen.error());
  return contexts;
}

}  // namespace postern::tls
