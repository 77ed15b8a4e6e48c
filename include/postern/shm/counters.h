// Counters of one worker: a shared page per worker, written by it alone and read by the master, so
// that status and metrics ask nobody. Layout version 4, 2026-11-23 (1 had no
// counters of failed handshakes by reason, 2 none of connections that begin in plain text, 3 none
// of refused ones).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace postern::shm {

// Counter has one writer; readers see a value that is at most a moment old.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Subtract(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  void Set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Reasons of failed handshakes; their numbers are tls::HandshakeFailure's.
inline constexpr size_t kFailureKinds = 24;
// Reasons of refused connections; their numbers are session::Refusal's.
inline constexpr size_t kRefusalKinds = 8;
// What counts as a failure of an address; their numbers are session::Fault's.
inline constexpr size_t kFaultKinds = 4;
// Ends of dialogs before TLS; their numbers are mail::DialogEnd's.
inline constexpr size_t kDialogEndKinds = 16;

// Counters survive the worker's death: its successor goes on counting in the same page, in which
// the master has set the gauges (marked so) to zero.
struct WorkerCounters {
  // What a dead worker held. Call it after the process has been waited for and before its successor
  // starts, which is thus never seen with its predecessor's connections.
  void ForgetHeld() {
    connections.Set(0);
    handshaking.Set(0);
    generation.Set(0);
  }

  Counter connections;                          // gauge: clients held now
  Counter handshaking;                          // gauge: of these, not yet through the handshake
  Counter accepted;                             // connections taken
  Counter handshakes_full;                      // completed without resumption
  Counter handshakes_resumed;                   // completed by ticket
  Counter handshakes_failed;                    // ended before completion, whatever the cause
  Counter backend_failed;                       // connections for which no back end could be had
  Counter bytes_from_clients;                   // plaintext octets relayed to back ends
  Counter bytes_to_clients;                     // plaintext octets relayed to clients
  Counter accept_paused;                        // times that accepting stopped at a limit
  Counter accept_errors;                        // accepts that failed (EMFILE and the like)
  Counter buffers_starved;                      // receives that found no free buffer slot
  Counter log_lines_dropped;                    // lines lost to a stuck or full log
  Counter generation;                           // gauge: number of the generation in use
  std::array<Counter, kFailureKinds> failures;  // of handshakes_failed, by reason
  Counter plain;                                // connections that went on without TLS
  std::array<Counter, kDialogEndKinds> dialogs_ended;  // before TLS, by how
  std::array<Counter, kRefusalKinds> refused;          // connections, by reason
  std::array<Counter, kFaultKinds> faults;             // failures of addresses, by kind
  Counter penalties;                                   // pauses that they brought
  Counter addresses_untracked;                         // connections the table had no room for
  Counter unread;                                      // clients closed that read nothing
};

}  // namespace postern::shm
