#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "postern/base/limits.h"
#include "postern/os/socket.h"
#include "tests/unit/catch.h"

namespace postern::os {
namespace {

struct Pair {
  Pair() {
    auto made = MakeChannel();
    REQUIRE(made);
    ours = std::move(made->first);
    theirs = std::move(made->second);
  }
  UniqueFd ours;
  UniqueFd theirs;
};

bool SameFile(int a, int b) {
  struct stat sa {};
  struct stat sb {};
  return ::fstat(a, &sa) == 0 && ::fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino;
}

}  // namespace

TEST_CASE("channel: messages keep their bounds and bring descriptors") {
  Pair pair;
  int pipe_ends[2];
  REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
  const UniqueFd read_end(pipe_ends[0]);
  const UniqueFd write_end(pipe_ends[1]);

  CHECK(SendMessage(pair.ours.get(), AsBytes("one"), {read_end.get(), write_end.get()}) ==
        ChannelOutcome::kOk);
  CHECK(SendMessage(pair.ours.get(), AsBytes("two"), {}) == ChannelOutcome::kOk);

  ChannelMessage message;
  REQUIRE(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kOk);
  CHECK(AsText(message.bytes) == "one");
  REQUIRE(message.fds.size() == 2);
  CHECK(SameFile(message.fds[0].get(), read_end.get()));
  CHECK((::fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kOk);
  CHECK(AsText(message.bytes) == "two");
  CHECK(message.fds.empty());
  CHECK(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kWouldBlock);
}

TEST_CASE("channel: the largest message with the most descriptors passes") {
  Pair pair;
  const std::string text(limits::kMaxControlMessage, 'x');
  const std::vector<int> fds(limits::kMaxPassedDescriptors, pair.ours.get());
  REQUIRE(SendMessage(pair.ours.get(), AsBytes(text), fds) == ChannelOutcome::kOk);
  ChannelMessage message;
  REQUIRE(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kOk);
  CHECK(message.bytes.size() == limits::kMaxControlMessage);
  CHECK(message.fds.size() == limits::kMaxPassedDescriptors);
}

TEST_CASE("channel: a message that does not fit closes the channel") {
  Pair pair;
  const std::string text(limits::kMaxControlMessage + 1, 'x');
  REQUIRE(::send(pair.ours.get(), text.data(), text.size(), 0) > 0);
  ChannelMessage message;
  CHECK(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kClosed);
}

TEST_CASE("channel: a full channel says so, and takes more when it is read") {
  Pair pair;
  const std::string text(limits::kMaxControlMessage, 'x');
  int sent = 0;
  while (SendMessage(pair.ours.get(), AsBytes(text), {}) == ChannelOutcome::kOk) ++sent;
  CHECK(sent > 0);
  ChannelMessage message;
  REQUIRE(ReceiveMessage(pair.theirs.get(), message) == ChannelOutcome::kOk);
  CHECK(SendMessage(pair.ours.get(), AsBytes(text), {}) == ChannelOutcome::kOk);
}

TEST_CASE("channel: the last words of an end that is gone are still heard") {
  Pair pair;
  // What we sent is never read, which makes the kernel report a reset first.
  REQUIRE(SendMessage(pair.ours.get(), AsBytes("unread"), {}) == ChannelOutcome::kOk);
  REQUIRE(SendMessage(pair.theirs.get(), AsBytes("last words"), {}) == ChannelOutcome::kOk);
  pair.theirs.Reset();
  ChannelMessage message;
  REQUIRE(ReceiveMessage(pair.ours.get(), message) == ChannelOutcome::kOk);
  CHECK(AsText(message.bytes) == "last words");
  CHECK(ReceiveMessage(pair.ours.get(), message) == ChannelOutcome::kClosed);
  CHECK(SendMessage(pair.ours.get(), AsBytes("x"), {}) == ChannelOutcome::kClosed);
}

}  // namespace postern::os
