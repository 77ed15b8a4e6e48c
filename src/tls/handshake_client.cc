// The client's handshake on libssl, without a socket; see handshake_libssl.cc for the server's, and
// for why libssl reads no further than the handshake goes.
//
// Where the small engine takes over, libssl stays behind it for the session tickets of TLS 1.3, up
// to the server's first data (ticket_reader.h). Considered: to resume TLS 1.2 alone, whose sessions
// are known when the handshake is over; or to keep libssl for all connections to servers, at 14 KB
// each. Making a session of the ticket without libssl would mean to write its private serialized
// form.
#include "tls/handshake_client.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "tls/engine.h"
#include "tls/explain_server.h"
#include "tls/first_bytes.h"
#include "tls/handshake_facts.h"
#include "tls/peer_certificate.h"
#include "tls/record_libssl.h"
#include "tls/wire_bio.h"

namespace postern::tls {
namespace {

// Where a connection's sessions go, which may outlive the handshake and the generation.
struct SessionTarget {
  std::shared_ptr<SessionCache> cache;
  std::string name;
};

void FreeTarget(void*, void* target, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<SessionTarget*>(target);
}

int TargetIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeTarget);
  return index;
}

int NewSessionCallback(SSL* ssl, SSL_SESSION* session) {
  const auto* target = static_cast<const SessionTarget*>(SSL_get_ex_data(ssl, TargetIndex()));
  if (target == nullptr) return 0;
  target->cache->Put(target->name, SslSessionPtr(session));
  return 1;  // it is ours now
}

struct FreeOctets {
  void operator()(ASN1_OCTET_STRING* octets) const { ASN1_OCTET_STRING_free(octets); }
};

bool IsAddress(const std::string& name) {
  const std::unique_ptr<ASN1_OCTET_STRING, FreeOctets> address(a2i_IPADDRESS(name.c_str()));
  ERR_clear_error();
  return address != nullptr;
}

class ClientHandshake final : public Handshake {
 public:
  ClientHandshake(BackendContextPtr backend, std::string_view server_name)
      : backend_(std::move(backend)), name_(server_name) {
    if (Prepare()) return;
    ssl_.reset();
    ERR_clear_error();
  }
  ~ClientHandshake() override { DropSsl(); }

  Progress Advance(Bytes wire, std::vector<std::byte>& out) override;
  HandshakeFailure failure() const override { return failure_; }
  const std::string& failure_detail() const override { return detail_; }
  HandshakeFacts& facts() override { return facts_; }
  std::unique_ptr<Record> TakeRecord() override;

  void OnVerifyFailure(X509_STORE_CTX* store);
  HandshakeWatch& watch() { return watch_; }

 private:
  bool Prepare();
  bool ExpectName();
  Progress Failed(HandshakeFailure failure, std::string detail, size_t consumed);
  Progress Step(Bytes wire, std::vector<std::byte>& out);
  void Establish();
  void DropSsl();

  BackendContextPtr backend_;
  std::string name_;
  std::unique_ptr<WireWindow> window_ = std::make_unique<WireWindow>();
  SslPtr ssl_;                      // after window_: its BIO points there
  std::unique_ptr<Record> record_;  // once established, where libssl is no longer needed
  HandshakeWatch watch_;
  FailedVerification verification_;
  // The octets up to ServerHello's version, which libssl does not tell when it refuses it.
  std::array<std::byte, kServerHelloVersionEnd> beginning_{};
  bool offered_session_ = false;
  bool classified_ = false;
  HandshakeState state_ = HandshakeState::kNeedMore;
  size_t eaten_ = 0;
  HandshakeFailure failure_ = HandshakeFailure::kNone;
  std::string detail_;
  HandshakeFacts facts_;
};

int VerifyCallback(int good, X509_STORE_CTX* store) {
  if (good == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  static_cast<ClientHandshake*>(SSL_get_app_data(ssl))->OnVerifyFailure(store);
  return 0;
}

void KeyLogCallback(const SSL* ssl, const char* line) {
  auto* handshake = static_cast<ClientHandshake*>(SSL_get_app_data(ssl));
  if (handshake != nullptr) handshake->watch().OnKeyLog(line);
}

bool ClientHandshake::Prepare() {
  ERR_clear_error();
  ssl_.reset(SSL_new(backend_->context.get()));
  BioPtr bio = MakeWireBio(*window_);
  if (ssl_ == nullptr || bio == nullptr || SSL_set_app_data(ssl_.get(), this) != 1) return false;
  SSL* ssl = ssl_.get();
  BIO* shared = bio.release();
  SSL_set_bio(ssl, shared, shared);  // takes the one reference for both directions
  SSL_set_connect_state(ssl);
  auto target = std::make_unique<SessionTarget>(SessionTarget{backend_->sessions, name_});
  if (SSL_set_ex_data(ssl, TargetIndex(), target.get()) != 1) return false;
  static_cast<void>(target.release());
  if (!ExpectName()) return false;
  if (backend_->certificate && !backend_->certificate->Install(ssl)) return false;
  const SslSessionPtr session = backend_->sessions->Take(name_);
  offered_session_ = session != nullptr && SSL_set_session(ssl, session.get()) == 1;
  return true;
}

// RFC 9525: the name is compared with subjectAltName alone, and a wildcard stands for the whole of
// one label. RFC 6066 section 3: an address is not sent.
bool ClientHandshake::ExpectName() {
  // Without a name OpenSSL would compare nothing.
  if (name_.empty() || name_.contains('\0')) return name_.empty() && !backend_->verify;
  const bool address = IsAddress(name_);
  if (!address) {
    if (SSL_set_tlsext_host_name(ssl_.get(), name_.c_str()) != 1) return false;
    facts_.sni = name_;
  }
  if (!backend_->verify) return true;
  X509_VERIFY_PARAM* expected = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(
      expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return address ? X509_VERIFY_PARAM_set1_ip_asc(expected, name_.c_str()) == 1
                 : X509_VERIFY_PARAM_set1_host(expected, name_.data(), name_.size()) == 1;
}

void ClientHandshake::OnVerifyFailure(X509_STORE_CTX* store) {
  verification_.error = X509_STORE_CTX_get_error(store);
  const auto keep = [](X509* certificate) {
    if (certificate != nullptr) X509_up_ref(certificate);
    return X509Ptr(certificate);
  };
  verification_.leaf = keep(X509_STORE_CTX_get0_cert(store));
  verification_.at = keep(X509_STORE_CTX_get_current_cert(store));
}

// A session that a failure has nothing to do with stays good.
void ClientHandshake::DropSsl() {
  if (ssl_ != nullptr && state_ != HandshakeState::kFailed) KeepSession(ssl_.get());
  ssl_.reset();
}

Handshake::Progress ClientHandshake::Failed(HandshakeFailure failure, std::string detail,
                                            size_t consumed) {
  state_ = HandshakeState::kFailed;
  failure_ = failure;
  detail_ = std::move(detail);
  DropSsl();
  // It may be the session that the server could not bear.
  if (offered_session_) backend_->sessions->Forget(name_);
  return {state_, consumed};
}

Handshake::Progress ClientHandshake::Advance(Bytes wire, std::vector<std::byte>& out) {
  POSTERN_CHECK(state_ == HandshakeState::kNeedMore);
  if (ssl_ == nullptr) {
    return Failed(HandshakeFailure::kInternal, "a handshake with a server cannot be begun", 0);
  }
  if (!classified_ && !wire.empty()) {
    FirstBytes first = ClassifyServerBytes(wire, backend_->starttls);
    if (first.kind == FirstBytes::Kind::kNeedMore) return {};
    if (first.kind == FirstBytes::Kind::kRefused) {
      return Failed(first.failure, std::move(first.detail), wire.size());
    }
    classified_ = true;
  }
  return Step(wire, out);
}

Handshake::Progress ClientHandshake::Step(Bytes wire, std::vector<std::byte>& out) {
  const auto [result, error, consumed] = TakeStep(ssl_.get(), *window_, watch_, wire, out);
  if (eaten_ < beginning_.size()) {
    std::ranges::copy(wire.first(std::min(consumed, beginning_.size() - eaten_)),
                      beginning_.begin() + static_cast<ptrdiff_t>(eaten_));
  }
  eaten_ += consumed;

  if (result == 1) {
    Establish();
    ERR_clear_error();
    return {state_, consumed};
  }
  if (error != SSL_ERROR_WANT_READ) {
    Explanation why = ExplainServer(
        ssl_.get(), {.backend = *backend_,
                     .expected = name_,
                     .verification = verification_,
                     .beginning = Bytes(beginning_).first(std::min(eaten_, beginning_.size()))});
    return Failed(why.failure, std::move(why.detail), consumed);
  }
  ERR_clear_error();
  if (eaten_ > limits::kMaxHandshakeBytes) {
    return Failed(HandshakeFailure::kTooLarge,
                  "the server sent more than " + std::to_string(limits::kMaxHandshakeBytes) +
                      " octets of handshake",
                  consumed);
  }
  return {state_, consumed};
}

void ClientHandshake::Establish() {
  state_ = HandshakeState::kEstablished;
  SSL* ssl = ssl_.get();
  FillFacts(ssl, facts_);
  // A resumed session carries the certificate that was verified when it began.
  if (const X509* server = SSL_get0_peer_certificate(ssl)) {
    facts_.peer = DescribePeer(server, backend_->verify);
  }
  // The connection may last for days; the key of our certificate must not.
  SSL_certs_clear(ssl);
  SSL_set_app_data(ssl, nullptr);
  std::optional<AeadParameters> small = TakeOver(ssl, watch_);
  if (!small) return;
  if (SSL_version(ssl) == TLS1_3_VERSION) {
    small->tickets = std::make_unique<TicketReader>(std::move(ssl_), std::move(window_));
  }
  record_ = MakeAeadRecord(std::move(*small));
  DropSsl();
}

std::unique_ptr<Record> ClientHandshake::TakeRecord() {
  POSTERN_CHECK(state_ == HandshakeState::kEstablished);
  if (record_ != nullptr) return std::move(record_);
  POSTERN_CHECK(ssl_ != nullptr);
  return MakeLibsslRecord(std::move(ssl_), std::move(window_));
}

}  // namespace

void SetClientCallbacks(SSL_CTX* context, bool verify) {
  SSL_CTX_set_verify(context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                     verify ? VerifyCallback : nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, NewSessionCallback);
  // Costly: libssl prints every secret octet by octet.
  if (UseOwnKdf() == nullptr) SSL_CTX_set_keylog_callback(context, KeyLogCallback);
}

std::unique_ptr<Handshake> BeginClientHandshake(BackendContextPtr backend,
                                                std::string_view server_name) {
  return std::make_unique<ClientHandshake>(std::move(backend), server_name);
}

}  // namespace postern::tls
