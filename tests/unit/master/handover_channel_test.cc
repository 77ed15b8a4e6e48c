#include "master/handover_channel.h"

#include <fcntl.h>

#include <cstdint>
#include <utility>

#include "tests/unit/catch.h"

namespace postern::master {
namespace {

using Outcome = HandoverChannel::Outcome;

struct Ends {
  Ends() {
    auto made = os::MakeChannel();
    REQUIRE(made);
    a = HandoverChannel(std::move(made->first));
    b = HandoverChannel(std::move(made->second));
  }
  HandoverChannel a;
  HandoverChannel b;
};

}  // namespace

TEST_CASE("handover channel: messages and descriptors arrive in order", "[handover]") {
  Ends ends;
  HandoverMessage file;
  file.type = HandoverType::kPidFile;
  file.text = "/run/pid";
  const os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ends.a.Send(file, {null.get()});
  ends.a.Send(HandoverType::kEnd, 42);
  HandoverMessage read;
  REQUIRE(ends.b.Receive(read) == Outcome::kMessage);
  CHECK(read.text == "/run/pid");
  REQUIRE(read.fds.size() == 1);
  CHECK(read.fds[0].get() != null.get());
  REQUIRE(ends.b.Receive(read) == Outcome::kMessage);
  CHECK(read.type == HandoverType::kEnd);
  CHECK(read.number == 42);
  CHECK(read.fds.empty());
  CHECK(ends.b.Receive(read) == Outcome::kNothing);
}

TEST_CASE("handover channel: what there is no room for waits, with its descriptors", "[handover]") {
  Ends ends;
  HandoverMessage long_one;
  long_one.type = HandoverType::kControl;
  long_one.text.assign(20'000, 'x');
  constexpr uint64_t kCount = 100;
  for (uint64_t i = 0; i < kCount; ++i) {
    long_one.number = i;
    os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ends.a.Send(long_one, {null.get()});  // which is closed right after
  }
  REQUIRE(ends.a.wants_write());
  uint64_t next = 0;
  HandoverMessage read;
  while (next < kCount) {
    const Outcome outcome = ends.b.Receive(read);
    if (outcome == Outcome::kNothing) {
      ends.a.Flush();
      continue;
    }
    REQUIRE(outcome == Outcome::kMessage);
    REQUIRE(read.number == next++);
    REQUIRE(read.fds.size() == 1);
    REQUIRE(::fcntl(read.fds[0].get(), F_GETFD) == FD_CLOEXEC);
  }
  CHECK_FALSE(ends.a.wants_write());
}

TEST_CASE("handover channel: last words are read before the end is seen", "[handover]") {
  Ends ends;
  ends.a.Send(HandoverType::kServing);
  ends.a.Close();
  CHECK_FALSE(ends.a.open());
  ends.a.Send(HandoverType::kServing);  // to nobody
  HandoverMessage read;
  CHECK(ends.b.Receive(read) == Outcome::kMessage);
  CHECK(ends.b.Receive(read) == Outcome::kClosed);
  CHECK_FALSE(ends.b.open());
}

TEST_CASE("handover channel: what is no message closes it", "[handover]") {
  Ends ends;
  REQUIRE(os::SendMessage(ends.a.fd(), AsBytes("nonsense"), {}) == os::ChannelOutcome::kOk);
  HandoverMessage read;
  CHECK(ends.b.Receive(read) == Outcome::kClosed);
}

}  // namespace postern::master
