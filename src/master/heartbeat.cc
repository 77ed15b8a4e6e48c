// One question at a time: a worker that is only slow is not sent more of them than it can answer.
#include "master/heartbeat.h"

namespace postern::master {

void Heartbeat::Begin(uint64_t now_ms) {
  asked_ms_.reset();
  next_ms_ = now_ms + times_.every_ms;
}

Heartbeat::Verdict Heartbeat::Look(uint64_t now_ms) const {
  if (!next_ms_ || now_ms < *next_ms_) return Verdict::kFine;
  return asked_ms_ ? Verdict::kSilent : Verdict::kAsk;
}

void Heartbeat::Asked(uint64_t now_ms) {
  asked_ms_ = now_ms;
  next_ms_ = now_ms + times_.patience_ms;
}

void Heartbeat::Answered(uint64_t now_ms) {
  if (!asked_ms_) return;
  asked_ms_.reset();
  next_ms_ = now_ms + times_.every_ms;
}

}  // namespace postern::master
