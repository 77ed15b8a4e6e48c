// The server's handshake on libssl, without a socket.
//
// libssl reads through a BIO over the caller's octets and asks for a record header, then for its
// body; it never reads ahead. So when the handshake is over the first octet of the next record is
// still the caller's, and any record engine can go on from there.
#include "tls/handshake_libssl.h"

#include <openssl/err.h>

#include <span>
#include <string>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "tls/alpn.h"
#include "tls/client_offer.h"
#include "tls/engine.h"
#include "tls/explain.h"
#include "tls/first_bytes.h"
#include "tls/handshake_facts.h"
#include "tls/peer_certificate.h"
#include "tls/record_libssl.h"
#include "tls/session_ids.h"
#include "tls/strict_sni.h"
#include "tls/tickets.h"
#include "tls/wire_bio.h"

namespace postern::tls {
namespace {

class LibsslHandshake final : public Handshake {
 public:
  LibsslHandshake(std::shared_ptr<Contexts> contexts, const ListenerPolicy& policy)
      : contexts_(std::move(contexts)),
        policy_(policy.policy != nullptr ? policy.policy : contexts_->base()),
        listener_(policy.listener),
        service_(policy.service),
        strict_sni_(policy.strict_sni) {
    Prepare(policy);
  }

  Progress Advance(Bytes wire, std::vector<std::byte>& out) override;
  HandshakeFailure failure() const override { return failure_; }
  const std::string& failure_detail() const override { return detail_; }
  HandshakeFacts& facts() override { return facts_; }
  std::unique_ptr<Record> TakeRecord() override;

  // The ClientHello is in: choose the certificate. False sets `alert`.
  bool OnClientHello(int& alert);
  // A client's certificate does not verify.
  void OnVerifyFailure(int error, const X509* certificate);
  // ALPN; `offered` as on the wire.
  AlpnChoice OnAlpn(Bytes offered);
  bool served_by_name() const { return by_name_; }
  Bytes Staple() const { return contexts_->Staple(certificate_); }
  HandshakeWatch& watch() { return watch_; }

 private:
  void Prepare(const ListenerPolicy& policy);
  Progress Failed(HandshakeFailure failure, std::string detail, size_t consumed);
  Progress Step(Bytes wire, std::vector<std::byte>& out);
  void Establish();

  std::shared_ptr<Contexts> contexts_;
  PolicyContextPtr policy_;
  std::string listener_;
  std::string service_;
  bool strict_sni_;
  std::unique_ptr<WireWindow> window_ = std::make_unique<WireWindow>();
  SslPtr ssl_;                      // after window_: its BIO points there
  std::unique_ptr<Record> record_;  // once established, where libssl is no longer needed
  HandshakeWatch watch_;
  ClientOffer offer_;
  std::string internal_;  // what went wrong on our side within a callback
  int verify_error_ = X509_V_OK;
  std::string refused_client_;  // whose certificate did not verify
  std::string refused_issuer_;
  std::string nameless_;  // why strict_sni refuses the client
  bool by_name_ = false;
  uint32_t certificate_ = 0;
  bool classified_ = false;
  HandshakeState state_ = HandshakeState::kNeedMore;
  size_t eaten_ = 0;
  HandshakeFailure failure_ = HandshakeFailure::kNone;
  std::string detail_;
  HandshakeFacts facts_;
};

int ClientHelloCallback(SSL* ssl, int* alert, void*) {
  auto* handshake = static_cast<LibsslHandshake*>(SSL_get_app_data(ssl));
  return handshake->OnClientHello(*alert) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

// RFC 6066 section 3: a server that used the name SHALL say so in its hello. The choice itself was
// made in the ClientHello callback, before any ticket was looked at.
int ServerNameCallback(SSL* ssl, int*, void*) {
  const auto* handshake = static_cast<const LibsslHandshake*>(SSL_get_app_data(ssl));
  return handshake->served_by_name() ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// libssl asks for an answer even where there is nothing to select.
int AlpnCallback(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                 const unsigned char* offered, unsigned size, void*) {
  auto* handshake = static_cast<LibsslHandshake*>(SSL_get_app_data(ssl));
  const AlpnChoice choice = handshake->OnAlpn(std::as_bytes(std::span(offered, size)));
  switch (choice.kind) {
    case AlpnChoice::Kind::kNone:
      return SSL_TLSEXT_ERR_NOACK;
    case AlpnChoice::Kind::kSelected:
      *out = AsUnsigned(AsBytes(choice.protocol));
      *out_size = static_cast<unsigned char>(choice.protocol.size());
      return SSL_TLSEXT_ERR_OK;
    case AlpnChoice::Kind::kForeign:
      break;
  }
  // RFC 7301 section 3.2: no_application_protocol.
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int VerifyCallback(int good, X509_STORE_CTX* store) {
  if (good == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  static_cast<LibsslHandshake*>(SSL_get_app_data(ssl))
      ->OnVerifyFailure(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get0_cert(store));
  return 0;
}

// RFC 6066 section 8, RFC 8446 section 4.4.2.1: only clients that asked get here.
int StatusCallback(SSL* ssl, void*) {
  const auto* handshake = static_cast<const LibsslHandshake*>(SSL_get_app_data(ssl));
  const Bytes staple = handshake->Staple();
  if (staple.empty()) return SSL_TLSEXT_ERR_NOACK;
  void* copy = OPENSSL_memdup(staple.data(), staple.size());  // libssl frees it
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(staple.size()));
  return SSL_TLSEXT_ERR_OK;
}

void KeyLogCallback(const SSL* ssl, const char* line) {
  auto* handshake = static_cast<LibsslHandshake*>(SSL_get_app_data(ssl));
  if (handshake != nullptr) handshake->watch().OnKeyLog(line);
}

void LibsslHandshake::Prepare(const ListenerPolicy& policy) {
  ERR_clear_error();
  SslPtr ssl(SSL_new(policy_->context.get()));
  BioPtr bio = MakeWireBio(*window_);
  if (ssl == nullptr || bio == nullptr || SSL_set_app_data(ssl.get(), this) != 1 ||
      !SetTickets(ssl.get(), policy.tickets, policy.ticket_count, policy.ticket_lifetime_s)) {
    ERR_clear_error();
    return;
  }
  BIO* shared = bio.release();
  SSL_set_bio(ssl.get(), shared, shared);  // takes the one reference for both directions
  SSL_set_accept_state(ssl.get());
  ssl_ = std::move(ssl);
}

bool LibsslHandshake::OnClientHello(int& alert) {
  ClientOffer offer = ReadOffer(ssl_.get());
  if (offer_.seen) {
    // The second ClientHello, after a HelloRetryRequest. RFC 8446 section 4.1.2: the name must be
    // the same; the certificate is chosen already.
    alert = SSL_AD_ILLEGAL_PARAMETER;
    return offer.sni == offer_.sni;
  }
  offer_ = std::move(offer);
  alert = SSL_AD_INTERNAL_ERROR;
  const auto selected =
      contexts_->Select(offer_.sni, [this] { return AbilitiesOf(ssl_.get(), offer_); });
  if (!selected) {
    internal_ = selected.error().ToString();
    return false;
  }
  by_name_ = selected->by_name;
  if (strict_sni_ && !by_name_) {
    facts_.sni = offer_.sni;
    nameless_ = ExplainStrictSni(offer_, selected->certificate->name());
    alert = kStrictSniAlert;
    return false;
  }
  certificate_ = selected->number;
  facts_.sni = offer_.sni;
  facts_.certificate = selected->certificate->name();
  facts_.certificate_signature = selected->certificate->signature_name();
  facts_.certificate_key = selected->certificate->key_name();
  if (!selected->certificate->Install(ssl_.get()) ||
      !BindSessions(ssl_.get(), listener_, service_, selected->certificate->name(),
                    policy_->binding())) {
    internal_ = "certificate " + selected->certificate->name() + " cannot be used";
    return false;
  }
  return true;
}

void LibsslHandshake::OnVerifyFailure(int error, const X509* certificate) {
  verify_error_ = error;
  if (certificate == nullptr) return;
  refused_client_ = SubjectText(certificate);
  refused_issuer_ = IssuerText(certificate);
}

AlpnChoice LibsslHandshake::OnAlpn(Bytes offered) {
  const AlpnChoice choice = ChooseAlpn(service_, offered);
  if (choice.kind == AlpnChoice::Kind::kSelected) facts_.alpn = choice.protocol;
  return choice;
}

Handshake::Progress LibsslHandshake::Failed(HandshakeFailure failure, std::string detail,
                                            size_t consumed) {
  state_ = HandshakeState::kFailed;
  failure_ = failure;
  detail_ = std::move(detail);
  ForgetSession(ssl_.get());
  ssl_.reset();
  return {state_, consumed};
}

Handshake::Progress LibsslHandshake::Advance(Bytes wire, std::vector<std::byte>& out) {
  POSTERN_CHECK(state_ == HandshakeState::kNeedMore);
  if (ssl_ == nullptr) {
    return Failed(HandshakeFailure::kInternal, "no memory for a handshake", 0);
  }
  if (!classified_) {
    FirstBytes first = ClassifyFirstBytes(wire, policy_->sslv2_hello, service_);
    if (first.kind == FirstBytes::Kind::kNeedMore) return {};
    if (first.kind == FirstBytes::Kind::kRefused) {
      const Bytes alert = std::as_bytes(std::span(first.alert));
      if (first.alert[0] != 0) out.insert(out.end(), alert.begin(), alert.end());
      return Failed(first.failure, std::move(first.detail), wire.size());
    }
    classified_ = true;
  }
  return Step(wire, out);
}

Handshake::Progress LibsslHandshake::Step(Bytes wire, std::vector<std::byte>& out) {
  const auto [result, error, consumed] = TakeStep(ssl_.get(), *window_, watch_, wire, out);
  eaten_ += consumed;

  if (result == 1) {
    Establish();
    ERR_clear_error();
    return {state_, consumed};
  }
  if (error != SSL_ERROR_WANT_READ) {
    Explanation why = ExplainFailure(ssl_.get(), {.offer = offer_,
                                                  .policy = *policy_,
                                                  .service = service_,
                                                  .key_kinds = contexts_->KeyKinds(offer_.sni),
                                                  .verify_error = verify_error_,
                                                  .client = refused_client_,
                                                  .client_issuer = refused_issuer_});
    if (!internal_.empty()) why = {HandshakeFailure::kInternal, internal_};
    if (!nameless_.empty()) why = {HandshakeFailure::kNoCertificate, nameless_};
    return Failed(why.failure, std::move(why.detail), consumed);
  }
  ERR_clear_error();
  if (eaten_ > limits::kMaxHandshakeBytes) {
    return Failed(HandshakeFailure::kTooLarge,
                  "the client sent more than " + std::to_string(limits::kMaxHandshakeBytes) +
                      " octets of handshake",
                  consumed);
  }
  return {state_, consumed};
}

void LibsslHandshake::Establish() {
  state_ = HandshakeState::kEstablished;
  SSL* ssl = ssl_.get();
  FillFacts(ssl, facts_);
  // A resumed session carries the certificate that was verified when it began.
  if (const X509* client = SSL_get0_peer_certificate(ssl)) facts_.peer = DescribePeer(client, true);
  // The connection may last for days; the key that its certificate had must not.
  SSL_certs_clear(ssl);
  SSL_set_app_data(ssl, nullptr);
  if (std::optional<AeadParameters> small = TakeOver(ssl, watch_)) {
    record_ = MakeAeadRecord(std::move(*small));
    ssl_.reset();
  }
}

std::unique_ptr<Record> LibsslHandshake::TakeRecord() {
  POSTERN_CHECK(state_ == HandshakeState::kEstablished);
  if (record_ != nullptr) return std::move(record_);
  POSTERN_CHECK(ssl_ != nullptr);
  return MakeLibsslRecord(std::move(ssl_), std::move(window_));
}

}  // namespace

void SetHandshakeCallbacks(SSL_CTX* context) {
  SSL_CTX_set_client_hello_cb(context, ClientHelloCallback, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, ServerNameCallback);
  SSL_CTX_set_alpn_select_cb(context, AlpnCallback, nullptr);
  SSL_CTX_set_verify(context, SSL_CTX_get_verify_mode(context), VerifyCallback);
  SSL_CTX_set_tlsext_status_cb(context, StatusCallback);
  // Costly: libssl prints every secret octet by octet.
  if (UseOwnKdf() == nullptr) SSL_CTX_set_keylog_callback(context, KeyLogCallback);
}

std::unique_ptr<Handshake> BeginLibsslHandshake(std::shared_ptr<Contexts> contexts,
                                                const ListenerPolicy& policy) {
  return std::make_unique<LibsslHandshake>(std::move(contexts), policy);
}

}  // namespace postern::tls
