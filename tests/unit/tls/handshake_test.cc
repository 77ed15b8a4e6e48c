#include "postern/tls/handshake.h"

#include <openssl/err.h>

#include <algorithm>
#include <string>
#include <vector>

#include "postern/tls/policy.h"
#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"
#include "tls/policy_context.h"

namespace postern::tls {
namespace {

using test::Complete;
using test::Finished;
using test::KeyKind;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;
using test::OnlyVersion;
using test::TestClient;

std::shared_ptr<ServerContexts> OneHost() {
  static const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  return contexts;
}

// What a server answers to fixed octets, and why.
struct Refusal {
  HandshakeFailure failure;
  std::string detail;
  std::vector<std::byte> out;
};
Refusal Offer(std::string_view octets) {
  const auto handshake = OneHost()->Begin(kPolicy);
  Refusal refusal;
  CHECK(handshake->Advance(AsBytes(octets), refusal.out).state == HandshakeState::kFailed);
  refusal.failure = handshake->failure();
  refusal.detail = handshake->failure_detail();
  return refusal;
}

// A client that has to be refused.
Refusal Refuse(TestClient& client, std::shared_ptr<ServerContexts> contexts = OneHost()) {
  const auto handshake = contexts->Begin(kPolicy);
  const Finished finished = Complete(*handshake, client);
  CHECK(finished.state == HandshakeState::kFailed);
  return {handshake->failure(), handshake->failure_detail(), {}};
}

}  // namespace

TEST_CASE("A handshake is a function of bytes", "[tls][handshake]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const size_t piece = GENERATE(size_t{1}, size_t{7}, size_t{100}, SIZE_MAX);
  TestClient client("mail.example", OnlyVersion(version));
  const auto handshake = OneHost()->Begin(kPolicy);
  const Finished finished = Complete(*handshake, client, piece);
  INFO(handshake->failure_detail());
  REQUIRE(finished.state == HandshakeState::kEstablished);
  CHECK(client.established());
  CHECK(finished.leftover.empty());
  CHECK(client.peer_name() == "mail.example");

  const HandshakeFacts& facts = handshake->facts();
  CHECK(facts.version == (version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2"));
  CHECK(facts.cipher == SSL_get_cipher_name(client.ssl()));
  CHECK_FALSE(facts.group.empty());
  CHECK(facts.sni == "mail.example");
  CHECK(facts.certificate == "mail.example");
  CHECK_FALSE(facts.resumed);
  CHECK(handshake->failure() == HandshakeFailure::kNone);

  const auto record = handshake->TakeRecord();
  CHECK(client.Read(test::SealText(*record, "* OK hello\r\n")) == "* OK hello\r\n");
  CHECK(test::OpenAll(*record, client.Write("a1 NOOP\r\n")) == "a1 NOOP\r\n");
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("Records behind the handshake stay with the caller", "[tls][handshake]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  // A TLS 1.3 client may send its first request in one packet with its Finished. In TLS 1.2 it has
  // to wait for ours, but for a resumed session; there the same holds.
  TestClient first({}, OnlyVersion(version));
  const auto full = OneHost()->Begin(kPolicy);
  REQUIRE(Complete(*full, first).state == HandshakeState::kEstablished);
  first.Read({});
  REQUIRE(first.session() != nullptr);

  TestClient client({}, OnlyVersion(version), first.session());
  const auto handshake = OneHost()->Begin(kPolicy);
  std::vector<std::byte> out;
  REQUIRE(handshake->Advance(client.Handshake({}), out).state == HandshakeState::kNeedMore);
  std::vector<std::byte> wire = client.Handshake(out);
  REQUIRE(client.established());
  const std::vector<std::byte> request = client.Write("a1 CAPABILITY\r\n");
  wire.insert(wire.end(), request.begin(), request.end());
  out.clear();
  const Handshake::Progress progress = handshake->Advance(wire, out);
  REQUIRE(progress.state == HandshakeState::kEstablished);
  CHECK(progress.consumed == wire.size() - request.size());
  const auto record = handshake->TakeRecord();
  CHECK(test::OpenAll(*record, {wire.begin() + static_cast<ptrdiff_t>(progress.consumed),
                                wire.end()}) == "a1 CAPABILITY\r\n");
}

TEST_CASE("Key exchange is the best that both sides have", "[tls][handshake]") {
  const auto group_with = [](const char* groups) {
    return test::Connect(*OneHost(), kPolicy, {},
                         [groups](SSL_CTX* context) {
                           OnlyVersion(TLS1_3_VERSION)(context);
                           SSL_CTX_set1_groups_list(context, groups);
                         })
        .facts.group;
  };
  CHECK(group_with("P-384:X25519:P-256") == "P-384");  // no second round trip
  CHECK(group_with("P-256") == "P-256");
  CHECK(group_with("X25519") == "X25519");
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
  CHECK(group_with("X25519MLKEM768:X25519") == "X25519MLKEM768");
  CHECK(test::Connect(*OneHost()).facts.group == "X25519MLKEM768");
#endif
}

TEST_CASE("What is not TLS is named and gets no answer", "[tls][handshake]") {
  const Refusal http = Offer("GET / HTTP/1.1\r\n\r\n");
  CHECK(http.failure == HandshakeFailure::kPlainHttp);
  CHECK(http.detail == "the client spoke HTTP without TLS (GET /)");
  CHECK(http.out.empty());
  const Refusal text = Offer("a1 CAPABILITY\r\n");
  CHECK(text.failure == HandshakeFailure::kPlainText);
  CHECK(text.detail ==
        "the client spoke plain text without TLS (a1 CAPABILITY); a listener for such clients has "
        "tls = \"starttls\", or \"auto\"");
  CHECK(Offer(std::string_view("\x80\x2e\x01\x03\x01", 5)).failure == HandshakeFailure::kSslv2);
  CHECK(Offer(std::string_view("\x00\x01\x02", 3)).failure == HandshakeFailure::kNotTls);
}

TEST_CASE("Octets that may become TLS are waited for", "[tls][handshake]") {
  const auto handshake = OneHost()->Begin(kPolicy);
  std::vector<std::byte> out;
  const Handshake::Progress progress = handshake->Advance(AsBytes("\x16\x03"), out);
  CHECK(progress.state == HandshakeState::kNeedMore);
  CHECK(progress.consumed == 0);
  CHECK(out.empty());
}

TEST_CASE("Broken TLS gets an alert", "[tls][handshake]") {
  // A handshake record with a message that is no ClientHello (a Finished).
  const Refusal refusal = Offer(std::string_view("\x16\x03\x01\x00\x04\x14\x00\x00\x00", 9));
  CHECK(refusal.failure == HandshakeFailure::kProtocol);
  CHECK(refusal.detail == "unexpected message");
  REQUIRE(refusal.out.size() == 7);
  CHECK(refusal.out[0] == std::byte{21});
  CHECK(refusal.out[5] == std::byte{2});
  CHECK(refusal.out[6] == std::byte{10});  // unexpected_message
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("A client without a shared version is told so, and so is the log", "[tls][handshake]") {
  TestClient client("mail.example", OnlyVersion(TLS1_1_VERSION));
  const Refusal refusal = Refuse(client);
  CHECK(refusal.failure == HandshakeFailure::kNoSharedVersion);
  CHECK(refusal.detail ==
        "the client offers at most TLSv1.1, this listener wants TLSv1.2 or TLSv1.3; policy = "
        "\"old\" would admit it (TLSv1.1, ECDHE-ECDSA-AES128-SHA)");
  CHECK(client.failed());
}

TEST_CASE("A client without a shared suite is explained", "[tls][handshake]") {
  TestClient client({}, [](SSL_CTX* context) {
    OnlyVersion(TLS1_2_VERSION)(context);
    SSL_CTX_set_cipher_list(context, "AES128-SHA:AES256-SHA");
  });
  const Refusal refusal = Refuse(client);
  CHECK(refusal.failure == HandshakeFailure::kNoSharedCipher);
  // Without the signal of RFC 5746, which stands among the suites. The key is an ECDSA one.
  CHECK(refusal.detail ==
        "the client offers the suites AES128-SHA, AES256-SHA, none of which this listener accepts; "
        "policy = \"old\" and a certificate with an RSA key would admit it (TLSv1.2, AES128-SHA)");
}

TEST_CASE("All keys of a name count for what would admit a client", "[tls][handshake]") {
  static const auto both =
      MakeContexts({MakePair(20, "both.example"), MakePair(21, "both.example", KeyKind::kRsa)});
  TestClient client("both.example", [](SSL_CTX* context) {
    OnlyVersion(TLS1_2_VERSION)(context);
    SSL_CTX_set_cipher_list(context, "AES128-SHA");
  });
  CHECK(Refuse(client, both)
            .detail.ends_with("; policy = \"old\" would admit it (TLSv1.2, AES128-SHA)"));
}

TEST_CASE("What the library lacks is told from what no policy serves", "[tls][handshake]") {
  struct Row {
    int version;
    const char* ciphers;
    const char* suites;
    std::string end;
  };
  const Row rows[] = {
      {TLS1_2_VERSION, "PSK-AES128-CBC-SHA", nullptr,
       "; those that " + LibraryName() + " has need a pre-shared key, which no policy serves"},
      {TLS1_2_VERSION, "ADH-AES128-SHA:NULL-SHA", nullptr,
       "; those that " + LibraryName() +
           " has are without authentication or are without encryption, which no policy serves"},
      {TLS1_2_VERSION, "CAMELLIA256-SHA", nullptr,
       "; a policy with CAMELLIA256-SHA in its ciphers and a certificate with an RSA key would "
       "admit it (TLSv1.2)"},
      {TLS1_3_VERSION, nullptr, "TLS_AES_128_CCM_SHA256",
       "; a policy with TLS_AES_128_CCM_SHA256 in its ciphersuites would admit it (TLSv1.3)"},
  };
  for (const Row& row : rows) {
    TestClient client({}, [&row](SSL_CTX* context) {
      OnlyVersion(row.version)(context);
      SSL_CTX_set_security_level(context, 0);
      if (row.ciphers != nullptr) SSL_CTX_set_cipher_list(context, row.ciphers);
      if (row.suites != nullptr) SSL_CTX_set_ciphersuites(context, row.suites);
      if (row.version == TLS1_3_VERSION) return;
      SSL_CTX_set_psk_client_callback(
          context, [](SSL*, const char*, char* identity, unsigned, unsigned char* key, unsigned) {
            identity[0] = '\0';
            key[0] = 1;
            return 1U;
          });
    });
    const Refusal refusal = Refuse(client);
    INFO(refusal.detail);
    CHECK(refusal.failure == HandshakeFailure::kNoSharedCipher);
    CHECK(refusal.detail.ends_with(row.end));
  }
}

// A ClientHello of TLS 1.2 and below, by hand: what a library's client would not send.
std::string PlainHello(char minor, std::string_view suites) {
  const std::string body = std::string("\x03", 1) + minor + std::string(32, 'r') +
                           std::string("\x00\x00", 2) + static_cast<char>(suites.size()) +
                           std::string(suites) + std::string("\x01\x00", 2);
  const auto size = static_cast<char>(body.size());
  return std::string("\x16\x03\x00\x00", 4) + static_cast<char>(size + 4) +
         std::string("\x01\x00\x00", 3) + size + body;
}

TEST_CASE("A client with unknown suites, or with SSLv3 alone, is beyond any policy",
          "[tls][handshake]") {
  using std::string_view_literals::operator""sv;
  // Suites that were never given out.
  const Refusal unknown = Offer(PlainHello(3, "\xee\x01\xee\x02\x00\xff"sv));
  CHECK(unknown.failure == HandshakeFailure::kNoSharedCipher);
  CHECK(unknown.detail ==
        "the client offers the suites 0xee01, 0xee02, none of which this "
        "listener accepts; " +
            LibraryName() + " has none of them");
  const Refusal ssl3 = Offer(PlainHello(0, "\x00\x2f"sv));
  CHECK(ssl3.failure == HandshakeFailure::kNoSharedVersion);
  CHECK(ssl3.detail ==
        "the client offers at most SSLv3, this listener wants TLSv1.2 or TLSv1.3; no policy can "
        "admit SSLv3");
}

TEST_CASE("A client whose signature algorithms do not suit is explained", "[tls][handshake]") {
  static const auto rsa = MakeContexts({MakePair(22, "rsa.example", KeyKind::kRsa)});
  struct Row {
    int version;
    std::shared_ptr<ServerContexts> contexts;
    const char* algorithms;
    std::string_view detail;
  };
  const Row rows[] = {
      {TLS1_3_VERSION, OneHost(), "rsa_pss_rsae_sha256",
       "the client offers the signature algorithms rsa_pss_rsae_sha256, this listener has "
       "ecdsa_secp256r1_sha256; a certificate with an RSA key for this name would serve it "
       "(rsa_pss_rsae_sha256)"},
      {TLS1_3_VERSION, OneHost(), "ecdsa_secp384r1_sha384",
       "the client offers the signature algorithms ecdsa_secp384r1_sha384, this listener has "
       "ecdsa_secp256r1_sha256; a certificate with an EC P-384 key for this name would serve it "
       "(ecdsa_secp384r1_sha384)"},
      {TLS1_2_VERSION, rsa, "RSA+SHA1",
       "the client offers the signature algorithms rsa_pkcs1_sha1, this listener has "
       "rsa_pss_rsae_sha256, rsa_pss_rsae_sha384, rsa_pss_rsae_sha512, rsa_pkcs1_sha256, "
       "rsa_pkcs1_sha384, rsa_pkcs1_sha512, rsa_pkcs1_sha224; policy = \"old\" would admit it "
       "(rsa_pkcs1_sha1)"},
  };
  for (const Row& row : rows) {
    TestClient client({}, [&row](SSL_CTX* context) {
      OnlyVersion(row.version)(context);
      SSL_CTX_set_security_level(context, 0);
      REQUIRE(SSL_CTX_set1_sigalgs_list(context, row.algorithms) == 1);
    });
    const Refusal refusal = Refuse(client, row.contexts);
    CHECK(refusal.failure == HandshakeFailure::kNoSharedCipher);
    CHECK(refusal.detail == row.detail);
  }
}

TEST_CASE("The strictest policy that admits a refused client is named", "[tls][handshake]") {
  static const auto rsa = MakeContexts({MakePair(8, "rsa.example", KeyKind::kRsa)});
  struct Row {
    int version;
    const char* ciphers;
    std::string_view end;
  };
  const Row rows[] = {
      {TLS1_2_VERSION, "AES128-SHA:ECDHE-RSA-AES256-SHA",
       "; policy = \"old\" would admit it (TLSv1.2, ECDHE-RSA-AES256-SHA)"},
      {TLS1_VERSION, "AES128-SHA:@SECLEVEL=0",
       "; policy = \"old\" would admit it (TLSv1, AES128-SHA)"},
      {TLS1_2_VERSION, "CAMELLIA256-SHA",
       "; a policy with CAMELLIA256-SHA in its ciphers would admit it (TLSv1.2)"},
      {TLS1_VERSION, "CAMELLIA256-SHA:@SECLEVEL=0",
       "; a policy on base = \"old\" with CAMELLIA256-SHA in its ciphers would admit it (TLSv1)"},
  };
  for (const Row& row : rows) {
    TestClient client({}, [&row](SSL_CTX* context) {
      OnlyVersion(row.version)(context);
      SSL_CTX_set_cipher_list(context, row.ciphers);
    });
    const Refusal refusal = Refuse(client, rsa);
    INFO(refusal.detail);
    CHECK(refusal.detail.ends_with(row.end));
  }
}

TEST_CASE("A ClientHello in SSLv2's format is answered where TLS 1.0 is", "[tls][handshake]") {
  // RFC 5246 appendix E.2: TLSv1.0 with AES128-SHA, and SSLv2's own RC4.
  const std::string challenge(16, 'c');
  const std::string body = std::string("\x01\x03\x01\x00\x06\x00\x00\x00\x10", 9) +
                           std::string("\x00\x00\x2f\x01\x00\x80", 6) + challenge;
  const std::string hello = std::string("\x80", 1) + static_cast<char>(body.size()) + body;
  static const auto rsa = MakeContexts({MakePair(9, "rsa.example", KeyKind::kRsa)});
  const config::Policy* old = config::FindPolicy(config::BuiltInPolicies(), "old");
  ListenerPolicy policy = kPolicy;
  policy.policy =
      MakePolicyContext(generation::SettingsOf(*old), {}, test::SharedKeys().view).value();
  const auto handshake = rsa->Begin(policy);
  std::vector<std::byte> out;
  std::vector<std::byte> wire;
  HandshakeState state = HandshakeState::kNeedMore;
  for (const char octet : hello) {  // in pieces, as a network may cut it
    wire.push_back(static_cast<std::byte>(octet));
    const auto progress = handshake->Advance(wire, out);
    wire.erase(wire.begin(), wire.begin() + static_cast<ptrdiff_t>(progress.consumed));
    state = progress.state;
  }
  INFO(handshake->failure_detail());
  CHECK(state == HandshakeState::kNeedMore);
  // A handshake record of TLSv1.0 with a ServerHello of TLSv1.0.
  REQUIRE(out.size() > 11);
  CHECK(AsText(out).substr(0, 3) == "\x16\x03\x01");
  CHECK(out[5] == std::byte{2});
  CHECK(AsText(out).substr(9, 2) == "\x03\x01");

  // Where it is not accepted the log says what would.
  const Refusal refusal = Offer(hello);
  CHECK(refusal.failure == HandshakeFailure::kSslv2);
  CHECK(refusal.detail.ends_with("policy = \"old\" accepts it"));
  // And the client gets an alert that it can read.
  CHECK(AsText(refusal.out) == std::string_view("\x15\x03\x01\x00\x02\x02\x46", 7));
  // SSLv2 itself is nobody's.
  const auto sslv2 = rsa->Begin(policy);
  CHECK(sslv2->Advance(AsBytes(std::string_view("\x80\x2e\x01\x00\x02", 5)), out).state ==
        HandshakeState::kFailed);
  CHECK(sslv2->failure() == HandshakeFailure::kSslv2);
  CHECK(sslv2->failure_detail().ends_with("which no policy can admit"));
}

TEST_CASE("Tiny records make no handshake endless", "[tls][handshake]") {
  // A ClientHello cut into records of one octet is legal, and costs six octets for each.
  TestClient client("mail.example", OnlyVersion(TLS1_3_VERSION));
  const std::vector<std::byte> hello = client.Handshake({});
  std::string tiny;
  for (size_t i = 5; i < hello.size(); ++i) {
    tiny += std::string("\x16\x03\x01\x00\x01", 5) + static_cast<char>(hello[i]);
  }
  const auto handshake = OneHost()->Begin(kPolicy);
  std::vector<std::byte> out;
  CHECK(handshake->Advance(AsBytes(tiny), out).state == HandshakeState::kNeedMore);
  CHECK_FALSE(out.empty());
  // One that announces more than a ClientHello can be is cut off, whatever its records are.
  const auto flood = OneHost()->Begin(kPolicy);
  std::string endless = std::string("\x16\x03\x01\x00\x01\x01", 6);
  endless += std::string("\x16\x03\x01\x00\x03\xff\xff\xff", 8);
  for (int i = 0; i < 40'000; ++i) endless += std::string("\x16\x03\x01\x00\x01\x00", 6);
  out.clear();
  CHECK(flood->Advance(AsBytes(endless), out).state == HandshakeState::kFailed);
}

TEST_CASE("A client whose suites do not suit the key is explained", "[tls][handshake]") {
  TestClient client({}, [](SSL_CTX* context) {
    OnlyVersion(TLS1_2_VERSION)(context);
    SSL_CTX_set_cipher_list(context, "ECDHE-RSA-AES128-GCM-SHA256");
  });
  const Refusal refusal = Refuse(client);
  CHECK(refusal.failure == HandshakeFailure::kNoSharedCipher);
  CHECK(refusal.detail.ends_with(
      "none of which suits the key of the certificate; a certificate with an RSA key for this name "
      "would serve it (ECDHE-RSA-AES128-GCM-SHA256)"));
}

TEST_CASE("A client that lacks the curve of the key is explained", "[tls][handshake]") {
  TestClient client({}, [](SSL_CTX* context) {
    OnlyVersion(TLS1_2_VERSION)(context);
    SSL_CTX_set1_groups_list(context, "P-384");
  });
  CHECK(Refuse(client).detail ==
        "the client offers the groups P-384, without the curve of the certificate's key; a "
        "certificate with an EC P-384 key for this name would serve it");
}

TEST_CASE("A client without a shared group is explained", "[tls][handshake]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TestClient client({}, [version](SSL_CTX* context) {
    OnlyVersion(version)(context);
    SSL_CTX_set1_groups_list(context, "P-521");
  });
  // With ECDSA, P-521 alone would leave the client without a usable certificate too.
  static const auto rsa = MakeContexts({MakePair(7, "rsa.example", KeyKind::kRsa)});
  const Refusal refusal = Refuse(client, rsa);
  CHECK(refusal.failure == HandshakeFailure::kNoSharedGroup);
  CHECK(refusal.detail.starts_with(
      "the client offers the key exchange groups P-521, this listener wants "));
  CHECK(refusal.detail.ends_with(
      "X25519 or P-256 or P-384; a policy with P-521 in its groups would admit it"));
}

TEST_CASE("A client that refuses the certificate is quoted", "[tls][handshake]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TestClient client("mail.example", [version](SSL_CTX* context) {
    OnlyVersion(version)(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  });
  const Refusal refusal = Refuse(client);
  CHECK(refusal.failure == HandshakeFailure::kPeerAlert);
  CHECK(refusal.detail ==
        "the client sent alert unknown_ca: it does not trust the certificate, which is "
        "self-signed");
}

TEST_CASE("A client that hangs up politely is quoted", "[tls][handshake]") {
  TestClient client("mail.example", OnlyVersion(TLS1_2_VERSION));
  const auto handshake = OneHost()->Begin(kPolicy);
  std::vector<std::byte> out;
  REQUIRE(handshake->Advance(client.Handshake({}), out).state == HandshakeState::kNeedMore);
  const std::string_view close_notify("\x15\x03\x03\x00\x02\x01\x00", 7);
  CHECK(handshake->Advance(AsBytes(close_notify), out).state == HandshakeState::kFailed);
  CHECK(handshake->failure() == HandshakeFailure::kPeerAlert);
  CHECK(handshake->failure_detail() == "the client sent alert close_notify: it gave up");
}

TEST_CASE("A handshake without end is cut off", "[tls][handshake]") {
  const auto handshake = OneHost()->Begin(kPolicy);
  // Warning alerts are legal for ever.
  std::vector<std::byte> out;
  TestClient client({}, OnlyVersion(TLS1_2_VERSION));
  REQUIRE(handshake->Advance(client.Handshake({}), out).state == HandshakeState::kNeedMore);
  std::string flood;
  for (int i = 0; i < 200; ++i) flood += std::string_view("\x15\x03\x03\x00\x02\x01\x5a", 7);
  Handshake::Progress progress;
  for (int i = 0; i < 200 && progress.state == HandshakeState::kNeedMore; ++i) {
    progress = handshake->Advance(AsBytes(flood), out);
  }
  CHECK(progress.state == HandshakeState::kFailed);
  CHECK((handshake->failure() == HandshakeFailure::kTooLarge ||
         handshake->failure() == HandshakeFailure::kProtocol));
}

TEST_CASE("Every failure has a name of its own", "[tls][handshake]") {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(HandshakeFailure::kStopped); ++i) {
    names.push_back(ToString(static_cast<HandshakeFailure>(i)));
  }
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

}  // namespace postern::tls
