// Who the client is, as a proxy in front of Postern says and as Postern tells the servers behind.
//
// A listener that takes PROXY headers takes nothing else: its peers are judged before their first
// octet, and a header comes before TLS. From then on the connection is the client's, in the log as
// towards the back end.
//
// The header for the back end is queued before anything else can be, when the client's handshake is
// over, and stays at the front of the queue from one server that cannot be had to the next.
#include <netinet/in.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "backend_link.h"
#include "postern/os/socket.h"
#include "postern/session/session.h"

namespace postern::session {
namespace {

mail::ProxyAccepts AcceptsOf(config::ProxyIn in) {
  switch (in) {
    case config::ProxyIn::kVersion1:
      return mail::ProxyAccepts::kVersion1;
    case config::ProxyIn::kVersion2:
      return mail::ProxyAccepts::kVersion2;
    case config::ProxyIn::kAny:
    case config::ProxyIn::kOff:
      return mail::ProxyAccepts::kAny;
  }
  return mail::ProxyAccepts::kAny;
}

mail::ProxyFormat FormatOf(config::ProxyOut out) {
  switch (out) {
    case config::ProxyOut::kVersion1:
      return mail::ProxyFormat::kVersion1;
    case config::ProxyOut::kVersion2:
      return mail::ProxyFormat::kVersion2;
    case config::ProxyOut::kVersion2Tls:
    case config::ProxyOut::kOff:
      return mail::ProxyFormat::kVersion2Tls;
  }
  return mail::ProxyFormat::kVersion2Tls;
}

os::SocketAddress SocketAddressOf(mail::ProxyFamily family, const mail::ProxyAddress& from) {
  if (family == mail::ProxyFamily::kIpv4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(from.port);
    std::memcpy(&v4.sin_addr, from.ip.data(), sizeof v4.sin_addr);
    return {reinterpret_cast<const sockaddr*>(&v4), sizeof v4};
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(from.port);
  std::memcpy(&v6.sin6_addr, from.ip.data(), sizeof v6.sin6_addr);
  return {reinterpret_cast<const sockaddr*>(&v6), sizeof v6};
}

// The reverse; what a dual-stack socket calls ::ffff:192.0.2.1 is an IPv4 client.
mail::ProxyFamily ProxyAddressOf(const sockaddr* from, mail::ProxyAddress& out) {
  if (from->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(from);
    std::memcpy(out.ip.data(), &v4->sin_addr, sizeof v4->sin_addr);
    out.port = ntohs(v4->sin_port);
    return mail::ProxyFamily::kIpv4;
  }
  if (from->sa_family != AF_INET6) return mail::ProxyFamily::kUnknown;
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(from);
  out.port = ntohs(v6->sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    std::memcpy(out.ip.data(), &v6->sin6_addr.s6_addr[12], 4);
    return mail::ProxyFamily::kIpv4;
  }
  std::memcpy(out.ip.data(), &v6->sin6_addr, sizeof v6->sin6_addr);
  return mail::ProxyFamily::kIpv6;
}

// What TLS the client spoke with us.
mail::ProxyTls TlsOf(const tls::HandshakeFacts& facts) {
  mail::ProxyTls tls{.version = facts.version, .cipher = facts.cipher};
  tls.signature_algorithm = facts.certificate_signature;
  tls.key_algorithm = facts.certificate_key;
  if (facts.peer == nullptr) return tls;
  tls.certificate_on_connection = !facts.resumed;
  tls.certificate_in_session = true;
  tls.verified = facts.peer->verified;
  tls.common_name = facts.peer->common_name;
  tls.subject = facts.peer->subject;
  tls.issuer = facts.peer->issuer;
  tls.fingerprint = facts.peer->fingerprint;
  return tls;
}

// Whether a text can stand in a log line and in each protocol's words as it is.
bool IsPlainText(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char octet) { return octet > ' ' && octet < '\x7F'; });
}

// Sixteen random octets in hexadecimal.
std::string NewId() {
  std::array<unsigned char, 16> octets{};
  if (::getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
    return {};
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char octet : octets) {
    text += kDigits[octet >> 4];
    text += kDigits[octet & 0xF];
  }
  return text;
}

}  // namespace

// The same in our log, in that of the proxy in front if it gave one, and in the back end's.
const std::string& Session::ConnectionId() {
  if (proxied_->id.empty()) proxied_->id = NewId();
  return proxied_->id;
}

void Session::NoteLocalAddress(int fd) {
  if (listener().service == config::Service::kHttp) https_port_ = os::LocalAddress(fd).port();
  const generation::BackendSettings& backend = settings_->backends()[listener().backend];
  if (backend.proxy == config::ProxyOut::kOff && !backend.identify_clients) return;
  proxied_ = std::make_unique<Proxied>();
  proxied_->local = os::LocalAddress(fd);
}

// Whether a header has to come first, or the connection is not let in at all.
bool Session::ScreenPeer() {
  const config::ProxyAcceptance& proxy = listener().proxy;
  if (proxy.in == config::ProxyIn::kOff) return false;
  const os::SocketAddress address = PeerAddress();
  bool listed = false;
  for (const os::Network& network : proxy.from) listed |= network.Contains(address);
  if (!listed) {
    reason_ = "the listener takes connections from the networks of proxy_from alone";
    Close(How::kNotAProxy, false);
    return true;
  }
  state_ = State::kProxyHeader;
  io_.timers.Arm(timer_, io_.now_ms + proxy.timeout_ms);
  return true;
}

void Session::FeedProxyHeader(Bytes bytes) {
  heard_ = true;
  const Bytes wire = client_.Joined(bytes);
  const mail::ProxyParsed parsed = mail::ParseProxyHeader(wire, AcceptsOf(listener().proxy.in));
  switch (parsed.state) {
    case mail::ProxyParsed::State::kNeedMore:
      client_.Keep(wire);
      return;
    case mail::ProxyParsed::State::kMalformed:
      reason_ = parsed.failure;
      Close(How::kProxyHeader, false);
      return;
    case mail::ProxyParsed::State::kDone:
      break;
  }
  const bool named = TakeProxyHeader(parsed.header);
  if (named) KeepToldFacts(wire.first(parsed.consumed), parsed.header);
  client_.Keep(wire.subspan(parsed.consumed));
  std::vector<std::byte> left = client_.TakeKept();
  heard_ = false;
  repeated_.emplace();
  if (named && !EnterByHeader()) return;
  BeginOpening();
  if (!left.empty()) TakeFromClient(ring::Slot(), left);
}

// A header comes once, whatever the listener takes the next octets for. True: the session is over.
bool Session::RepeatsHeader(Bytes bytes) {
  if (!repeated_->Take(bytes)) {
    if (repeated_->ruled_out()) repeated_.reset();
    return false;
  }
  repeated_.reset();
  reason_ = "a second PROXY header";
  Close(How::kProxyHeader, true);
  return true;
}

// What the header leaves open (UNKNOWN, LOCAL, a UNIX socket) stays as the connection itself says.
bool Session::TakeProxyHeader(const mail::ProxyHeader& header) {
  if (header.family != mail::ProxyFamily::kIpv4 && header.family != mail::ProxyFamily::kIpv6) {
    return false;
  }
  if (proxied_ == nullptr) proxied_ = std::make_unique<Proxied>();
  proxied_->proxy = PeerAddress().ToString();
  proxied_->local = SocketAddressOf(header.family, header.destination);
  if (https_port_ != 0) https_port_ = header.destination.port;
  const os::SocketAddress client = SocketAddressOf(header.family, header.source);
  peer_ = {};
  std::memcpy(peer_.data(), client.bytes().data(), client.bytes().size());
  return true;
}

// What a header says beyond addresses goes on to back ends that are told such things. It is kept as
// it came, since its texts lie in it.
void Session::KeepToldFacts(Bytes wire, const mail::ProxyHeader& header) {
  if (IsPlainText(header.unique_id)) proxied_->id = header.unique_id;
  proxied_->tls_ended = header.tls.has_value();
  if (header.tls && IsPlainText(header.tls->version)) {
    proxied_->tls_version = header.tls->version;
  }
  const config::ProxyOut out = settings_->backends()[listener().backend].proxy;
  const bool facts = header.tls || !header.authority.empty() || !header.alpn.empty();
  if (facts && out == config::ProxyOut::kVersion2Tls) {
    proxied_->header.assign(wire.begin(), wire.end());
  }
}

os::SocketAddress Session::PeerAddress() const {
  const auto* peer = reinterpret_cast<const sockaddr*>(peer_.data());
  return {peer, peer->sa_family == AF_INET6 ? socklen_t{sizeof(sockaddr_in6)}
                                            : socklen_t{sizeof(sockaddr_in)}};
}

// The client that a header named is counted from now on. False: it is refused, in the words that
// its listener has for it.
bool Session::EnterByHeader() {
  if (io_.admission == nullptr) return true;
  const os::SocketAddress client = PeerAddress();
  const Refusal refusal = io_.admission->EnterAddress(*settings_, listener_index_, client, hold_);
  if (refusal == Refusal::kNone) return true;
  io_.admission->Refused(listener(), client, refusal);
  const std::string_view words = RefusalWords(listener(), refusal);
  if (words.empty()) {
    Close(How::kRefused, false);
  } else {
    client_.Say(words);
    Finish(How::kRefused, false);
    client_.End();
  }
  return false;
}

void Session::DecideProxyHeader() {
  if (client_.receive_end() == relay::ReceiveEnd::kOpen) return;
  if (!heard_ && client_.receive_end() == relay::ReceiveEnd::kEof) {
    // So balancers ask whether somebody is there.
    Close(How::kClientClosed, false);
    return;
  }
  reason_ = "the connection ended within the PROXY header";
  Close(heard_ ? How::kProxyHeader : How::kClientReset, false);
}

void Session::ProxyHeaderLate() {
  reason_ = heard_ ? "the PROXY header was not complete in time" : "no PROXY header came in time";
  Close(How::kProxyHeader, false);
}

// What a proxy in front said of the client's TLS goes before what we know: TLS that ended there was
// the client's, and what stands between that proxy and us, if anything, is the proxy's own. A proxy
// that passed the client's TLS on to us does not speak of TLS.
void Session::TellTls(mail::ProxyHeader& header) const {
  mail::ProxyHeader told;
  if (!proxied_->header.empty()) {
    told = mail::ParseProxyHeader(proxied_->header, mail::ProxyAccepts::kAny).header;
  }
  if (client_.secure() && !told.tls) {
    header.authority = facts_.sni;
    header.alpn = facts_.alpn;
    header.tls = TlsOf(facts_);
    return;
  }
  header.authority = told.authority;
  header.alpn = told.alpn;
  header.tls = told.tls;
}

void Session::QueueProxyHeader() {
  const config::ProxyOut out = settings_->backends()[listener().backend].proxy;
  if (out == config::ProxyOut::kOff) return;
  mail::ProxyHeader header;
  header.family = ProxyAddressOf(reinterpret_cast<const sockaddr*>(peer_.data()), header.source);
  // The two of one header are of one family.
  if (ProxyAddressOf(proxied_->local.get(), header.destination) != header.family) {
    header.family = mail::ProxyFamily::kUnknown;
  }
  if (out == config::ProxyOut::kVersion2Tls) {
    header.unique_id = ConnectionId();
    TellTls(header);
  }
  std::vector<std::byte> octets;
  mail::WriteProxyHeader(header, FormatOf(out), octets);
  std::vector<std::byte>().swap(proxied_->header);
  if (link_ != nullptr) {
    link_->proxy_header = std::move(octets);
  } else {
    backend_.out().AppendCopy(octets);
  }
  // Nothing is left to be remembered, maybe for days.
  if (proxied_->proxy.empty() && proxied_->id.empty()) proxied_ = nullptr;
}

}  // namespace postern::session
