// Fuzzing of the client's side of a handshake: whatever a server sends, whole or in pieces.
//
// No input can know our random numbers, so none gets beyond what a server may say without proving
// anything: all of a TLS 1.2 server's certificates, the version and suite it chooses, and whatever
// is not TLS. What is tested is everything up to there, the judgement of the certificate, and the
// explanation of the failure.
#include <openssl/pem.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "tls/backend_context.h"
#include "tls/handshake_client.h"

using postern::Bytes;
using namespace postern::tls;  // NOLINT: it is what is fuzzed

namespace {

// That of corpus/client_handshake/tls12-names: trusted, but for other names.
constexpr std::string_view kTrusted =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIB6jCCAY+gAwIBAgIUGLCqllrTUUnrSJ+iO206fbK/SBIwCgYIKoZIzj0EAwIw\n"
    "EDEOMAwGA1UEAwwFbmFtZXMwHhcNMjYxMTIzMDI0MDQ0WhcNMzYxMTIwMDI0MDQ0\n"
    "WjAQMQ4wDAYDVQQDDAVuYW1lczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGlX\n"
    "c8FCKZbsMTVfqcsm+X19Z0Dze3y3YEtHKbu6HqP2c2/zGMhOcfWc4RQ5ucMvu+EA\n"
    "S3IdkF2bZ3jzLD5FRyqjgcYwgcMwHQYDVR0OBBYEFMJoaet9pEhDsRjAi7t5n3KC\n"
    "NFRpMB8GA1UdIwQYMBaAFMJoaet9pEhDsRjAi7t5n3KCNFRpMA8GA1UdEwEB/wQF\n"
    "MAMBAf8wcAYDVR0RBGkwZ4INKi5leGFtcGxlLm9yZ4INYS5leGFtcGxlLm9yZ4IN\n"
    "Yi5leGFtcGxlLm9yZ4INYy5leGFtcGxlLm9yZ4INZC5leGFtcGxlLm9yZ4INZS5l\n"
    "eGFtcGxlLm9yZ4ELYUBiLmV4YW1wbGUwCgYIKoZIzj0EAwIDSQAwRgIhAOB2eFNU\n"
    "6hxd6sOhQNlZzfnTqPF5G2q4YDSSnQ+XKx1AAiEAocuS0O/JZX2i1iq74xKpS9I1\n"
    "d8VhNXJfD8NlZoye9po=\n"
    "-----END CERTIFICATE-----\n";

std::vector<std::byte> Authority() {
  BIO* bio = BIO_new_mem_buf(kTrusted.data(), static_cast<int>(kTrusted.size()));
  const X509Ptr certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
  BIO_free(bio);
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  POSTERN_CHECK(size > 0);
  const Bytes octets = std::as_bytes(std::span(der, static_cast<size_t>(size)));
  std::vector<std::byte> result(octets.begin(), octets.end());
  OPENSSL_free(der);
  return result;
}

// The back ends that an input is tried with: one that verifies, one that takes old versions and
// any certificate, and one that begins by STARTTLS and wants TLS 1.3.
const std::vector<BackendContextPtr>& Backends() {
  static const std::vector<std::byte> authority = Authority();
  static const postern::generation::TrustSettings trust{{authority}, {}};
  static const std::vector<BackendContextPtr> backends = [] {
    BackendContextMaker maker;
    std::vector<BackendContextPtr> made;
    for (const BackendPolicy& policy :
         {BackendPolicy{.name = "a", .min_version = 0x0303, .trust = &trust},
          BackendPolicy{.name = "b", .min_version = 0x0301},
          BackendPolicy{.name = "c", .starttls = true, .min_version = 0x0304, .trust = &trust}}) {
      auto context = maker.Make(policy);
      POSTERN_CHECK(context.has_value());
      made.push_back(std::move(*context));
    }
    return made;
  }();
  return backends;
}

struct Outcome {
  HandshakeState state = HandshakeState::kNeedMore;
  HandshakeFailure failure = HandshakeFailure::kNone;
};

// A refusal of the first octets falls as early as it can, so its words depend on how many came at
// once.
bool IsAboutFirstOctets(HandshakeFailure failure) {
  return failure == HandshakeFailure::kPlainHttp || failure == HandshakeFailure::kPlainText ||
         failure == HandshakeFailure::kNotTls;
}

Outcome Run(Bytes input, size_t piece, const BackendContextPtr& backend, std::string_view name) {
  const auto handshake = BeginClientHandshake(backend, name);
  std::vector<std::byte> out;
  HandshakeState state = handshake->Advance({}, out).state;
  POSTERN_CHECK(state == HandshakeState::kNeedMore && !out.empty());
  std::vector<std::byte> waiting;
  while (!input.empty() && state == HandshakeState::kNeedMore) {
    const Bytes next = input.first(std::min(piece, input.size()));
    input = input.subspan(next.size());
    waiting.insert(waiting.end(), next.begin(), next.end());
    const Handshake::Progress progress = handshake->Advance(waiting, out);
    POSTERN_CHECK(progress.consumed <= waiting.size());
    waiting.erase(waiting.begin(), waiting.begin() + static_cast<ptrdiff_t>(progress.consumed));
    state = progress.state;
  }
  POSTERN_CHECK(state != HandshakeState::kEstablished);  // nobody can have signed our random
  const bool failed = state == HandshakeState::kFailed;
  POSTERN_CHECK(failed == (handshake->failure() != HandshakeFailure::kNone));
  POSTERN_CHECK(failed == !handshake->failure_detail().empty());
  POSTERN_CHECK(handshake->failure_detail().size() < 1500);  // it goes into a log line
  POSTERN_CHECK(handshake->failure() != HandshakeFailure::kInternal);
  POSTERN_CHECK(backend->sessions->size() == 0);
  return {state, handshake->failure()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  for (const BackendContextPtr& backend : Backends()) {
    for (const std::string_view name : {"mail.example.com", "192.0.2.7"}) {
      const Outcome whole = Run(input, SIZE_MAX, backend, name);
      const Outcome pieces = Run(input, 7, backend, name);
      // How the network cut the stream must not matter.
      POSTERN_CHECK(whole.state == pieces.state);
      POSTERN_CHECK(IsAboutFirstOctets(whole.failure) == IsAboutFirstOctets(pieces.failure));
      POSTERN_CHECK(IsAboutFirstOctets(whole.failure) || whole.failure == pieces.failure);
    }
  }
  return 0;
}
