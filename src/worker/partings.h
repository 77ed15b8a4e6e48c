// Partings: last words to clients that are refused, and the moment that these need to hear them.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include "postern/os/unique_fd.h"
#include "postern/ring/timer_wheel.h"

namespace postern::worker {

class Partings {
 public:
  Partings(ring::TimerWheel& timers, const uint64_t& now_ms);

  // Say sends `words`, if any, and ends the connection: at once where there are none, else when the
  // client has ended it, too, or after some seconds.
  void Say(os::UniqueFd fd, std::string_view words);

 private:
  struct Parting {
    os::UniqueFd fd;
    uint64_t ends_ms;
  };
  void Look();

  ring::TimerWheel& timers_;
  const uint64_t& now_ms_;
  ring::Timer timer_;
  std::deque<Parting> partings_;  // the oldest first
};

}  // namespace postern::worker
