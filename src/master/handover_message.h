// The messages between a master and the one that takes its place in an upgrade, over a
// SOCK_SEQPACKET channel (os/socket.h). Unlike master and worker the two are different programs, of
// different versions perhaps, so every field is encoded on its own.
// Version 1, 2026-11-23; described in docs/upgrade.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

inline constexpr uint32_t kHandoverVersion = 1;

enum class HandoverType : uint32_t {
  // What the new process inherits, in any order.
  kSockets = 1,     // listening sockets. Descriptors: one per entry of `sockets`
  kTicketKeys = 2,  // the page of ticket keys; `number`: when they were rotated (MonotonicMs)
  kPidFile = 3,     // the locked pid file, at the path `text`
  kControl = 4,     // the listening control socket, at the path `text`
  kElder = 5,       // the channel to process `number`, which an earlier upgrade retired
  kEnd = 6,         // that was all
  kSessionIds = 7,  // the region of sessions by ID

  // The new process: it runs (first of all); every worker serves, and `number` says what is common
  // to both now (kSharesSessionIds); it will not serve, for the reasons in `text`, one line each.
  kHere = 16,
  kServing = 17,
  kRefused = 18,

  // The old one has retired: pid file, control socket and elders are the new one's.
  kYours = 32,
  // To a retired process, from the one that serves: end connections within `number` milliseconds;
  // end
  // at once; open the log again.
  kDrain = 33,
  kQuit = 34,
  kReopenLog = 35,
  // From the old one as it retires: somebody asked it for a reload meanwhile.
  kReload = 36,
  // From a retired process: it still holds `number` connections.
  kHolding = 37,
};

// Of kServing: the region of sessions by ID is the new process's to wipe. Who knows nothing of it
// says nothing, and the old process wipes it.
inline constexpr uint64_t kSharesSessionIds = 1;

// An entry of kSockets.
struct HandoverSocket {
  os::SocketAddress wanted;
  bool v6_only = true;
};

struct HandoverMessage {
  HandoverType type = HandoverType::kEnd;
  uint64_t number = 0;
  std::string text;
  std::vector<HandoverSocket> sockets;
  std::vector<os::UniqueFd> fds;  // of a received message; owned by whoever has it
};

// Encode gives a message's octets without its descriptors. At most limits::kMaxPassedDescriptors
// sockets; a text that is too long for a message is cut.
std::vector<std::byte> Encode(const HandoverMessage& message);

enum class HandoverDecode : uint8_t {
  kGood,
  kUnknown,       // a type that only other versions know: to be passed over
  kOtherVersion,  // nothing else of it can be understood; kRefused is the same in all versions
  kMalformed,
};
// Decode reads what Encode wrote into `message`, whose `fds` it leaves alone.
HandoverDecode Decode(Bytes octets, HandoverMessage& message);

}  // namespace postern::master
