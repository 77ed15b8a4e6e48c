#include "postern/worker/protocol.h"

#include <unistd.h>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::worker {

TEST_CASE("worker protocol: a message arrives as it was sent, with its descriptors") {
  auto channel = os::MakeChannel();
  REQUIRE(channel);
  Message sent;
  sent.type = MessageType::kParts;
  sent.number = 42;
  sent.start = {
      .id = 3, .workers = 8, .cpu = 5, .uid = 1, .gid = 2, .buffers = 64, .max_connections = 9};
  sent.log = {.least = LogLevel::kWarning, .format = LogFormat::kJson, .syslog = true};
  sent.parts = {{7, generation::PartKind::kKeys}, {8, generation::PartKind::kIndex}};
  sent.sockets = {1, 2, 3};
  sent.text = "why not";
  REQUIRE(Send(channel->first.get(), sent, {0, 1}) == os::ChannelOutcome::kOk);
  Message got;
  REQUIRE(Receive(channel->second.get(), got) == os::ChannelOutcome::kOk);
  CHECK(got.type == sent.type);
  CHECK(got.number == 42);
  CHECK(got.start.cpu == 5);
  CHECK(got.start.max_connections == 9);
  CHECK(got.log.least == LogLevel::kWarning);
  CHECK(got.log.format == LogFormat::kJson);
  CHECK(got.log.syslog);
  REQUIRE(got.parts.size() == 2);
  CHECK(got.parts[0].kind == generation::PartKind::kKeys);
  CHECK(got.parts[1].id == 8);
  CHECK(got.sockets == sent.sockets);
  CHECK(got.text == "why not");
  CHECK(got.fds.size() == 2);
  CHECK(Receive(channel->second.get(), got) == os::ChannelOutcome::kWouldBlock);
}

TEST_CASE("worker protocol: an overlong reason is cut, a full message of parts fits") {
  auto channel = os::MakeChannel();
  REQUIRE(channel);
  Message message;
  message.type = MessageType::kRefused;
  message.text.assign(1'000'000, 'x');
  REQUIRE(Send(channel->first.get(), message) == os::ChannelOutcome::kOk);
  Message got;
  REQUIRE(Receive(channel->second.get(), got) == os::ChannelOutcome::kOk);
  CHECK(got.text.size() == limits::kMaxControlMessage / 2);

  message.type = MessageType::kParts;
  message.text.clear();
  message.parts.resize(limits::kMaxPassedDescriptors);
  CHECK(Send(channel->first.get(), message) == os::ChannelOutcome::kOk);
}

TEST_CASE("worker protocol: what is malformed closes the channel, at every length and octet") {
  auto channel = os::MakeChannel();
  REQUIRE(channel);
  Message message;
  message.type = MessageType::kParts;
  message.parts = {{7, generation::PartKind::kKeys}};
  message.sockets = {5};
  message.text = "tail";
  REQUIRE(Send(channel->first.get(), message) == os::ChannelOutcome::kOk);
  os::ChannelMessage raw;
  REQUIRE(os::ReceiveMessage(channel->second.get(), raw) == os::ChannelOutcome::kOk);
  Message got;
  for (size_t size = 1; size < raw.bytes.size(); ++size) {
    REQUIRE(os::SendMessage(channel->first.get(), Bytes(raw.bytes).first(size), {}) ==
            os::ChannelOutcome::kOk);
    CHECK(Receive(channel->second.get(), got) == os::ChannelOutcome::kClosed);
  }
  for (size_t at = 0; at < raw.bytes.size(); ++at) {
    std::vector<std::byte> changed = raw.bytes;
    changed[at] = std::byte{0xff};
    REQUIRE(os::SendMessage(channel->first.get(), changed, {}) == os::ChannelOutcome::kOk);
    const os::ChannelOutcome outcome = Receive(channel->second.get(), got);
    CHECK((outcome == os::ChannelOutcome::kOk || outcome == os::ChannelOutcome::kClosed));
  }
  channel->first.Reset();
  CHECK(Receive(channel->second.get(), got) == os::ChannelOutcome::kClosed);
}

}  // namespace postern::worker
