// The server's part is timed apart from the client's, since both run in this one thread; and by the
// thread's own clock, which stands while others have the core.
#include "tls_peer.h"

#include <array>
#include <ctime>
#include <map>

#include "postern/base/check.h"
#include "postern/shm/ticket_keys.h"
#include "tls/certificate_source.h"
#include "tls/contexts.h"

namespace postern::bench {
namespace {

class OneCertificate final : public tls::CertificateSource {
 public:
  explicit OneCertificate(KeyKind kind)
      : certificate_(CertificateDer(
            MakeCertificate("bench.example.com", KeyOf(kind), DigestOf(kind)).get())),
        key_(KeyDer(KeyOf(kind))) {}
  generation::Choices Find(std::string_view) const override { return {{0}, 1}; }
  generation::Choices default_certificates() const override { return {{0}, 1}; }
  generation::CertificateFacts Facts(uint32_t) const override { return {.identity = 1}; }
  generation::StapleView Staple(uint32_t) const override { return {}; }
  generation::CertificateView Get(uint32_t) const override {
    return {1, "bench", {certificate_}, key_};
  }

 private:
  std::vector<std::byte> certificate_;
  std::vector<std::byte> key_;
};

SSL_CTX* ClientContext() {
  static SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  return context;
}

std::vector<std::byte> Taken(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> out(bytes, bytes + size);
  BIO_reset(bio);
  return out;
}

double ThreadSeconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

const shm::TicketKeys& Keys() {
  static const auto master = shm::TicketKeyMaster::Create();
  POSTERN_CHECK(master.has_value());
  static const auto keys = shm::TicketKeys::Map(master->fd());
  POSTERN_CHECK(keys.has_value());
  return *keys;
}

std::shared_ptr<tls::ServerContexts> ServerOf(KeyKind kind) {
  // Never destroyed: OpenSSL is gone before static objects are.
  static auto& servers = *new std::map<KeyKind, std::shared_ptr<tls::ServerContexts>>;
  std::shared_ptr<tls::ServerContexts>& server = servers[kind];
  if (server == nullptr) {
    auto made = tls::CreateServerContexts(std::make_unique<OneCertificate>(kind), Keys(), 16);
    POSTERN_CHECK(made.has_value());
    server = *made;
  }
  return server;
}

Client::Client(int version, SSL_SESSION* session) : ssl_(SSL_new(ClientContext())) {
  SSL_set_min_proto_version(ssl_, version);
  SSL_set_max_proto_version(ssl_, version);
  if (session != nullptr) SSL_set_session(ssl_, session);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_);
}

Client::~Client() {
  // libssl forgets the session of a connection that was not shut down.
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

std::vector<std::byte> Client::Step(Bytes from_server) {
  if (!from_server.empty()) {
    BIO_write(SSL_get_rbio(ssl_), from_server.data(), static_cast<int>(from_server.size()));
  }
  SSL_do_handshake(ssl_);
  if (SSL_is_init_finished(ssl_)) {
    std::array<std::byte, 16> none;
    SSL_read(ssl_, none.data(), none.size());  // takes the tickets in
  }
  return Taken(SSL_get_wbio(ssl_));
}

bool Client::Sees(int version, KeyKind kind) const {
  const pki::X509Ptr certificate(SSL_get1_peer_certificate(ssl_));
  return SSL_version(ssl_) == version && certificate != nullptr &&
         EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), KeyOf(kind)) == 1;
}

std::vector<std::byte> Client::PeerCertificate() const {
  const pki::X509Ptr certificate(SSL_get1_peer_certificate(ssl_));
  POSTERN_CHECK(certificate != nullptr);
  return CertificateDer(certificate.get());
}

const char* Client::cipher() const { return SSL_get_cipher_name(ssl_); }

SSL_SESSION* Client::TakeSession() { return SSL_get1_session(ssl_); }

std::vector<std::byte> Client::Write(Bytes plain) {
  POSTERN_CHECK(SSL_write(ssl_, plain.data(), static_cast<int>(plain.size())) ==
                static_cast<int>(plain.size()));
  return Taken(SSL_get_wbio(ssl_));
}

std::vector<std::byte> Client::Read(Bytes wire) {
  BIO_write(SSL_get_rbio(ssl_), wire.data(), static_cast<int>(wire.size()));
  std::vector<std::byte> plain(wire.size());
  size_t filled = 0;
  for (int got = 1; got > 0; filled += got > 0 ? static_cast<size_t>(got) : 0) {
    got = SSL_read(ssl_, plain.data() + filled, static_cast<int>(plain.size() - filled));
  }
  plain.resize(filled);
  return plain;
}

std::unique_ptr<tls::Record> Connect(tls::ServerContexts& server, Client& client,
                                     double& server_seconds) {
  double begin = ThreadSeconds();
  std::unique_ptr<tls::Handshake> handshake = server.Begin(kPolicy);
  server_seconds += ThreadSeconds() - begin;
  std::vector<std::byte> offered = client.Step({});
  std::vector<std::byte> out;
  for (;;) {
    out.clear();
    begin = ThreadSeconds();
    const tls::Handshake::Progress progress = handshake->Advance(offered, out);
    std::unique_ptr<tls::Record> record;
    if (progress.state == tls::HandshakeState::kEstablished) record = handshake->TakeRecord();
    if (progress.state != tls::HandshakeState::kNeedMore) handshake = nullptr;
    server_seconds += ThreadSeconds() - begin;
    offered.erase(offered.begin(), offered.begin() + static_cast<ptrdiff_t>(progress.consumed));
    const std::vector<std::byte> answer = client.Step(out);
    if (progress.state != tls::HandshakeState::kNeedMore) return record;
    offered.insert(offered.end(), answer.begin(), answer.end());
    if (offered.empty()) return nullptr;
  }
}

}  // namespace postern::bench
