// The encoding: numbers in the machine's own order (both ends run on it), lengths before what they
// count, nothing behind the end.
#include "master/handover_message.h"

#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::master {
namespace {

constexpr uint32_t kMagic = 0x50'55'53'50;  // "PSUP"

template <typename T>
void Put(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void PutOctets(std::vector<std::byte>& out, Bytes octets) {
  Put(out, static_cast<uint32_t>(octets.size()));
  out.insert(out.end(), octets.begin(), octets.end());
}

// Each takes its value from the front of `rest`; false when it is too short.
template <typename T>
bool Take(Bytes& rest, T& value) {
  if (rest.size() < sizeof value) return false;
  std::memcpy(&value, rest.data(), sizeof value);
  rest = rest.subspan(sizeof value);
  return true;
}

bool TakeOctets(Bytes& rest, Bytes& octets) {
  uint32_t size = 0;
  if (!Take(rest, size) || size > rest.size()) return false;
  octets = rest.first(size);
  rest = rest.subspan(size);
  return true;
}

bool TakeSocket(Bytes& rest, HandoverSocket& socket) {
  uint8_t v6_only = 0;
  Bytes octets;
  if (!Take(rest, v6_only) || v6_only > 1 || !TakeOctets(rest, octets)) return false;
  sockaddr_storage address{};
  if (octets.size() > sizeof address) return false;
  std::memcpy(&address, octets.data(), octets.size());
  socket.v6_only = v6_only == 1;
  socket.wanted = os::SocketAddress(reinterpret_cast<const sockaddr*>(&address),
                                    static_cast<socklen_t>(octets.size()));
  return socket.wanted.is_ip();
}

bool Known(uint32_t type) {
  switch (static_cast<HandoverType>(type)) {
    case HandoverType::kSockets:
    case HandoverType::kTicketKeys:
    case HandoverType::kPidFile:
    case HandoverType::kControl:
    case HandoverType::kElder:
    case HandoverType::kEnd:
    case HandoverType::kSessionIds:
    case HandoverType::kHere:
    case HandoverType::kServing:
    case HandoverType::kRefused:
    case HandoverType::kYours:
    case HandoverType::kDrain:
    case HandoverType::kQuit:
    case HandoverType::kReopenLog:
    case HandoverType::kReload:
    case HandoverType::kHolding:
      return true;
  }
  return false;
}

}  // namespace

std::vector<std::byte> Encode(const HandoverMessage& message) {
  POSTERN_CHECK(message.sockets.size() <= limits::kMaxPassedDescriptors);
  std::vector<std::byte> out;
  Put(out, kMagic);
  Put(out, kHandoverVersion);
  Put(out, static_cast<uint32_t>(message.type));
  Put(out, message.number);
  PutOctets(out, AsBytes(std::string_view(message.text).substr(0, limits::kMaxControlMessage / 2)));
  Put(out, static_cast<uint32_t>(message.sockets.size()));
  for (const HandoverSocket& socket : message.sockets) {
    Put(out, static_cast<uint8_t>(socket.v6_only ? 1 : 0));
    PutOctets(out, socket.wanted.bytes());
  }
  return out;
}

HandoverDecode Decode(Bytes octets, HandoverMessage& message) {
  Bytes rest = octets;
  uint32_t magic = 0;
  uint32_t version = 0;
  uint32_t type = 0;
  Bytes text;
  if (!Take(rest, magic) || magic != kMagic || !Take(rest, version) || !Take(rest, type)) {
    return HandoverDecode::kMalformed;
  }
  const bool refusal = type == static_cast<uint32_t>(HandoverType::kRefused);
  if (version != kHandoverVersion && !refusal) return HandoverDecode::kOtherVersion;
  if (!Known(type)) return HandoverDecode::kUnknown;
  message.type = static_cast<HandoverType>(type);
  if (!Take(rest, message.number) || !TakeOctets(rest, text)) return HandoverDecode::kMalformed;
  message.text.assign(AsText(text));
  message.sockets.clear();
  if (version != kHandoverVersion) return HandoverDecode::kGood;  // what follows may be anything
  uint32_t count = 0;
  if (!Take(rest, count) || count > limits::kMaxPassedDescriptors) {
    return HandoverDecode::kMalformed;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (!TakeSocket(rest, message.sockets.emplace_back())) return HandoverDecode::kMalformed;
  }
  return rest.empty() ? HandoverDecode::kGood : HandoverDecode::kMalformed;
}

}  // namespace postern::master
