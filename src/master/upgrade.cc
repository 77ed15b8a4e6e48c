// The new process is waited for in two steps: a word that it runs comes at once from any Postern
// and never from anything else that stands in its place; serving may take as long as loading takes.
#include "master/upgrade.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "master/supervisor.h"
#include "postern/os/socket.h"

namespace postern::master {
namespace {

// Between the end of its channel and its death the new process gets this long.
constexpr uint64_t kLingerMs = 5'000;

}  // namespace

Result<std::unique_ptr<Upgrade>> Upgrade::Begin(const Options& options, uint64_t now_ms) {
  auto ends = os::MakeChannel();
  if (!ends) return std::unexpected(ends.error());
  const Result<pid_t> pid = options.spawn(ends->second.get());
  if (!pid) return std::unexpected(pid.error());
  return std::unique_ptr<Upgrade>(
      new Upgrade(options, *pid, HandoverChannel(std::move(ends->first)), now_ms));
}

Upgrade::Upgrade(const Options& options, pid_t pid, HandoverChannel channel, uint64_t now_ms)
    : serve_timeout_ms_(options.serve_timeout_ms),
      pid_(pid),
      channel_(std::move(channel)),
      deadline_ms_(now_ms + options.here_timeout_ms) {}

Upgrade::~Upgrade() {
  if (state_ == State::kServing || reaped_) return;
  ::kill(pid_, SIGKILL);
  Reap(true);
}

std::optional<std::string> Upgrade::Reap(bool wait) {
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, wait ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  reaped_ = true;
  return got == pid_ ? DescribeExit(status) : "is gone";
}

void Upgrade::Run(uint64_t now_ms) {
  if (state_ != State::kStarting) return;
  channel_.Flush();
  // Before its last words are read, or they might come in between.
  const std::optional<std::string> end = Reap(false);
  ReceiveAll(now_ms);
  if (state_ != State::kStarting) return;
  if (end) return Fail(fmt::format("the new program {} before it served", *end));
  if (!deadline_ms_ || now_ms < *deadline_ms_) return;
  if (!channel_.open()) {
    Fail("the new program closed its channel and did not end; it was killed");
  } else if (here_) {
    Fail("the new program did not come to serve in time; it was killed");
  } else {
    Fail("the new program did not report in time, so it is none that can take over; it was killed");
  }
}

void Upgrade::ReceiveAll(uint64_t now_ms) {
  while (state_ == State::kStarting && channel_.open()) {
    HandoverMessage message;
    switch (channel_.Receive(message)) {
      case HandoverChannel::Outcome::kMessage:
        Take(message, now_ms);
        break;
      case HandoverChannel::Outcome::kOtherVersion:
        break;  // its reason follows: a refusal is the same in all versions
      case HandoverChannel::Outcome::kNothing:
        return;
      case HandoverChannel::Outcome::kClosed:
        deadline_ms_ = now_ms + kLingerMs;  // SIGCHLD follows
        return;
    }
  }
}

void Upgrade::Take(const HandoverMessage& message, uint64_t now_ms) {
  if (message.type == HandoverType::kHere && !here_) {
    here_ = true;
    deadline_ms_ = now_ms + serve_timeout_ms_;
  } else if (message.type == HandoverType::kServing) {
    state_ = State::kServing;
    shares_ = message.number;
    deadline_ms_.reset();
  } else if (message.type == HandoverType::kRefused) {
    Fail(message.text);
  }
}

void Upgrade::Fail(std::string reason) {
  state_ = State::kFailed;
  deadline_ms_.reset();
  reason_ = std::move(reason);
  if (!reason_.ends_with('\n')) reason_ += '\n';
}

}  // namespace postern::master
