// The messages between the master and one worker, over a SOCK_SEQPACKET channel (os/socket.h).
// Version 3, 2026-11-23 (2: kAsk, kAnswer; 3: kDrain without limit, several sockets of a number);
// the sequence of a reload is drawn in docs/generations.md. Both ends are the same executable, so
// the structures travel as they are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/log.h"
#include "postern/config/config.h"
#include "postern/generation/part.h"
#include "postern/os/socket.h"

namespace postern::worker {

// The channel is this descriptor in a worker process (`postern worker --id N`).
inline constexpr int kChannelFd = 3;

// For kDrain: connections may take as long as they last, and another process accepts from the same
// sockets.
inline constexpr uint64_t kNoDrainLimit = UINT64_MAX;

enum class MessageType : uint32_t {
  // Master to worker.
  // First of all. Descriptors: control page, counters, ticket keys, client addresses, session IDs.
  kStart,
  kLog,      // log set-up. Descriptor: the destination (also again, after SIGUSR1 or a reload)
  kParts,    // some parts of generation `number`. Descriptors: one per part
  kSockets,  // some listening sockets of generation `number`. Descriptors: one per socket
  kPrepare,  // all parts and sockets of `number` are sent: build it, answer kReady or kRefused
  kSwitch,   // a nudge: the control page names another generation
  kAbort,    // forget the prepared generation `number`
  kDrain,    // stop accepting, end connections within `number` milliseconds (or kNoDrainLimit),
             // exit 0; may come again, with another limit
  kQuit,     // end at once
  // Worker to master.
  kReady,     // generation `number` is prepared
  kRefused,   // generation `number` is not; `text` says why
  kSwitched,  // generation `number` is in use
  kReleased,  // part `number` is unmapped here
  // Behind the others, which keep their numbers: is anybody there?
  kAsk,     // master to worker
  kAnswer,  // worker to master, with the question's `number`
};

// Start is what a worker is told once.
struct Start {
  uint32_t id = 0;  // 0 .. workers-1
  uint32_t workers = 1;
  int32_t cpu = -1;  // to pin to; -1: none
  uint32_t uid = 0;  // to become; the worker's own when the master is not root
  uint32_t gid = 0;
  uint32_t buffers = 1024;       // slots per side
  uint32_t max_connections = 0;  // [limits] connections at start; sizes the descriptor table
  config::SandboxMode sandbox = config::SandboxMode::kOn;
  bool empty_root = false;  // live in an empty root directory; no server is behind a UNIX socket
};

struct LogSetUp {
  LogLevel least = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
  bool syslog = false;  // the descriptor is a connected datagram socket to the syslog daemon
};

struct PartEntry {
  generation::PartId id = 0;
  generation::PartKind kind = generation::PartKind::kSettings;
};

// Message is a decoded message. `fds` are owned by whoever received it.
struct Message {
  MessageType type = MessageType::kQuit;
  uint64_t number = 0;
  Start start;
  LogSetUp log;
  std::vector<PartEntry> parts;   // kParts, as its descriptors
  std::vector<uint32_t> sockets;  // kSockets: numbers in the settings, as its descriptors
  std::string text;               // kRefused
  std::vector<os::UniqueFd> fds;
};

// Send encodes and sends one message; the descriptors stay the caller's. At most
// limits::kMaxPassedDescriptors parts or sockets go in one message.
os::ChannelOutcome Send(int channel, const Message& message, const std::vector<int>& fds = {});

// Receive reads the next message. kOk fills `message`; a malformed message counts as kClosed, since
// nothing sound can follow it.
os::ChannelOutcome Receive(int channel, Message& message);

}  // namespace postern::worker
