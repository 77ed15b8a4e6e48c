// The worker protocol's encoding. Both ends are one executable, so a message is a fixed head and
// arrays behind it, copied as they lie in memory; what is received is still checked for length,
// since a worker that has been broken into must not break the master.
#include "postern/worker/protocol.h"

#include <cstring>
#include <type_traits>

#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::worker {
namespace {

constexpr uint32_t kMagic = 0x504f5301;  // "POS", version 1

struct Head {
  uint32_t magic;
  uint32_t type;
  uint64_t number;
  Start start;
  uint32_t log_least;
  uint32_t log_format;
  uint32_t log_syslog;
  uint32_t parts;
  uint32_t sockets;
  uint32_t text;
};
static_assert(std::is_trivially_copyable_v<Head>);

struct WirePart {
  uint64_t id;
  uint64_t kind;
};

template <typename T>
void Append(std::vector<std::byte>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

// Takes a T from the front of `rest`; false when it is too short.
template <typename T>
bool Take(Bytes& rest, T& value) {
  if (rest.size() < sizeof value) return false;
  std::memcpy(&value, rest.data(), sizeof value);
  rest = rest.subspan(sizeof value);
  return true;
}

bool KnownType(uint32_t type) { return type <= static_cast<uint32_t>(MessageType::kAnswer); }
bool KnownKind(uint64_t kind) { return kind <= static_cast<uint64_t>(generation::PartKind::kKeys); }

bool Decode(Bytes rest, Message& message) {
  Head head{};
  if (!Take(rest, head) || head.magic != kMagic || !KnownType(head.type)) return false;
  message.type = static_cast<MessageType>(head.type);
  message.number = head.number;
  message.start = head.start;
  if (head.log_least > static_cast<uint32_t>(LogLevel::kError)) return false;
  message.log.least = static_cast<LogLevel>(head.log_least);
  message.log.format = head.log_format == 0 ? LogFormat::kLogfmt : LogFormat::kJson;
  message.log.syslog = head.log_syslog != 0;
  message.parts.clear();
  for (uint32_t i = 0; i < head.parts; ++i) {
    WirePart part{};
    if (!Take(rest, part) || !KnownKind(part.kind)) return false;
    message.parts.push_back({part.id, static_cast<generation::PartKind>(part.kind)});
  }
  message.sockets.clear();
  for (uint32_t i = 0; i < head.sockets; ++i) {
    uint32_t socket = 0;
    if (!Take(rest, socket)) return false;
    message.sockets.push_back(socket);
  }
  if (rest.size() != head.text) return false;
  message.text.assign(AsText(rest));
  return true;
}

}  // namespace

os::ChannelOutcome Send(int channel, const Message& message, const std::vector<int>& fds) {
  Head head{};
  head.magic = kMagic;
  head.type = static_cast<uint32_t>(message.type);
  head.number = message.number;
  head.start = message.start;
  head.log_least = static_cast<uint32_t>(message.log.least);
  head.log_format = message.log.format == LogFormat::kJson ? 1 : 0;
  head.log_syslog = message.log.syslog ? 1 : 0;
  head.parts = static_cast<uint32_t>(message.parts.size());
  head.sockets = static_cast<uint32_t>(message.sockets.size());
  // A reason that is too long for a message is cut; the whole of it is in the worker's log.
  const std::string_view text =
      std::string_view(message.text).substr(0, limits::kMaxControlMessage / 2);
  head.text = static_cast<uint32_t>(text.size());
  std::vector<std::byte> out;
  Append(out, head);
  for (const PartEntry& part : message.parts) {
    Append(out, WirePart{part.id, static_cast<uint64_t>(part.kind)});
  }
  for (const uint32_t socket : message.sockets) Append(out, socket);
  const Bytes tail = AsBytes(text);
  out.insert(out.end(), tail.begin(), tail.end());
  POSTERN_CHECK(out.size() <= limits::kMaxControlMessage);
  return os::SendMessage(channel, out, fds);
}

os::ChannelOutcome Receive(int channel, Message& message) {
  os::ChannelMessage raw;
  const os::ChannelOutcome outcome = os::ReceiveMessage(channel, raw);
  if (outcome != os::ChannelOutcome::kOk) return outcome;
  if (!Decode(raw.bytes, message)) return os::ChannelOutcome::kClosed;
  message.fds = std::move(raw.fds);
  return os::ChannelOutcome::kOk;
}

}  // namespace postern::worker
