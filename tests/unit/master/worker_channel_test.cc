#include "master/worker_channel.h"

#include <fcntl.h>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

worker::Message Numbered(uint64_t number) {
  worker::Message message;
  message.type = worker::MessageType::kRefused;  // the one that carries text, to fill the channel
  message.number = number;
  message.text.assign(20'000, 'x');
  return message;
}

}  // namespace

TEST_CASE("worker_channel: what a slow worker does not take waits, in order, with descriptors") {
  auto ends = os::MakeChannel();
  REQUIRE(ends);
  WorkerChannel channel(std::move(ends->first));
  os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  uint64_t sent = 0;
  while (!channel.wants_write()) REQUIRE(channel.Send(Numbered(sent++), {null.get()}));
  REQUIRE(channel.Send(Numbered(sent++), {null.get()}));
  null.Reset();  // what waits has its own

  uint64_t received = 0;
  while (received < sent) {
    worker::Message message;
    if (worker::Receive(ends->second.get(), message) == os::ChannelOutcome::kWouldBlock) {
      REQUIRE(channel.Flush());
      continue;
    }
    CHECK(message.number == received++);
    REQUIRE(message.fds.size() == 1);
    CHECK(::fcntl(message.fds[0].get(), F_GETFD) >= 0);
  }
  CHECK_FALSE(channel.wants_write());
}

TEST_CASE("worker_channel: a worker that reads nothing for good is given up") {
  auto ends = os::MakeChannel();
  REQUIRE(ends);
  WorkerChannel channel(std::move(ends->first));
  size_t sent = 0;
  while (channel.Send(Numbered(1))) {
    ++sent;
    REQUIRE(sent < limits::kMaxQueuedMessages + 1000);
  }
  CHECK(sent > limits::kMaxQueuedMessages);
}

TEST_CASE("worker_channel: a closed end is told") {
  auto ends = os::MakeChannel();
  REQUIRE(ends);
  WorkerChannel channel(std::move(ends->first));
  ends->second.Reset();
  CHECK_FALSE(channel.Send(Numbered(1)));
  worker::Message message;
  CHECK(channel.Receive(message) == os::ChannelOutcome::kClosed);
}

}  // namespace postern::master
