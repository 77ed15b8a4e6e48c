// Acceptors: a worker's listening sockets: armed, paused at a limit, moved to another generation,
// retired.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "generations.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"
#include "postern/ring/ring.h"
#include "postern/ring/timer_wheel.h"
#include "postern/shm/counters.h"

namespace postern::worker {

class Acceptors {
 public:
  // Called for each accepted connection, with the view and listener its socket stands for just
  // then.
  struct Connection {
    os::UniqueFd fd;
    os::SocketAddress peer;
    ViewPtr view;
    uint32_t listener = 0;
  };
  // `before` runs before a connection is taken up: the moment to switch generations.
  struct Hooks {
    std::function<void()> before;
    std::function<void(Connection)> admit;
  };

  Acceptors(ring::Ring& ring, ring::TimerWheel& timers, shm::WorkerCounters& counters,
            const uint64_t& now_ms, Hooks hooks);
  ~Acceptors();

  // Switch makes `view` serve the new connections. Sockets whose address it keeps go on undisturbed
  // (the new descriptor is the same socket and is dropped); the others are retired: no more is
  // accepted on them but what already waits in their queues.
  void Switch(const ViewPtr& view, std::vector<NumberedSocket> sockets);
  // Pause stops accepting until Resume. What was accepted meanwhile still comes.
  void Pause();
  void Resume();
  bool paused() const { return paused_; }
  // SetRoom says how many connections may still come. With little room they are accepted one by
  // one, because a multishot accept takes all that wait at once, and what is beyond the room would
  // hold descriptors that the others need.
  void SetRoom(size_t room);
  // Stop retires all sockets. With `leave_queues` another process has them, too: who waits in their
  // queues is left to that one, but for those whose arrival only this process was told of.
  void Stop(bool leave_queues);
  // No socket is left, retired ones included.
  bool empty() const { return acceptors_.empty(); }
  // Collect drops the acceptors that are done; call it once per turn, outside their handlers.
  void Collect();

 private:
  struct Acceptor;
  void Arm(Acceptor& acceptor);
  void Retire(Acceptor& acceptor);
  void Reap(Acceptor& acceptor, bool was_waiting);
  void OnAccept(Acceptor& acceptor, ring::Completion completion);
  void Take(Acceptor& acceptor, os::UniqueFd fd);
  void BackOff(int error_number);
  void EndBackOff();
  void Calm();

  ring::Ring& ring_;
  ring::TimerWheel& timers_;
  shm::WorkerCounters& counters_;
  const uint64_t& now_ms_;
  Hooks hooks_;
  ring::Timer back_off_;
  ring::Timer calm_;
  const int ceiling_;       // descriptor numbers from here on are not for new connections
  bool exhausted_ = false;  // descriptors or memory ran short, and it was said
  bool paused_ = false;
  bool one_by_one_ = false;
  bool leave_queues_ = false;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
};

}  // namespace postern::worker
