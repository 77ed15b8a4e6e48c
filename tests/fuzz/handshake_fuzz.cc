// Fuzzing of the server's side of a handshake: whatever a client sends, whole or in pieces.
//
// libssl's random numbers make no difference here, since no input can complete a handshake without
// knowing them: what is tested is everything up to there, and the explanation of the failure.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/os/unique_fd.h"
#include "postern/pki/request.h"
#include "postern/pki/self_signed.h"
#include "postern/shm/ticket_keys.h"
#include "postern/tls/policy.h"
#include "postern/tls/server_contexts.h"
#include "tls/certificate_source.h"

using postern::Bytes;
using postern::tls::Handshake;
using postern::tls::HandshakeFailure;
using postern::tls::HandshakeState;

namespace {

constexpr const char* kHost = "mail.example.com";

// Serves self-signed certificates under every name, or under one name alone and by default.
class Pairs final : public postern::tls::CertificateSource {
 public:
  Pairs(std::vector<postern::pki::Pair> pairs, std::string only_name)
      : pairs_(std::move(pairs)), only_name_(std::move(only_name)) {}
  postern::generation::Choices Find(std::string_view host) const override {
    const bool serves = only_name_.empty() || host == only_name_;
    return serves ? default_certificates() : postern::generation::Choices();
  }
  postern::generation::Choices default_certificates() const override {
    return {{0, 1}, static_cast<uint32_t>(pairs_.size())};
  }
  postern::generation::CertificateFacts Facts(uint32_t number) const override {
    return {number + 1, pairs_[number].key_kind, pairs_[number].schemes};
  }
  postern::generation::StapleView Staple(uint32_t) const override { return {}; }
  postern::generation::CertificateView Get(uint32_t number) const override {
    return {.identity = number + 1,
            .name = kHost,
            .chain_der = {std::as_bytes(std::span(pairs_[number].chain_der.front()))},
            .key_der = std::as_bytes(std::span(pairs_[number].key_der.get()))};
  }

 private:
  std::vector<postern::pki::Pair> pairs_;
  std::string only_name_;
};

postern::pki::Pair LoadFrom(std::string_view text) {
  const postern::os::UniqueFd file(::memfd_create("pair", MFD_CLOEXEC));
  POSTERN_CHECK(::fchmod(file.get(), 0600) == 0);
  POSTERN_CHECK(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  auto pair = postern::pki::LoadPair(path, path);
  POSTERN_CHECK(pair.has_value());
  return std::move(*pair);
}

std::string EcdsaText() {
  const auto made = postern::pki::MakeSelfSigned({kHost});
  POSTERN_CHECK(made.has_value());
  return made->certificate_pem + std::string(made->key_pem.text());
}

std::string RsaText() {
  auto key = postern::pki::MakeKey(postern::pki::KeyKind::kRsa2048);
  POSTERN_CHECK(key.has_value());
  const postern::pki::X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 86'400);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(kHost), -1, -1, 0);
  X509_set_issuer_name(x, name);
  X509_set_pubkey(x, key->get());
  POSTERN_CHECK(X509_sign(x, key->get(), EVP_sha256()) > 0);
  return *postern::pki::CertificatePem(x) + std::string(postern::pki::KeyPem(key->get())->text());
}

const postern::shm::TicketKeys& Keys() {
  static auto master = postern::shm::TicketKeyMaster::Create();
  POSTERN_CHECK(master.has_value());
  static auto keys = postern::shm::TicketKeys::Map(master->fd());
  POSTERN_CHECK(keys.has_value());
  return *keys;
}

using ContextsPtr = std::shared_ptr<postern::tls::ServerContexts>;

ContextsPtr MakeContexts(const std::vector<std::string>& texts, std::string only_name = {}) {
  std::vector<postern::pki::Pair> pairs;
  for (const std::string& text : texts) pairs.push_back(LoadFrom(text));
  auto contexts = postern::tls::CreateServerContexts(
      std::make_unique<Pairs>(std::move(pairs), std::move(only_name)), Keys(), 4);
  POSTERN_CHECK(contexts.has_value());
  return *contexts;
}

struct Outcome {
  HandshakeState state = HandshakeState::kNeedMore;
  HandshakeFailure failure = HandshakeFailure::kNone;
};

// A refusal of the first octets falls as early as it can, so its words depend on how many came at
// once.
bool IsAboutFirstOctets(HandshakeFailure failure) {
  return failure == HandshakeFailure::kPlainHttp || failure == HandshakeFailure::kPlainText ||
         failure == HandshakeFailure::kSslv2 || failure == HandshakeFailure::kNotTls;
}

// What an input is tried with.
struct Setting {
  postern::tls::PolicyContextPtr policy;
  ContextsPtr contexts;
  bool strict_sni = false;
};

// The default policy, what old clients get, and one that refuses most offers, so that their
// failures have to be explained; with a certificate for either kind of key, and both; and a
// listener that asks for names, and one for certificates.
const std::vector<Setting>& Settings() {
  static const auto settings = [] {
    using postern::config::Policy;
    const Policy& intermediate =
        *postern::config::FindPolicy(postern::config::BuiltInPolicies(), "intermediate");
    const Policy& old = *postern::config::FindPolicy(postern::config::BuiltInPolicies(), "old");
    Policy narrow = intermediate;
    narrow.name = "narrow";
    narrow.ciphers = "ECDHE-RSA-AES256-GCM-SHA384";
    narrow.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    narrow.groups = "P-384";
    narrow.signature_algorithms = "rsa_pss_rsae_sha512:ECDSA+SHA512";
    const auto make = [](const Policy& policy, const postern::tls::ClientPolicy& clients = {}) {
      auto context =
          postern::tls::MakePolicyContext(postern::generation::SettingsOf(policy), clients, Keys());
      POSTERN_CHECK(context.has_value());
      return *context;
    };
    const std::string ecdsa = EcdsaText();
    const std::string rsa = RsaText();
    static const postern::pki::Pair authority = LoadFrom(ecdsa);
    static const postern::generation::TrustSettings trust = {
        .certificates = {std::as_bytes(std::span(authority.chain_der.front()))}, .crls = {}};
    const postern::tls::ClientPolicy clients = {
        .mode = postern::config::ClientMode::kRequired, .depth = 3, .trust = &trust};
    const ContextsPtr one = MakeContexts({ecdsa});
    const ContextsPtr other = MakeContexts({rsa});
    const ContextsPtr both = MakeContexts({ecdsa, rsa});
    return std::vector<Setting>{{make(intermediate), one},
                                {make(old), one},
                                {make(old), other},
                                {make(old), both},
                                {make(narrow), both},
                                {make(intermediate), MakeContexts({ecdsa, rsa}, kHost), true},
                                {make(intermediate, clients), other}};
  }();
  return settings;
}

// Offers the input in pieces of `piece` octets, unconsumed ones again, as the session does.
Outcome Run(Bytes input, size_t piece, const Setting& setting) {
  const std::unique_ptr<Handshake> handshake =
      setting.contexts->Begin({.listener = "imaps",
                               .service = "imap",
                               .policy = setting.policy,
                               .strict_sni = setting.strict_sni});
  std::vector<std::byte> waiting;
  std::vector<std::byte> out;
  HandshakeState state = HandshakeState::kNeedMore;
  while (!input.empty() && state == HandshakeState::kNeedMore) {
    const Bytes next = input.first(std::min(piece, input.size()));
    input = input.subspan(next.size());
    waiting.insert(waiting.end(), next.begin(), next.end());
    const Handshake::Progress progress = handshake->Advance(waiting, out);
    POSTERN_CHECK(progress.consumed <= waiting.size());
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<ptrdiff_t>(progress.consumed));
    state = progress.state;
  }
  const bool failed = state == HandshakeState::kFailed;
  POSTERN_CHECK(failed == (handshake->failure() != HandshakeFailure::kNone));
  POSTERN_CHECK(failed == !handshake->failure_detail().empty());
  POSTERN_CHECK(handshake->failure_detail().size() < 1000);  // it goes into a log line
  POSTERN_CHECK(handshake->failure() != HandshakeFailure::kInternal);
  POSTERN_CHECK(handshake->facts().sni.size() <= postern::limits::kMaxHostName);
  return {state, handshake->failure()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  for (const Setting& setting : Settings()) {
    const Outcome whole = Run(input, SIZE_MAX, setting);
    const Outcome pieces = Run(input, 7, setting);
    // How the network cut the stream must not matter.
    POSTERN_CHECK(whole.state == pieces.state);
    POSTERN_CHECK(IsAboutFirstOctets(whole.failure) == IsAboutFirstOctets(pieces.failure));
    POSTERN_CHECK(IsAboutFirstOctets(whole.failure) || whole.failure == pieces.failure);
  }
  return 0;
}
