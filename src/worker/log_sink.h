// RingLogSink: a worker's log lines, written through its ring so that a stuck log never stops the
// worker.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "postern/base/log.h"
#include "postern/os/unique_fd.h"
#include "postern/ring/ring.h"
#include "postern/ring/timer_wheel.h"
#include "postern/shm/counters.h"

namespace postern::worker {

class RingLogSink final : public LogSink {
 public:
  RingLogSink(ring::Ring& ring, ring::TimerWheel& timers, shm::WorkerCounters& counters,
              const uint64_t& now_ms);
  ~RingLogSink();

  // SetDestination writes to `fd` from now on. With `syslog` each line goes as a datagram of its
  // own, with its priority in front (RFC 3164 section 4.1.1).
  void SetDestination(os::UniqueFd fd, bool syslog);

  void Write(LogLevel level, std::string_view line) override;

  // Flush starts writing what waits; call it once per turn of the loop.
  void Flush();
  bool writing() const { return write_.in_flight(); }
  // FlushNow writes what the destination takes without waiting, for the last moment of the process.
  void FlushNow();
  // Stop cancels what is in flight; the sink may be destroyed once it is no longer writing().
  void Stop();

 private:
  void OnWritten(ring::Completion completion);
  void TellDropped();

  ring::Ring& ring_;
  ring::TimerWheel& timers_;
  shm::WorkerCounters& counters_;
  const uint64_t& now_ms_;
  ring::Operation write_;
  ring::Timer retry_;
  os::UniqueFd fd_;
  os::UniqueFd next_fd_;  // takes over when the write in flight is done
  bool next_syslog_ = false;
  bool syslog_ = false;
  std::deque<std::string> queue_;
  size_t queued_ = 0;     // octets in queue_
  std::string writing_;   // handed to the kernel
  size_t written_ = 0;    // of writing_
  uint64_t dropped_ = 0;  // lines lost since the last word about it
};

}  // namespace postern::worker
