// Heartbeat: whether one worker still takes turns. It is asked at intervals over its channel, where
// a worker answers between two turns of its loop; one that hangs in a turn does not.
#pragma once

#include <cstdint>
#include <optional>

namespace postern::master {

struct HeartbeatTimes {
  uint64_t every_ms = 5'000;
  // A turn may be long: thousands of handshakes that came at once take seconds. A worker that says
  // nothing for this long serves nobody, though its connections still look open.
  uint64_t patience_ms = 20'000;
};

class Heartbeat {
 public:
  explicit Heartbeat(HeartbeatTimes times) : times_(times) {}

  // Begin starts asking; from then on NextDeadlineMs has something.
  void Begin(uint64_t now_ms);
  void End() { next_ms_.reset(); }

  // When to look at it again; nothing: it has not begun.
  std::optional<uint64_t> NextDeadlineMs() const { return next_ms_; }

  enum class Verdict : uint8_t { kFine, kAsk, kSilent };
  // Look says what is due: kAsk, send a question and call Asked; kSilent, give the worker up. What
  // the worker has said must have been taken in before, or a pause of the asker's own would count
  // as its silence.
  Verdict Look(uint64_t now_ms) const;
  void Asked(uint64_t now_ms);
  void Answered(uint64_t now_ms);

 private:
  HeartbeatTimes times_;
  std::optional<uint64_t> next_ms_;
  std::optional<uint64_t> asked_ms_;  // the first question without an answer
};

}  // namespace postern::master
