// Elders: masters that upgrades have retired and that live until their last connection ends. The
// one that serves speaks for them: what it is told to end, ends, and it knows what they hold.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "master/handover_channel.h"

namespace postern::master {

class Elders {
 public:
  struct View {
    pid_t pid = 0;
    uint64_t connections = 0;  // at its last word
  };

  void Add(pid_t pid, HandoverChannel channel);
  // SendAll tells every one of them kDrain, kQuit or kReopenLog.
  void SendAll(HandoverType type, uint64_t number = 0);
  // PassOn gives a copy of each channel to `channel`'s other end (kElder).
  void PassOn(HandoverChannel& channel) const;
  // Forget closes the channels: they are another's now.
  void Forget() { elders_.clear(); }
  void KillAll();

  bool empty() const { return elders_.empty(); }
  std::vector<View> List() const;

  // --- for the poll loop ---
  void AddPollFds(std::vector<pollfd>& fds) const;
  // Run takes what they say. True when one of them has left a wish for a reload behind.
  bool Run();

 private:
  struct Elder {
    pid_t pid = 0;
    HandoverChannel channel;
    uint64_t connections = 0;
  };
  std::vector<Elder> elders_;
};

}  // namespace postern::master
