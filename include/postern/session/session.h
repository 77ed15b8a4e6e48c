// Session: one client's life, from accept to the last completion. It owns both sockets and decides,
// after every event, what to wait for next (Decide). TLS, relay and replies are the business of the
// modules below; nothing here knows the ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/intrusive_list.h"
#include "postern/generation/settings.h"
#include "postern/mail/backend_dialog.h"
#include "postern/mail/client_dialog.h"
#include "postern/mail/gate.h"
#include "postern/mail/proxy_header.h"
#include "postern/mail/replies.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"
#include "postern/relay/backend_picker.h"
#include "postern/relay/stream.h"
#include "postern/ring/timer_wheel.h"
#include "postern/session/admission.h"
#include "postern/session/keyword_cache.h"
#include "postern/session/secure_stream.h"
#include "postern/session/session_end.h"
#include "postern/shm/counters.h"
#include "postern/tls/client_contexts.h"
#include "postern/tls/handshake.h"
#include "postern/tls/server_contexts.h"

namespace postern::session {

class SessionTable;
struct BackendLink;

// SessionIo is what all sessions of a worker share. Everything is borrowed and outlives them.
struct SessionIo {
  // By what the peer speaks: records are received to the start of a slot, since a full one needs
  // all of it, and plain text with room around it, so that it can be sealed where it lies.
  relay::StreamIo& clients;        // TLS
  relay::StreamIo& plain_clients;  // never TLS; those that begin in plain text are `clients`
  relay::StreamIo& backends;       // plain text
  relay::StreamIo& tls_backends;
  ring::TimerWheel& timers;
  relay::BackendPicker& picker;
  shm::WorkerCounters& counters;
  SessionTable& table;
  const uint64_t& now_ms;            // the worker's clock, set once per turn
  std::vector<std::byte>& scratch;   // for short outputs of TLS; empty between calls
  KeywordCache* keywords = nullptr;  // null: nothing is known of any server
  Admission* admission = nullptr;    // null: nobody is refused
};

// Accepted is a fresh connection and the generation it begins (and ends) on.
struct Accepted {
  os::UniqueFd fd;
  os::SocketAddress peer;
  generation::SettingsPtr settings;
  uint32_t listener = 0;  // index into settings->listeners()
  std::shared_ptr<tls::ServerContexts> contexts;
  tls::PolicyContextPtr policy;  // of the listener; null: the default
  // For back ends with TLS; may be null when there are none.
  std::shared_ptr<tls::ClientContexts> client_contexts = nullptr;
  AdmissionHold hold = {};  // let in as far as its address is known
};

// ProtocolOf is the protocol in which clients of a service are spoken to.
mail::Protocol ProtocolOf(config::Service service);

class Session final : private relay::StreamOwner {
 public:
  Session(SessionIo& io, Accepted accepted);
  ~Session();

  // End lets the session say what its protocol has to say on `occasion` and then closes.
  void End(mail::Occasion occasion, How how);

 private:
  friend class SessionTable;

  enum class State : uint8_t {
    kProxyHeader,    // a proxy has to say first who the client is
    kGreetingDelay,  // the client is given time to speak: TLS (tls = "auto"), or too early
    kDialog,         // plain text, until the client asks for TLS or goes on without
    kRedirect,       // plain HTTP where TLS is spoken: the client is sent to https
    kHandshake,      // bytes from the client go to handshake_
    // TLS stands (or is not wanted); a server is being connected, and what has to be said to it
    // first (link_) is said
    kConnecting,
    kRelay,
    kFinishing,  // last words to the client; what it still sends is dropped
    kClosing,    // waiting for the last completions
  };

  // StreamOwner
  void OnConnected(relay::Stream& stream, int error_number) override;
  void OnReceived(relay::Stream& stream, const ring::Slot& slot, MutableBytes bytes) override;
  void OnStreamSettled(relay::Stream& stream) override;

  // What the log calls `tls`: how TLS began. kOff: it did not.
  enum class TlsKind : uint8_t { kOff, kImplicit, kStartTls };

  bool Start(os::UniqueFd fd, std::shared_ptr<tls::ServerContexts> contexts,
             tls::PolicyContextPtr policy);
  void Begin();  // may destroy the session
  void TakeFromClient(const ring::Slot& slot, MutableBytes bytes);

  // PROXY protocol (session_proxy.cc)
  bool ScreenPeer();
  void FeedProxyHeader(Bytes bytes);
  bool TakeProxyHeader(const mail::ProxyHeader& header);  // whether it names the client
  void DecideProxyHeader();
  void ProxyHeaderLate();
  void NoteLocalAddress(int fd);
  void KeepToldFacts(Bytes wire, const mail::ProxyHeader& header);
  const std::string& ConnectionId();
  void TellTls(mail::ProxyHeader& header) const;
  void QueueProxyHeader();
  os::SocketAddress PeerAddress() const;
  bool EnterByHeader();
  bool RepeatsHeader(Bytes bytes);

  // Plain text before TLS, or in its place (session_dialog.cc)
  static std::optional<mail::DialogProtocol> DialogProtocolOf(config::Service service);
  void BeginOpening();
  void BeginWaiting(uint64_t wait_ms);
  void SpokeWhileWaiting(Bytes bytes);
  void PlainTextFirst(Bytes bytes);
  void WaitedForGreeting();
  void BeginDialog();
  void FeedDialog(Bytes bytes);
  bool AnswerEhlo(std::string& reply);
  void TakeKeywords(const mail::EhloKeywords* keywords);  // may destroy the session
  void TakeStep(const mail::ClientDialog::Step& step);
  void RefuseDialog(mail::DialogEnd end);
  void CountDialog(mail::DialogEnd end);
  void DecideDialog();
  void DialogTimeout();
  void EndDialog(mail::Occasion occasion, How how);
  void BeginPlain();
  void BeginRedirect(Bytes wire);
  void FeedRedirect(Bytes bytes);
  void DecideRedirect();

  // Handshake (session_handshake.cc)
  std::unique_ptr<tls::Handshake> MakeHandshake(tls::ServerContexts& contexts,
                                                tls::PolicyContextPtr policy);
  void BeginHandshake();
  void FeedHandshake(Bytes bytes);
  void Established();
  void HandshakeFailed();
  void CountFailure(tls::HandshakeFailure failure);
  bool IsFault(tls::HandshakeFailure failure) const;
  void NoteFault(Fault fault);
  void NoLongerHandshaking();

  // Back end (session_backend.cc)
  void BeginConnecting();
  void TryNextServer();
  void ServerFailed(std::string_view why, bool last_words = false);
  bool PartFromServer();
  void Unreachable();
  void ServerReady();

  // What comes between connecting and relaying (session_link.cc)
  void PrepareLink();
  void BeginLink();
  void BeginServerHandshake();
  void BeginServerDialog();
  void FeedServer(const ring::Slot& slot, MutableBytes wire);
  void FeedServerHandshake(Bytes bytes);
  void FeedServerDialog();
  void HearClient();
  void FeedClientDialog();
  bool TakeLinkStep(const mail::BackendDialog::Step& step, const std::string& to_server,
                    const std::string& to_client);
  void LinkFailed(mail::BackendFailure failure, const std::string& detail,
                  const std::string& to_client);
  void LetThrough();
  bool LetFlow(MutableBytes from_client, MutableBytes from_server);
  void LinkBroken();

  // Relay (session_relay.cc)
  void RelayToBackend(const ring::Slot& slot, MutableBytes wire);
  void RelayToClient(const ring::Slot& slot, MutableBytes wire);
  void MakeGate(const mail::BackendDialog* dialog);
  bool SendToBackend(Plaintext& plain);
  bool SendToClient(const Plaintext& plain);
  bool PassToClient(Bytes octets);
  bool OpenGate();
  void EmptyGate(bool server_ended);
  void LogLoginFailed();

  // Decisions (session.cc)
  void Decide();
  void DecideHandshake();
  void DecideConnecting();
  void DecideRelay();
  bool RelayBroken();
  void DecideFinishing();
  static bool Paused(bool paused, size_t queued);
  void SetBackPressure();
  void WatchReader();
  void RelayTimeout();  // may destroy the session
  void OnTimer();
  void Finish(How how, bool reset_backend);
  void Close(How how, bool reset_backend);
  void NoteEnd(How how);

  // One line per connection (session_log.cc)
  void Log() const;
  static std::string_view TlsText(TlsKind kind);

  const generation::ListenerSettings& listener() const {
    return settings_->listeners()[listener_index_];
  }
  mail::Protocol protocol() const { return ProtocolOf(listener().service); }
  uint64_t age_ms() const { return io_.now_ms - started_ms_; }

  SessionIo& io_;
  ListNode table_node_;
  generation::SettingsPtr settings_;
  uint32_t listener_index_;
  State state_ = State::kHandshake;
  How how_ = How::kOpen;
  TlsKind tls_ = TlsKind::kOff;
  bool handshaking_ = true;     // counted as not yet through the handshake
  bool heard_ = false;          // the client has sent something
  bool client_done_ = false;    // the client ended its direction, or hung up behind our end
  bool client_paused_ = false;  // back pressure: not reading from the client
  bool backend_paused_ = false;
  bool reader_watched_ = false;  // the timer looks whether the client reads
  tls::HandshakeFailure failure_ = tls::HandshakeFailure::kNone;
  mail::DialogEnd dialog_end_ = mail::DialogEnd::kNone;
  uint16_t https_port_ = 0;  // of service http: where the client came in
  alignas(
      uint32_t) std::array<std::byte, 28> peer_{};  // a sockaddr_in or sockaddr_in6, hence aligned
  uint64_t started_ms_;
  uint64_t active_ms_;      // when anything last happened
  uint64_t bytes_in_ = 0;   // plaintext octets from the client
  uint64_t bytes_out_ = 0;  // and to it
  size_t unread_ = 0;       // octets queued for the client when last looked at
  uint64_t read_ms_ = 0;    // when they last became fewer
  AdmissionHold hold_;
  ring::Timer timer_;
  SecureStream client_;
  SecureStream backend_;
  std::unique_ptr<tls::Handshake> handshake_;
  tls::HandshakeFacts facts_;
  std::vector<relay::Candidate> candidates_;    // servers not tried yet, the next one last
  const os::SocketAddress* address_ = nullptr;  // the one being tried
  std::string_view server_;                     // the one being tried, then the one in use
  std::string_view tls_name_;                   // of the one being tried
  std::string reason_;                          // words for the log, when something went wrong
  // For connections that the PROXY protocol has to do with, in or out; null for all others.
  struct Proxied {
    os::SocketAddress local;        // what the client connected to
    std::string proxy;              // from whom its header came
    std::string id;                 // the connection's unique ID, of the header or our own
    bool tls_ended = false;         // the client's TLS ended at the proxy; any with us is its own
    std::string tls_version;        // of the TLS that the client spoke with the proxy
    std::vector<std::byte> header;  // what the back end is to be told of it; empty: nothing
  };
  std::unique_ptr<Proxied> proxied_;
  std::optional<mail::RepeatedHeader> repeated_;  // behind a header, until it is ruled out
  // What a session needs until its TLS begins; null from then on, and for those that begin with it.
  struct Opening final : KeywordWaiter {
    explicit Opening(Session& of) : session(of) {}
    void OnKeywords(const mail::EhloKeywords* keywords) override;

    Session& session;
    std::shared_ptr<tls::ServerContexts> contexts;
    tls::PolicyContextPtr policy;
    std::unique_ptr<mail::ClientDialog> dialog;
    uint64_t deadline_ms = 0;      // of the dialog
    bool awaits_keywords = false;  // the answer to EHLO waits for them
    bool starting_tls = false;     // the answer to STARTTLS is on its way
  };
  std::unique_ptr<Opening> opening_;
  // Of a client that goes on without TLS behind a dialog: how it introduced itself there.
  struct Introduction {
    std::string name;       // empty: it did not
    bool extended = false;  // EHLO or LHLO rather than HELO
  };
  std::unique_ptr<Introduction> introduction_;
  std::shared_ptr<tls::ClientContexts> client_contexts_;  // until the link is made
  // What a session needs until the client's octets may flow; null where they flow at once.
  std::unique_ptr<BackendLink> link_;
  // Until the client has logged in; null from then on, and where octets are no mail protocol's.
  std::unique_ptr<mail::Gate> gate_;
};

// SessionTable owns a worker's sessions.
class SessionTable {
 public:
  // Add begins a session. False when the descriptor table has no room for it (it is closed then).
  bool Add(SessionIo& io, Accepted accepted);
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // EndAll ends every session that stands now with the words for `occasion`.
  void EndAll(mail::Occasion occasion, How how);

 private:
  friend class Session;
  void Destroy(Session& session);

  IntrusiveList<Session, &Session::table_node_> sessions_;
  size_t size_ = 0;
};

}  // namespace postern::session
