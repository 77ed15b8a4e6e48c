// The line that each connection leaves behind; docs/logging.md explains every field.
#include "postern/session/session.h"

namespace postern::session {

std::string_view Session::TlsText(TlsKind kind) {
  switch (kind) {
    case TlsKind::kOff:
      return "off";
    case TlsKind::kImplicit:
      return "implicit";
    case TlsKind::kStartTls:
      return "starttls";
  }
  return "unknown";
}

void Session::Log() const {
  if (how_ == How::kRefused) return;  // a flood of refusals must not be one of lines
  LogLine line(LevelOf(how_), "connection closed");
  line.Field("client", PeerAddress().ToString());
  if (proxied_ != nullptr) {
    line.Field("proxy", proxied_->proxy);
    line.Field("proxy_tls", proxied_->tls_version);
  }
  line.Field("listener", listener().name);
  line.Field("service", config::ToString(listener().service));
  line.Field("tls", TlsText(tls_));
  line.Field("sni", facts_.sni);
  line.Field("tls_version", facts_.version);
  line.Field("cipher", facts_.cipher);
  line.Field("group", facts_.group);
  line.Field("alpn", facts_.alpn);
  if (client_.secure()) line.Field("resumed", facts_.resumed);
  line.Field("certificate", facts_.certificate);
  if (facts_.peer != nullptr) {
    line.Field("client_certificate", facts_.peer->subject);
    line.Field("client_issuer", facts_.peer->issuer);
    line.Field("client_fingerprint", facts_.peer->fingerprint);
  }
  line.Field("backend", settings_->backends()[listener().backend].name);
  line.Field("server", server_);
  if (proxied_ != nullptr) line.Field("connection_id", proxied_->id);
  line.Field("bytes_in", bytes_in_);
  line.Field("bytes_out", bytes_out_);
  line.FieldMs("duration", age_ms());
  line.Field("generation", settings_->number());
  line.Field("how", ToString(how_));
  if (dialog_end_ != mail::DialogEnd::kNone) line.Field("dialog", mail::ToString(dialog_end_));
  if (failure_ != tls::HandshakeFailure::kNone) line.Field("failure", tls::ToString(failure_));
  line.Field("reason", reason_);
}

}  // namespace postern::session
