// A log destination may be a pipe nobody reads or a disk that is full. The worker goes on: lines
// wait in a bounded queue, then are dropped and counted, and the first line that gets through again
// says how many.
#include "log_sink.h"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "postern/base/limits.h"

namespace postern::worker {
namespace {

constexpr uint64_t kRetryMs = 500;
constexpr size_t kBatch = 32 * 1024;

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return LOG_DEBUG;
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kNotice:
      return LOG_NOTICE;
    case LogLevel::kWarning:
      return LOG_WARNING;
    case LogLevel::kError:
      return LOG_ERR;
  }
  return LOG_INFO;
}

// Writes while the destination takes it. A pipe that polls writable has room for PIPE_BUF octets,
// so pieces of that size never block.
bool WriteWithoutWaiting(int fd, std::string_view text) {
  while (!text.empty()) {
    pollfd ready{fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
    const ssize_t written = ::write(fd, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

RingLogSink::RingLogSink(ring::Ring& ring, ring::TimerWheel& timers, shm::WorkerCounters& counters,
                         const uint64_t& now_ms)
    : ring_(ring),
      timers_(timers),
      counters_(counters),
      now_ms_(now_ms),
      write_(this, ring::Calls<&RingLogSink::OnWritten>),
      retry_(this, [](void* self) { static_cast<RingLogSink*>(self)->Flush(); }) {}

RingLogSink::~RingLogSink() = default;

void RingLogSink::SetDestination(os::UniqueFd fd, bool syslog) {
  next_fd_ = std::move(fd);
  next_syslog_ = syslog;
  if (write_.in_flight()) {
    ring_.Cancel(write_);  // a write to a stuck pipe must not hold up the new destination
    return;
  }
  fd_ = std::move(next_fd_);
  syslog_ = next_syslog_;
  timers_.Disarm(retry_);
}

void RingLogSink::Write(LogLevel level, std::string_view line) {
  if (queued_ + line.size() > limits::kLogQueue) {
    ++dropped_;
    counters_.log_lines_dropped.Add();
    return;
  }
  std::string text;
  if (syslog_) {
    text = fmt::format("<{}>postern[{}]: ", LOG_MAIL | SyslogPriority(level), ::getpid());
    line.remove_suffix(1);  // the datagram's end is the line's end
  }
  text += line;
  queued_ += text.size();
  queue_.push_back(std::move(text));
}

void RingLogSink::TellDropped() {
  if (dropped_ == 0 || queued_ > limits::kLogQueue / 2) return;
  const uint64_t dropped = dropped_;
  dropped_ = 0;
  LogLine(LogLevel::kWarning, "log lines dropped").Field("lines", dropped);
}

void RingLogSink::Flush() {
  if (write_.in_flight() || retry_.armed() || !fd_.valid()) return;
  if (writing_.empty()) {
    TellDropped();
    // Streams take many lines at once; a datagram is one line.
    while (!queue_.empty() && (writing_.empty() || (!syslog_ && writing_.size() < kBatch))) {
      writing_ += queue_.front();
      queued_ -= queue_.front().size();
      queue_.pop_front();
    }
    written_ = 0;
  }
  if (writing_.empty()) return;
  ring_.Write(write_, fd_.get(), AsBytes(writing_).subspan(written_));
}

void RingLogSink::OnWritten(ring::Completion completion) {
  const int result = completion.result;
  if (result > 0) {
    written_ += static_cast<size_t>(result);
  }
  if (written_ >= writing_.size()) {
    writing_.clear();
    written_ = 0;
  } else if (result <= 0 && result != -EINTR && result != -ECANCELED) {
    // Full disk, full pipe, daemon gone: what waits is kept and tried again.
    timers_.Arm(retry_, now_ms_ + kRetryMs);
  }
  if (next_fd_.valid()) {
    fd_ = std::move(next_fd_);
    syslog_ = next_syslog_;
    timers_.Disarm(retry_);
  }
}

void RingLogSink::FlushNow() {
  if (!fd_.valid() || write_.in_flight()) return;
  bool open = WriteWithoutWaiting(fd_.get(), std::string_view(writing_).substr(written_));
  for (const std::string& line : queue_) open = open && WriteWithoutWaiting(fd_.get(), line);
  queue_.clear();
  writing_.clear();
  queued_ = 0;
}

void RingLogSink::Stop() { ring_.Cancel(write_); }

}  // namespace postern::worker
