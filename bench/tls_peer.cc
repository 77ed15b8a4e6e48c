// The server's part is timed apart from the client's, since both run in this one thread.
#include "tls_peer.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "postern/base/check.h"
#include "postern/shm/ticket_keys.h"
#include "tls/certificate_source.h"
#include "tls/contexts.h"

namespace postern::bench {
namespace {

template <typename Object>
std::vector<std::byte> ToDer(Object* object, int (*encode)(const Object*, unsigned char**)) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  POSTERN_CHECK(size > 0);
  const auto* bytes = reinterpret_cast<const std::byte*>(der);
  std::vector<std::byte> copy(bytes, bytes + size);
  OPENSSL_free(der);
  return copy;
}

class OneCertificate final : public tls::CertificateSource {
 public:
  explicit OneCertificate(KeyKind kind) {
    EVP_PKEY* key = kind == KeyKind::kEcdsaP256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("bench"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    POSTERN_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    certificate_ = ToDer<X509>(certificate, i2d_X509);
    PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key);
    key_ = ToDer<PKCS8_PRIV_KEY_INFO>(info, i2d_PKCS8_PRIV_KEY_INFO);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  uint32_t Find(std::string_view) const override { return 0; }
  uint32_t default_certificate() const override { return 0; }
  generation::CertificateView Get(uint32_t) const override {
    return {1, "bench", {certificate_}, key_};
  }

 private:
  std::vector<std::byte> certificate_;
  std::vector<std::byte> key_;
};

const shm::TicketKeys& Keys() {
  static const auto master = shm::TicketKeyMaster::Create();
  POSTERN_CHECK(master.has_value());
  static const auto keys = shm::TicketKeys::Map(master->fd());
  POSTERN_CHECK(keys.has_value());
  return *keys;
}

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

}  // namespace

std::shared_ptr<tls::ServerContexts> MakeServer(KeyKind kind) {
  auto contexts = tls::CreateServerContexts(std::make_unique<OneCertificate>(kind), Keys(), 16);
  POSTERN_CHECK(contexts.has_value());
  return *contexts;
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

SSL_SESSION* Client::TakeSession() { return SSL_get1_session(ssl_); }

std::vector<std::byte> Client::Write(Bytes plain) {
  POSTERN_CHECK(SSL_write(ssl_, plain.data(), static_cast<int>(plain.size())) ==
                static_cast<int>(plain.size()));
  return Taken(SSL_get_wbio(ssl_));
}

std::unique_ptr<tls::Record> Connect(tls::ServerContexts& server, Client& client,
                                     double& server_seconds) {
  using Clock = std::chrono::steady_clock;
  auto begin = Clock::now();
  std::unique_ptr<tls::Handshake> handshake = server.Begin(kPolicy);
  server_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  std::vector<std::byte> offered = client.Step({});
  std::vector<std::byte> out;
  for (;;) {
    out.clear();
    begin = Clock::now();
    const tls::Handshake::Progress progress = handshake->Advance(offered, out);
    std::unique_ptr<tls::Record> record;
    if (progress.state == tls::HandshakeState::kEstablished) record = handshake->TakeRecord();
    if (progress.state != tls::HandshakeState::kNeedMore) handshake = nullptr;
    server_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    offered.erase(offered.begin(), offered.begin() + static_cast<ptrdiff_t>(progress.consumed));
    const std::vector<std::byte> answer = client.Step(out);
    if (progress.state != tls::HandshakeState::kNeedMore) return record;
    offered.insert(offered.end(), answer.begin(), answer.end());
    if (offered.empty()) return nullptr;
  }
}

}  // namespace postern::bench
