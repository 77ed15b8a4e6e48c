// What the TLS tests share: certificates made on the fly, a set of server contexts over them, and a
// client of libssl's that talks through memory.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/shm/ticket_keys.h"
#include "postern/tls/handshake.h"
#include "postern/tls/record.h"
#include "postern/tls/server_contexts.h"
#include "tls/certificate_source.h"
#include "tls/engine.h"
#include "tls/openssl_types.h"

namespace postern::tls::test {

// A self-signed pair; `name` is the pair's name, its host name, and its subject.
struct TestPair {
  uint64_t identity = 0;
  std::string name;
  std::vector<std::byte> certificate;
  std::vector<std::byte> key;
  pki::KeyClass kind = pki::KeyClass::kEcdsaP256;
  std::vector<std::byte> staple;
  int64_t staple_until = 0;
};
enum class KeyKind { kEcdsa, kRsa };
TestPair MakePair(uint64_t identity, const std::string& name, KeyKind kind = KeyKind::kEcdsa);

// Serves its pairs by exact name, all of one name as choices; the first is the default.
class TestSource final : public CertificateSource {
 public:
  explicit TestSource(std::vector<TestPair> pairs) : pairs_(std::move(pairs)) {}
  generation::Choices Find(std::string_view host) const override;
  generation::Choices default_certificates() const override { return {{0}, 1}; }
  generation::CertificateFacts Facts(uint32_t certificate) const override;
  generation::StapleView Staple(uint32_t certificate) const override;
  generation::CertificateView Get(uint32_t certificate) const override;

 private:
  std::vector<TestPair> pairs_;
};

// A master's ticket keys and a worker's view of them.
struct TestKeys {
  TestKeys();
  shm::TicketKeyMaster master;
  shm::TicketKeys view;
};
TestKeys& SharedKeys();  // for tests that do not care

std::shared_ptr<ServerContexts> MakeContexts(std::vector<TestPair> pairs,
                                             const shm::TicketKeys& keys = SharedKeys().view,
                                             size_t max_contexts = 16);

inline const ListenerPolicy kPolicy = {.listener = "imaps", .service = "imap"};

// TestClient is a libssl client. Octets that it wants sent wait in `sent`.
class TestClient {
 public:
  using Configure = std::function<void(SSL_CTX*)>;
  explicit TestClient(const std::string& sni = {}, const Configure& configure = {},
                      SSL_SESSION* resume = nullptr);

  // Both move the client on and take what it then wants sent.
  std::vector<std::byte> Handshake(Bytes from_server);
  std::vector<std::byte> Write(std::string_view text);
  // Takes server records in; gives the plaintext that is readable then.
  std::string Read(Bytes from_server);
  // What the client wants sent without being asked (alerts, KeyUpdate answers).
  std::vector<std::byte> TakeSent();

  SSL* ssl() { return ssl_.get(); }
  bool established() const { return established_; }
  bool failed() const { return failed_; }
  bool close_notify_seen() const;
  // The session to resume next time; nullptr when there is none. TLS 1.3: read first.
  SSL_SESSION* session();
  std::string peer_name();  // CN of the server's certificate

 private:
  static int OnNewSession(SSL* ssl, SSL_SESSION* session);

  SslCtxPtr context_;
  SslPtr ssl_;
  std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>> session_;
  bool established_ = false;
  bool failed_ = false;
};

TestClient::Configure OnlyVersion(int version);  // TLS1_2_VERSION, TLS1_3_VERSION

// The result of a handshake carried through on both sides.
struct Finished {
  HandshakeState state = HandshakeState::kNeedMore;
  std::vector<std::byte> leftover;   // client octets that the handshake did not consume
  std::vector<std::byte> to_client;  // server octets not yet given to the client
};
// Carries octets to and fro until the server is through or failed; client octets come in pieces of
// `piece` octets. What the server sent at last has been given to the client.
Finished Complete(Handshake& server, TestClient& client, size_t piece = SIZE_MAX);

// A handshake that has to succeed, and its record layer.
struct Connection {
  std::unique_ptr<TestClient> client;
  std::unique_ptr<Record> record;
  HandshakeFacts facts;
};
Connection Connect(ServerContexts& contexts, const ListenerPolicy& policy = kPolicy,
                   const std::string& sni = {}, const TestClient::Configure& configure = {},
                   SSL_SESSION* resume = nullptr);

// EngineGuard sets the record engine for a scope.
class EngineGuard {
 public:
  explicit EngineGuard(EngineChoice choice) { SetEngineChoice(choice); }
  ~EngineGuard() { SetEngineChoice(EngineChoice::kBest); }
  EngineGuard(const EngineGuard&) = delete;
  EngineGuard& operator=(const EngineGuard&) = delete;
};

// A version with one of its suites.
struct Suite {
  int version;
  const char* name;
};
std::ostream& operator<<(std::ostream& out, const Suite& suite);
inline constexpr Suite kSuites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};
TestClient::Configure OnlySuite(const Suite& suite);

// SealText seals within a slot as the session does. OpenAll opens every record of `wire` and gives
// the plaintext; `last` is the last result.
std::vector<std::byte> SealText(Record& record, std::string_view text);
std::string OpenAll(Record& record, std::vector<std::byte> wire, Opened* last = nullptr);

}  // namespace postern::tls::test
