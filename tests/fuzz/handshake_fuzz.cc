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

// Serves one self-signed certificate under every name.
class OnePair final : public postern::tls::CertificateSource {
 public:
  explicit OnePair(postern::pki::Pair pair) : pair_(std::move(pair)) {}
  postern::generation::Choices Find(std::string_view) const override { return {{0}, 1}; }
  postern::generation::Choices default_certificates() const override { return {{0}, 1}; }
  postern::generation::CertificateFacts Facts(uint32_t) const override {
    return {1, postern::pki::KeyClass::kEcdsaP256, 0};
  }
  postern::generation::StapleView Staple(uint32_t) const override { return {}; }
  postern::generation::CertificateView Get(uint32_t) const override {
    return {.identity = 1,
            .name = "mail.example.com",
            .chain_der = {std::as_bytes(std::span(pair_.chain_der.front()))},
            .key_der = std::as_bytes(std::span(pair_.key_der.get()))};
  }

 private:
  postern::pki::Pair pair_;
};

postern::pki::Pair MakePair() {
  const auto made = postern::pki::MakeSelfSigned({"mail.example.com"});
  POSTERN_CHECK(made.has_value());
  const std::string text = made->certificate_pem + std::string(made->key_pem.text());
  const postern::os::UniqueFd file(::memfd_create("pair", MFD_CLOEXEC));
  POSTERN_CHECK(::fchmod(file.get(), 0600) == 0);
  POSTERN_CHECK(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  auto pair = postern::pki::LoadPair(path, path);
  POSTERN_CHECK(pair.has_value());
  return std::move(*pair);
}

const postern::shm::TicketKeys& Keys() {
  static auto master = postern::shm::TicketKeyMaster::Create();
  POSTERN_CHECK(master.has_value());
  static auto keys = postern::shm::TicketKeys::Map(master->fd());
  POSTERN_CHECK(keys.has_value());
  return *keys;
}

postern::tls::ServerContexts& Contexts() {
  static auto contexts =
      postern::tls::CreateServerContexts(std::make_unique<OnePair>(MakePair()), Keys(), 4);
  POSTERN_CHECK(contexts.has_value());
  return **contexts;
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

// The policies that an input is tried under: the default one, what old clients get, and one that
// refuses most offers, so that their failures have to be explained.
const std::vector<postern::tls::PolicyContextPtr>& Policies() {
  static const auto contexts = [] {
    using postern::config::Policy;
    std::vector<Policy> policies(3);
    policies[0] = *postern::config::FindPolicy(postern::config::BuiltInPolicies(), "intermediate");
    policies[1] = *postern::config::FindPolicy(postern::config::BuiltInPolicies(), "old");
    policies[2] = policies[0];
    policies[2].name = "narrow";
    policies[2].ciphers = "ECDHE-RSA-AES256-GCM-SHA384";
    policies[2].ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    policies[2].groups = "P-384";
    std::vector<postern::tls::PolicyContextPtr> made;
    for (const Policy& policy : policies) {
      auto context =
          postern::tls::MakePolicyContext(postern::generation::SettingsOf(policy), {}, Keys());
      POSTERN_CHECK(context.has_value());
      made.push_back(std::move(*context));
    }
    return made;
  }();
  return contexts;
}

// Offers the input in pieces of `piece` octets, unconsumed ones again, as the session does.
Outcome Run(Bytes input, size_t piece, const postern::tls::PolicyContextPtr& policy) {
  const std::unique_ptr<Handshake> handshake =
      Contexts().Begin({.listener = "imaps", .service = "imap", .policy = policy});
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
  for (const auto& policy : Policies()) {
    const Outcome whole = Run(input, SIZE_MAX, policy);
    const Outcome pieces = Run(input, 7, policy);
    // How the network cut the stream must not matter.
    POSTERN_CHECK(whole.state == pieces.state);
    POSTERN_CHECK(IsAboutFirstOctets(whole.failure) == IsAboutFirstOctets(pieces.failure));
    POSTERN_CHECK(IsAboutFirstOctets(whole.failure) || whole.failure == pieces.failure);
  }
  return 0;
}
