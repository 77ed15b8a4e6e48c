#include "tests/unit/tls/harness.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "tests/unit/catch.h"

namespace postern::tls::test {
namespace {

template <typename T, typename Encode>
std::vector<std::byte> ToDer(T* object, Encode encode) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  REQUIRE(size > 0);
  const auto octets = std::as_bytes(std::span(der, static_cast<size_t>(size)));
  std::vector<std::byte> result(octets.begin(), octets.end());
  OPENSSL_free(der);
  return result;
}

std::vector<std::byte> Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  const Bytes octets = AsBytes({data, static_cast<size_t>(size)});
  std::vector<std::byte> result(octets.begin(), octets.end());
  static_cast<void>(BIO_reset(bio));
  return result;
}

void Feed(BIO* bio, Bytes octets) {
  if (octets.empty()) return;
  REQUIRE(BIO_write(bio, octets.data(), static_cast<int>(octets.size())) ==
          static_cast<int>(octets.size()));
}

}  // namespace

TestPair MakePair(uint64_t identity, const std::string& name, KeyKind kind) {
  const PkeyPtr key(kind == KeyKind::kRsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  REQUIRE(key);
  const X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), static_cast<long>(identity));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  X509_set_pubkey(certificate.get(), key.get());
  REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);

  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>> info(
      EVP_PKEY2PKCS8(key.get()));
  return {identity,
          name,
          ToDer(certificate.get(), i2d_X509),
          ToDer(info.get(), i2d_PKCS8_PRIV_KEY_INFO),
          pki::KindOf(key.get()),
          {},
          0};
}

generation::Choices TestSource::Find(std::string_view host) const {
  generation::Choices choices;
  for (size_t i = 0; i < pairs_.size(); ++i) {
    if (pairs_[i].name == host) choices.certificates[choices.count++] = static_cast<uint32_t>(i);
  }
  return choices;
}

generation::CertificateFacts TestSource::Facts(uint32_t certificate) const {
  return {pairs_.at(certificate).identity, pairs_.at(certificate).kind, 0};
}

generation::StapleView TestSource::Staple(uint32_t certificate) const {
  return {pairs_.at(certificate).staple, pairs_.at(certificate).staple_until};
}

generation::CertificateView TestSource::Get(uint32_t certificate) const {
  const TestPair& pair = pairs_.at(certificate);
  return {pair.identity, pair.name, {pair.certificate}, pair.key};
}

TestKeys::TestKeys()
    : master(shm::TicketKeyMaster::Create().value()),
      view(shm::TicketKeys::Map(master.fd()).value()) {}

TestKeys& SharedKeys() {
  static TestKeys keys;
  return keys;
}

std::shared_ptr<ServerContexts> MakeContexts(std::vector<TestPair> pairs,
                                             const shm::TicketKeys& keys, size_t max_contexts) {
  auto contexts =
      CreateServerContexts(std::make_unique<TestSource>(std::move(pairs)), keys, max_contexts);
  if (!contexts) FAIL(contexts.error().ToString());
  return *contexts;
}

TestClient::TestClient(const std::string& sni, const Configure& configure, SSL_SESSION* resume)
    : context_(SSL_CTX_new(TLS_client_method())) {
  // Old suites and versions are wanted here: the server has to refuse them.
  SSL_CTX_set_security_level(context_.get(), 0);
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context_.get(),
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context_.get(), OnNewSession);
  if (configure) configure(context_.get());
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (!sni.empty()) SSL_set_tlsext_host_name(ssl_.get(), sni.c_str());
  if (resume != nullptr) SSL_set_session(ssl_.get(), resume);
  SSL_set_connect_state(ssl_.get());
}

int TestClient::OnNewSession(SSL* ssl, SSL_SESSION* session) {
  static_cast<TestClient*>(SSL_get_app_data(ssl))->session_.reset(session);
  return 1;
}

SSL_SESSION* TestClient::session() {
  // For TLS 1.2 libssl does not announce the new ticket of a resumed session.
  return SSL_version(ssl_.get()) == TLS1_3_VERSION ? session_.get() : SSL_get_session(ssl_.get());
}

std::vector<std::byte> TestClient::Handshake(Bytes from_server) {
  Feed(SSL_get_rbio(ssl_.get()), from_server);
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) established_ = true;
  if (result != 1 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) failed_ = true;
  return TakeSent();
}

std::vector<std::byte> TestClient::Write(std::string_view text) {
  REQUIRE(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) ==
          static_cast<int>(text.size()));
  return TakeSent();
}

std::string TestClient::Read(Bytes from_server) {
  Feed(SSL_get_rbio(ssl_.get()), from_server);
  std::string text;
  std::vector<char> piece(20'000);
  for (;;) {
    ERR_clear_error();
    const int result = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
    if (result <= 0) {
      const int error = SSL_get_error(ssl_.get(), result);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) failed_ = true;
      return text;
    }
    text.append(piece.data(), static_cast<size_t>(result));
  }
}

std::vector<std::byte> TestClient::TakeSent() { return Drain(SSL_get_wbio(ssl_.get())); }

bool TestClient::close_notify_seen() const {
  return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

std::string TestClient::peer_name() {
  const X509Ptr certificate(SSL_get1_peer_certificate(ssl_.get()));
  if (certificate == nullptr) return {};
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name,
                            sizeof(name));
  return name;
}

TestClient::Configure OnlyVersion(int version) {
  return [version](SSL_CTX* context) {
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
  };
}

Finished Complete(Handshake& server, TestClient& client, size_t piece) {
  Finished finished;
  std::vector<std::byte> incoming = client.Handshake({});  // on its way to the server
  std::vector<std::byte>& offered = finished.leftover;     // at the server, not yet consumed
  while (!incoming.empty()) {
    const size_t taken = std::min(piece, incoming.size());
    offered.insert(offered.end(), incoming.begin(),
                   incoming.begin() + static_cast<ptrdiff_t>(taken));
    incoming.erase(incoming.begin(), incoming.begin() + static_cast<ptrdiff_t>(taken));
    std::vector<std::byte> out;
    const Handshake::Progress progress = server.Advance(offered, out);
    REQUIRE(progress.consumed <= offered.size());
    offered.erase(offered.begin(), offered.begin() + static_cast<ptrdiff_t>(progress.consumed));
    finished.state = progress.state;
    const std::vector<std::byte> answer = client.Handshake(out);
    incoming.insert(incoming.end(), answer.begin(), answer.end());
    if (progress.state != HandshakeState::kNeedMore) break;
  }
  offered.insert(offered.end(), incoming.begin(), incoming.end());
  return finished;
}

Connection Connect(ServerContexts& contexts, const ListenerPolicy& policy, const std::string& sni,
                   const TestClient::Configure& configure, SSL_SESSION* resume) {
  Connection made;
  made.client = std::make_unique<TestClient>(sni, configure, resume);
  const auto handshake = contexts.Begin(policy);
  const Finished finished = Complete(*handshake, *made.client);
  INFO(handshake->failure_detail());
  REQUIRE(finished.state == HandshakeState::kEstablished);
  REQUIRE(made.client->established());
  REQUIRE(finished.leftover.empty());
  made.facts = handshake->facts();
  made.record = handshake->TakeRecord();
  return made;
}

std::ostream& operator<<(std::ostream& out, const Suite& suite) { return out << suite.name; }

TestClient::Configure OnlySuite(const Suite& suite) {
  return [suite](SSL_CTX* context) {
    OnlyVersion(suite.version)(context);
    if (suite.version == TLS1_3_VERSION) {
      SSL_CTX_set_ciphersuites(context, suite.name);
    } else {
      SSL_CTX_set_cipher_list(context, suite.name);
    }
  };
}

std::vector<std::byte> SealText(Record& record, std::string_view text) {
  std::vector<std::byte> slot(limits::kSlotHeadroom + text.size() + limits::kSlotTailroom);
  const MutableBytes plain(slot.data() + limits::kSlotHeadroom, text.size());
  std::ranges::copy(AsBytes(text), plain.begin());
  const MutableBytes sealed = record.Seal(plain);
  if (sealed.empty()) return {};
  REQUIRE(sealed.data() >= slot.data());
  REQUIRE(sealed.data() + sealed.size() <= slot.data() + slot.size());
  return {sealed.begin(), sealed.end()};
}

std::string OpenAll(Record& record, std::vector<std::byte> wire, Opened* last) {
  std::string text;
  MutableBytes rest(wire);
  while (!rest.empty()) {
    const RecordLength length = PeekRecord(rest);
    REQUIRE(length.kind == RecordLength::Kind::kRecord);
    REQUIRE(length.total <= rest.size());
    const MutableBytes whole = rest.first(length.total);
    Opened opened = record.Open(whole);
    if (!opened.plain.empty()) {
      REQUIRE(opened.plain.data() >= whole.data());
      REQUIRE(opened.plain.data() + opened.plain.size() <= whole.data() + whole.size());
      text += AsText(opened.plain);
    }
    opened.plain = {};  // it points into memory that goes now
    if (last != nullptr) *last = opened;
    if (opened.kind == OpenKind::kFailed) break;
    rest = rest.subspan(length.total);
  }
  return text;
}

}  // namespace postern::tls::test
