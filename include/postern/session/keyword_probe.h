// KeywordProbe: a short connection of Postern's own to a server of a back end, to hear what it
// offers in its answer to EHLO or LHLO, over TLS where the back end has TLS. No client is behind
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/generation/settings.h"
#include "postern/mail/backend_dialog.h"
#include "postern/relay/backend_picker.h"
#include "postern/relay/stream.h"
#include "postern/ring/timer_wheel.h"
#include "postern/session/secure_stream.h"
#include "postern/tls/client_contexts.h"
#include "postern/tls/handshake.h"

namespace postern::session {

// ProbeIo is what all probes of a worker share with its sessions. Everything is borrowed and
// outlives them.
struct ProbeIo {
  relay::StreamIo& backends;  // plain text
  relay::StreamIo& tls_backends;
  ring::TimerWheel& timers;
  relay::BackendPicker& picker;
  const uint64_t& now_ms;
  std::vector<std::byte>& scratch;  // empty between calls
};

// ProbeTarget is whom to ask: the back end of listener number `listener`, in the words of that
// listener's service, which has to be SMTP, submission or LMTP.
struct ProbeTarget {
  generation::SettingsPtr settings;
  uint32_t listener = 0;
  std::shared_ptr<tls::ClientContexts> contexts;  // may be null where the back end has no TLS
};

class KeywordProbe;

class KeywordProbeOwner {
 public:
  // OnProbed comes at most once. nullptr: none of the servers could be asked (KeywordProbe::reason
  // says why of the last one). Not to destroy the probe, which still says goodbye.
  virtual void OnProbed(KeywordProbe& probe, const mail::EhloKeywords* keywords) = 0;
  // OnProbeGone comes last: nothing is in flight any more, and the probe may be destroyed within
  // the call.
  virtual void OnProbeGone(KeywordProbe& probe) = 0;

 protected:
  ~KeywordProbeOwner() = default;
};

class KeywordProbe final : private relay::StreamOwner {
 public:
  KeywordProbe(const ProbeIo& io, KeywordProbeOwner& owner, ProbeTarget target);

  // Begin asks the back end's servers one after another until one answers. Each has
  // connect_timeout and greeting_timeout. False: not one can be tried (reason); then the owner
  // hears nothing, and the probe can be destroyed. The owner is never called from within.
  bool Begin();
  // Stop breaks off. OnProbed does not come any more, OnProbeGone does, never within the call.
  void Stop();

  bool told() const { return told_; }  // OnProbed has been called, or will not be
  const std::string& reason() const { return reason_; }
  std::string_view server() const { return server_; }  // that was asked last

 private:
  enum class State : uint8_t {
    kConnecting,
    kTalking,
    kParting,  // last words on their way; what the server still says is dropped
    kClosing,  // of this server's socket
  };

  // StreamOwner
  void OnConnected(relay::Stream& stream, int error_number) override;
  void OnReceived(relay::Stream& stream, const ring::Slot& slot, MutableBytes bytes) override;
  void OnStreamSettled(relay::Stream& stream) override;

  const generation::ListenerSettings& listener() const {
    return target_.settings->listeners()[target_.listener];
  }
  const generation::BackendSettings& backend() const {
    return target_.settings->backends()[listener().backend];
  }
  void PrepareRules();
  bool TryNextServer();
  void BeginHandshake();
  void BeginDialog();
  void FeedHandshake(Bytes bytes);
  void FeedDialog();
  void TakeStep(const mail::BackendDialog::Step& step, const std::string& to_server);
  void Fail(std::string_view why);
  void Tell(const mail::EhloKeywords* keywords);
  void Decide();  // may destroy the probe
  void DecideTalking();
  void DecideParting();
  void OnTimer();  // likewise

  const ProbeIo io_;
  KeywordProbeOwner& owner_;
  const ProbeTarget target_;
  SecureStream stream_;
  ring::Timer timer_;
  mail::BackendRules rules_;
  std::vector<relay::Candidate> candidates_;    // servers not tried yet, the next one last
  const os::SocketAddress* address_ = nullptr;  // the one being tried
  std::string_view server_;
  std::string_view tls_name_;
  std::unique_ptr<tls::Handshake> handshake_;
  std::unique_ptr<mail::BackendDialog> dialog_;
  std::string from_server_;  // plaintext that the dialog has not consumed
  std::string reason_;
  State state_ = State::kConnecting;
  bool told_ = false;
};

}  // namespace postern::session
