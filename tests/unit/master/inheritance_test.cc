#include "master/inheritance.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "master/elders.h"
#include "postern/os/socket.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

// Both ends of a handover: `old_end` is the test's.
struct Handover {
  Handover() {
    auto ends = os::MakeChannel();
    REQUIRE(ends);
    old_end = HandoverChannel(std::move(ends->first));
    new_end = std::move(ends->second);
  }
  HandoverChannel old_end;
  os::UniqueFd new_end;
};

os::UniqueFd Null() { return os::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

void SendFile(HandoverChannel& channel, HandoverType type, const std::string& path) {
  HandoverMessage message;
  message.type = type;
  message.text = path;
  message.number = 9;
  channel.Send(message, {Null().get()});
}

// The refusal that follows the new process's first word.
std::string Refusal(HandoverChannel& channel) {
  HandoverMessage message;
  REQUIRE(channel.Receive(message) == HandoverChannel::Outcome::kMessage);
  CHECK(message.type == HandoverType::kHere);
  REQUIRE(channel.Receive(message) == HandoverChannel::Outcome::kMessage);
  CHECK(message.type == HandoverType::kRefused);
  return message.text;
}

}  // namespace

TEST_CASE("inheritance: everything that is sent arrives", "[handover]") {
  Handover handover;
  const auto address = *os::SocketAddress::FromIp("127.0.0.1", 0);
  auto socket = os::MakeListener(address, {});
  REQUIRE(socket);
  HandoverMessage sockets;
  sockets.type = HandoverType::kSockets;
  sockets.sockets.push_back({address, true});
  handover.old_end.Send(sockets, {socket->get()});
  SendFile(handover.old_end, HandoverType::kTicketKeys, "");
  SendFile(handover.old_end, HandoverType::kSessionIds, "");
  SendFile(handover.old_end, HandoverType::kPidFile, "/run/pid");
  SendFile(handover.old_end, HandoverType::kControl, "/run/control");
  SendFile(handover.old_end, HandoverType::kElder, "");
  handover.old_end.Send(HandoverType::kEnd, 42);

  auto inheritance = ReceiveInheritance(std::move(handover.new_end));
  REQUIRE(inheritance);
  REQUIRE(inheritance->sockets.size() == 1);
  CHECK(inheritance->sockets[0].wanted == address);
  CHECK(inheritance->sockets[0].bound == os::LocalAddress(socket->get()));
  CHECK(inheritance->sockets[0].reuse_port);
  CHECK(inheritance->ticket_keys.valid());
  CHECK(inheritance->session_ids.valid());
  CHECK(inheritance->tickets_rotated_ms == 9);
  CHECK(inheritance->pid_file.path == "/run/pid");
  CHECK(inheritance->pid_file.fd.valid());
  CHECK(inheritance->control.path == "/run/control");
  REQUIRE(inheritance->elders.size() == 1);
  CHECK(inheritance->elders[0].pid == 9);
  CHECK(inheritance->predecessor_pid == 42);
  CHECK(inheritance->predecessor.open());
}

TEST_CASE("inheritance: what cannot be understood is refused, and both sides know why",
          "[handover]") {
  SECTION("another version") {
    Handover handover;
    std::vector<std::byte> octets = Encode({});
    const uint32_t version = kHandoverVersion + 1;
    std::memcpy(octets.data() + 4, &version, sizeof version);
    REQUIRE(os::SendMessage(handover.old_end.fd(), octets, {}) == os::ChannelOutcome::kOk);
    const auto inheritance = ReceiveInheritance(std::move(handover.new_end));
    REQUIRE_FALSE(inheritance);
    CHECK(inheritance.error().what.find("another version") != std::string::npos);
    CHECK(Refusal(handover.old_end).find("restart Postern instead") != std::string::npos);
  }
  SECTION("a socket that is none") {
    Handover handover;
    HandoverMessage sockets;
    sockets.type = HandoverType::kSockets;
    sockets.sockets.push_back({*os::SocketAddress::FromIp("127.0.0.1", 1), true});
    handover.old_end.Send(sockets, {Null().get()});
    CHECK_FALSE(ReceiveInheritance(std::move(handover.new_end)));
    CHECK(Refusal(handover.old_end).find("no listening TCP socket") != std::string::npos);
  }
  SECTION("an address without its socket") {
    Handover handover;
    HandoverMessage sockets;
    sockets.type = HandoverType::kSockets;
    sockets.sockets.push_back({*os::SocketAddress::FromIp("127.0.0.1", 1), true});
    handover.old_end.Send(sockets);
    CHECK_FALSE(ReceiveInheritance(std::move(handover.new_end)));
  }
  SECTION("a message out of place") {
    Handover handover;
    handover.old_end.Send(HandoverType::kYours);
    CHECK_FALSE(ReceiveInheritance(std::move(handover.new_end)));
  }
}

TEST_CASE("inheritance: a predecessor that ends in the midst is no predecessor", "[handover]") {
  Handover handover;
  SendFile(handover.old_end, HandoverType::kPidFile, "/run/pid");
  handover.old_end.Close();
  CHECK_FALSE(ReceiveInheritance(std::move(handover.new_end)));
}

TEST_CASE("inheritance: the variable is taken out of the environment, and believed with care",
          "[handover]") {
  CHECK_FALSE(TakeHandoverFd());
  for (const char* text : {"", "one", "2", "-1", "99999", "3x"}) {
    ::setenv(kHandoverVariable, text, 1);
    CHECK_FALSE(TakeHandoverFd());
    CHECK(std::getenv(kHandoverVariable) == nullptr);
  }
  const int number = ::fcntl(Null().get(), F_DUPFD, 50);
  ::setenv(kHandoverVariable, std::to_string(number).c_str(), 1);
  const auto fd = TakeHandoverFd();
  REQUIRE(fd);
  CHECK(fd->get() == number);
  CHECK(::fcntl(number, F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("elders: they say what they hold, hear what is said, and go with their channel",
          "[handover]") {
  auto ends = os::MakeChannel();
  REQUIRE(ends);
  HandoverChannel retired(std::move(ends->first));
  Elders elders;
  elders.Add(42, HandoverChannel(std::move(ends->second)));
  elders.Add(43, HandoverChannel());  // gone already
  REQUIRE(elders.List().size() == 1);

  retired.Send(HandoverType::kHolding, 7);
  CHECK_FALSE(elders.Run());
  CHECK(elders.List()[0].connections == 7);
  elders.SendAll(HandoverType::kDrain, 1'500);
  HandoverMessage told;
  REQUIRE(retired.Receive(told) == HandoverChannel::Outcome::kMessage);
  CHECK(told.type == HandoverType::kDrain);
  CHECK(told.number == 1'500);

  retired.Send(HandoverType::kReload);
  CHECK(elders.Run());

  // Passed on, it belongs to whoever gets it; the copy here is forgotten.
  Handover handover;
  elders.PassOn(handover.old_end);
  handover.old_end.Send(HandoverType::kEnd, 1);
  auto inheritance = ReceiveInheritance(std::move(handover.new_end));
  REQUIRE(inheritance);
  REQUIRE(inheritance->elders.size() == 1);
  CHECK(inheritance->elders[0].pid == 42);
  elders.Forget();
  CHECK(elders.empty());
  Elders next;
  next.Add(42, HandoverChannel(std::move(inheritance->elders[0].channel)));
  next.SendAll(HandoverType::kQuit);
  REQUIRE(retired.Receive(told) == HandoverChannel::Outcome::kMessage);
  CHECK(told.type == HandoverType::kQuit);
  retired.Close();
  CHECK_FALSE(next.Run());
  CHECK(next.empty());
}

}  // namespace postern::master
