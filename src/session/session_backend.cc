// Finding a server: the back end is first spoken to when the client's handshake is over, each
// server's addresses are tried in turn, and the client waits no longer than connect_timeout for
// each, and greeting_timeout where something is to be said first.
#include <fmt/format.h>

#include <algorithm>

#include "backend_link.h"
#include "postern/os/socket.h"
#include "postern/session/session.h"

namespace postern::session {
namespace {

// How long a server that failed may take to let its last words through: they hardly ever wait.
constexpr uint64_t kPartingMs = 1'000;

}  // namespace

void Session::BeginConnecting() {
  state_ = State::kConnecting;
  PrepareLink();
  if (link_ == nullptr) MakeGate(nullptr);
  QueueProxyHeader();
  const generation::BackendSettings& backend = settings_->backends()[listener().backend];
  for (const generation::ServerSettings& server : backend.servers) {
    if (server.addresses.empty()) {
      reason_ = fmt::format("{}: {}", server.text, server.unresolved_reason);
      server_ = server.text;
    }
    for (const os::SocketAddress& address : server.addresses) {
      candidates_.push_back({server.text, &address, server.tls_name});
    }
  }
  io_.picker.Order(backend.name, candidates_, io_.now_ms);
  std::reverse(candidates_.begin(), candidates_.end());
  TryNextServer();
}

void Session::TryNextServer() {
  while (!candidates_.empty()) {
    const relay::Candidate candidate = candidates_.back();
    candidates_.pop_back();
    server_ = candidate.server;
    address_ = candidate.address;
    tls_name_ = candidate.tls_name;
    Result<os::UniqueFd> fd = os::MakeStream(address_->family());
    if (!fd) {
      reason_ = fd.error().what;
      continue;
    }
    if (!backend_.Open(std::move(*fd))) {
      reason_ = "no free place in the descriptor table; raise RLIMIT_NOFILE";
      continue;
    }
    if (link_ != nullptr) {
      // What is left is for a server that could not be had.
      backend_.out().Clear();
      backend_.out().AppendCopy(link_->proxy_header);
      link_->Reset();
    }
    backend_.Connect(*address_);
    const generation::BackendSettings& backend = settings_->backends()[listener().backend];
    io_.timers.Arm(timer_, io_.now_ms + backend.connect_timeout_ms);
    return;
  }
  Unreachable();
}

void Session::OnConnected(relay::Stream&, int error_number) {
  if (state_ != State::kConnecting) return;
  if (error_number != 0) {
    ServerFailed(ErrnoText(error_number));
    return;
  }
  if (link_ != nullptr) {
    BeginLink();
    return;
  }
  ServerReady();
}

void Session::ServerReady() {
  io_.picker.Succeeded(*address_);
  reason_.clear();
  std::vector<relay::Candidate>().swap(candidates_);
  state_ = State::kRelay;
  io_.timers.Arm(timer_, io_.now_ms + listener().idle_timeout_ms);
}

// `last_words`: what is queued (a TLS alert: RFC 8446 section 6.2) is for the server to hear.
void Session::ServerFailed(std::string_view why, bool last_words) {
  // The address is told beside the name, since a name may have several.
  const std::string address = address_->ToString();
  reason_ = server_ == address ? fmt::format("{}: {}", address, why)
                               : fmt::format("{} ({}): {}", server_, address, why);
  io_.picker.Failed(*address_, io_.now_ms);
  // The next one is tried when this socket is gone (DecideConnecting).
  if (!last_words) {
    backend_.Close(false);
    return;
  }
  link_->parting = true;
  io_.timers.Arm(timer_, io_.now_ms + kPartingMs);
}

// PartFromServer closes a server's socket once its last words are out, or cannot be had rid of.
// False: not yet.
bool Session::PartFromServer() {
  backend_.Pump();
  if (!backend_.flushed() && backend_.send_error() == 0) return false;
  link_->parting = false;
  backend_.Close(false);
  return true;
}

void Session::Unreachable() {
  io_.counters.backend_failed.Add();
  const std::string_view words = mail::Reply(protocol(), mail::Occasion::kBackendUnavailable);
  // Without words of its own a protocol could take a close_notify for an empty but whole answer.
  if (!words.empty() && client_.Say(words)) client_.End();
  Finish(How::kBackendUnreachable, false);
}

}  // namespace postern::session
