// Fuzzing of the messages between master and workers. The master must survive whatever a worker
// that has been broken into sends.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/os/socket.h"
#include "postern/worker/protocol.h"

using postern::os::ChannelOutcome;
using postern::worker::Message;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // An empty datagram cannot be told from the channel's end.
  if (size == 0 || size > postern::limits::kMaxControlMessage) return 0;
  auto channel = postern::os::MakeChannel();
  POSTERN_CHECK(channel.has_value());
  const int ours = channel->first.get();
  const int theirs = channel->second.get();
  POSTERN_CHECK(::send(theirs, data, size, 0) == static_cast<ssize_t>(size));
  Message message;
  const ChannelOutcome outcome = postern::worker::Receive(ours, message);
  POSTERN_CHECK(outcome != ChannelOutcome::kWouldBlock);
  if (outcome != ChannelOutcome::kOk) return 0;
  // What was understood can be said again, and is understood to be the same.
  std::vector<int> none;
  POSTERN_CHECK(postern::worker::Send(ours, message, none) == ChannelOutcome::kOk);
  Message again;
  POSTERN_CHECK(postern::worker::Receive(theirs, again) == ChannelOutcome::kOk);
  POSTERN_CHECK(again.type == message.type && again.number == message.number);
  POSTERN_CHECK(again.parts.size() == message.parts.size());
  POSTERN_CHECK(again.sockets == message.sockets);
  POSTERN_CHECK(again.text == message.text);
  return 0;
}
