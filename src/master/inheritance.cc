// Receiving happens before the configuration is read: what comes here decides nothing but who the
// sockets and keys are from, and the old process need not keep it queued.
#include "master/inheritance.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "postern/os/clock.h"
#include "postern/os/passed_sockets.h"

namespace postern::master {
namespace {

// The old process sends without a pause; one that has not within this time hangs.
constexpr uint64_t kPatienceMs = 30'000;

Status TakeSockets(HandoverMessage& message, std::vector<InheritedSocket>& sockets) {
  if (message.sockets.size() != message.fds.size())
    return Fail("a socket came without its address");
  for (size_t i = 0; i < message.sockets.size(); ++i) {
    Result<os::PassedSocket> passed = os::ExaminePassed(std::move(message.fds[i]));
    if (!passed) return std::unexpected(passed.error());
    const HandoverSocket& entry = message.sockets[i];
    sockets.push_back(
        {entry.wanted, entry.v6_only, passed->address, passed->reuse_port, std::move(passed->fd)});
  }
  return {};
}

// What one message brings.
Status TakeMessage(HandoverMessage& message, Inheritance& inheritance) {
  os::UniqueFd first;
  if (!message.fds.empty() && message.type != HandoverType::kSockets) {
    first = std::move(message.fds.front());
  }
  switch (message.type) {
    case HandoverType::kSockets:
      return TakeSockets(message, inheritance.sockets);
    case HandoverType::kTicketKeys:
      inheritance.ticket_keys = std::move(first);
      inheritance.tickets_rotated_ms = message.number;
      return {};
    case HandoverType::kSessionIds:
      inheritance.session_ids = std::move(first);
      return {};
    case HandoverType::kPidFile:
      inheritance.pid_file = {message.text, std::move(first)};
      return {};
    case HandoverType::kControl:
      inheritance.control = {message.text, std::move(first)};
      return {};
    case HandoverType::kElder:
      inheritance.elders.push_back({static_cast<pid_t>(message.number), std::move(first)});
      return {};
    case HandoverType::kEnd:
      inheritance.predecessor_pid = static_cast<pid_t>(message.number);
      return {};
    case HandoverType::kHere:
    case HandoverType::kServing:
    case HandoverType::kRefused:
    case HandoverType::kYours:
    case HandoverType::kDrain:
    case HandoverType::kQuit:
    case HandoverType::kReopenLog:
    case HandoverType::kReload:
    case HandoverType::kHolding:
      return Fail("the running Postern sent something out of place");
  }
  return {};
}

// Waits for the next message until `deadline_ms`.
Status Next(HandoverChannel& channel, uint64_t deadline_ms, HandoverMessage& message) {
  for (;;) {
    switch (channel.Receive(message)) {
      case HandoverChannel::Outcome::kMessage:
        return {};
      case HandoverChannel::Outcome::kOtherVersion:
        return Fail(fmt::format("the running Postern hands over in another version than this "
                                "program's, which is {}",
                                kHandoverVersion),
                    "restart Postern instead");
      case HandoverChannel::Outcome::kClosed:
        return Fail("the running Postern ended before it had handed over");
      case HandoverChannel::Outcome::kNothing:
        break;
    }
    const uint64_t now_ms = os::MonotonicMs();
    if (now_ms >= deadline_ms) return Fail("the running Postern does not hand over");
    std::vector<pollfd> fds;
    channel.AddPollFd(fds);
    ::poll(fds.data(), fds.size(), static_cast<int>(deadline_ms - now_ms));
  }
}

}  // namespace

void Inheritance::Refuse(const std::vector<Error>& faults) {
  HandoverMessage refusal;
  refusal.type = HandoverType::kRefused;
  for (const Error& fault : faults) refusal.text += fault.ToString() + '\n';
  predecessor.Send(refusal);
}

std::optional<os::UniqueFd> TakeHandoverFd() {
  const char* value = std::getenv(kHandoverVariable);
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value;
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  ::unsetenv(kHandoverVariable);
  if (!whole || number <= 2 || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0 ||
      ::fcntl(number, F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    return std::nullopt;
  }
  return os::UniqueFd(number);
}

Result<Inheritance> ReceiveInheritance(os::UniqueFd channel) {
  Inheritance inheritance;
  inheritance.predecessor = HandoverChannel(std::move(channel));
  inheritance.predecessor.Send(HandoverType::kHere);
  const uint64_t deadline_ms = os::MonotonicMs() + kPatienceMs;
  HandoverMessage message;
  do {
    Status taken = Next(inheritance.predecessor, deadline_ms, message);
    if (taken) taken = TakeMessage(message, inheritance);
    if (taken) continue;
    inheritance.Refuse({taken.error()});
    return std::unexpected(taken.error());
  } while (message.type != HandoverType::kEnd);
  return inheritance;
}

Inheritance FromServiceManager() {
  Inheritance inheritance;
  for (os::PassedSocket& socket : os::TakePassedSockets()) {
    inheritance.sockets.push_back({socket.address, socket.v6_only, socket.address,
                                   socket.reuse_port, std::move(socket.fd),
                                   std::move(socket.name)});
  }
  return inheritance;
}

}  // namespace postern::master
