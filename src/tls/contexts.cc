// Certificates by name, parsed when first asked for, least recently used out first.
//
// What is kept per name is the parsed chain and key (see server_certificate.cc for why that is not
// an SSL_CTX). Connections hold references of their own, so that an entry may go at any time. When
// the index changes, the entries of certificates that it still has are handed on; those of others
// go with the old index, and their keys with them.
#include "tls/contexts.h"

#include <openssl/err.h>

#include <ctime>
#include <iterator>
#include <memory>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "tls/handshake_libssl.h"

namespace postern::tls {
namespace {

// Whether libssl takes it should be known before a client comes. What it refuses, pki refuses when
// the files are read, so this finds what nobody has thought of.
Status TryInstall(SSL_CTX* context, const ServerCertificate& certificate) {
  Status fits = certificate.Try(context);
  if (!fits) fits.error().what = "certificate " + certificate.name() + ": " + fits.error().what;
  return fits;
}

}  // namespace

Contexts::Contexts(std::unique_ptr<const CertificateSource> source, PolicyContextPtr base,
                   size_t max_contexts)
    : source_(std::move(source)), base_(std::move(base)), max_contexts_(max_contexts) {
  POSTERN_CHECK(max_contexts_ > 0);
}

generation::Choices Contexts::ChoicesFor(std::string_view sni, bool& by_name) const {
  const generation::Choices choices = sni.empty() ? generation::Choices() : source_->Find(sni);
  by_name = !choices.empty();
  return by_name ? choices : source_->default_certificates();
}

uint32_t Contexts::KeyKinds(std::string_view sni) const {
  bool by_name = false;
  uint32_t kinds = 0;
  for (const uint32_t number : ChoicesFor(sni, by_name)) {
    kinds |= 1U << static_cast<uint32_t>(source_->Facts(number).key_kind);
  }
  return kinds;
}

uint32_t Contexts::Choose(const generation::Choices& choices, const AskAbilities& abilities) const {
  if (choices.count == 1) return choices.certificates[0];
  std::vector<CertificateTraits> traits;
  for (const uint32_t number : choices) {
    const generation::CertificateFacts facts = source_->Facts(number);
    traits.push_back({facts.key_kind, facts.schemes});
  }
  return choices.certificates[ChooseCertificate(traits, abilities())];
}

Result<Contexts::Selected> Contexts::Select(std::string_view sni, const AskAbilities& abilities) {
  bool by_name = false;
  const uint32_t number = Choose(ChoicesFor(sni, by_name), abilities);
  const Result<const ServerCertificate*> certificate = Certificate(number);
  if (!certificate) return std::unexpected(certificate.error());
  return Selected{*certificate, number, by_name};
}

Result<const ServerCertificate*> Contexts::Certificate(uint32_t number) {
  const uint64_t identity = source_->Facts(number).identity;
  if (const auto known = by_identity_.find(identity); known != by_identity_.end()) {
    recent_.splice(recent_.begin(), recent_, known->second);
    return recent_.front().certificate.get();
  }
  auto certificate = ServerCertificate::Load(source_->Get(number));
  if (!certificate) return std::unexpected(certificate.error());
  if (const Status fits = TryInstall(base_->context.get(), *certificate); !fits) {
    return std::unexpected(fits.error());
  }
  if (recent_.size() == max_contexts_) {
    by_identity_.erase(recent_.back().identity);
    recent_.pop_back();
  }
  recent_.push_front(
      {identity, std::make_shared<const ServerCertificate>(std::move(*certificate))});
  by_identity_[identity] = recent_.begin();
  return recent_.front().certificate.get();
}

void Contexts::Adopt(const Contexts& other, const std::function<bool(uint64_t identity)>& serves) {
  for (const Entry& entry : other.recent_) {
    if (recent_.size() >= max_contexts_) return;
    if (by_identity_.contains(entry.identity) || !serves(entry.identity)) continue;
    recent_.push_back(entry);
    by_identity_[entry.identity] = std::prev(recent_.end());
  }
}

std::vector<uint64_t> Contexts::Identities() const {
  std::vector<uint64_t> identities;
  for (const Entry& entry : recent_) identities.push_back(entry.identity);
  return identities;
}

Bytes Contexts::Staple(uint32_t number) const {
  const generation::StapleView staple = source_->Staple(number);
  return staple.good_until > std::time(nullptr) ? staple.response : Bytes();
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
  // All of the default's: whichever a client can verify must be there for it.
  for (const uint32_t number : contexts->defaults()) {
    if (const auto made = contexts->Certificate(number); !made)
      return std::unexpected(made.error());
  }
  return contexts;
}

}  // namespace postern::tls
