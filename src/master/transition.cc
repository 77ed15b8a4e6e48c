// The all-or-none state machine of a reload, apart from everything that does I/O, so that every
// order of events can be tested.
#include "master/transition.h"

#include <fmt/format.h>

#include <utility>

#include "postern/base/check.h"

namespace postern::master {

Transition::Transition(uint64_t number, std::set<uint32_t> workers, uint64_t deadline_ms)
    : number_(number), workers_(std::move(workers)), waiting_(workers_), deadline_ms_(deadline_ms) {
  Settle();
}

void Transition::Ready(uint32_t worker, uint64_t number) {
  if (phase_ != Phase::kPreparing || number != number_) return;
  waiting_.erase(worker);
  Settle();
}

void Transition::Refused(uint32_t worker, uint64_t number, const std::string& why) {
  if (number != number_ || !workers_.contains(worker)) return;
  Fail(fmt::format("worker {} refuses: {}", worker, why.empty() ? "it gave no reason" : why));
}

void Transition::Switched(uint32_t worker, uint64_t number) {
  if (phase_ != Phase::kSwitching || number != number_) return;
  waiting_.erase(worker);
  Settle();
}

void Transition::Died(uint32_t worker, const std::string& how) {
  if (!workers_.contains(worker)) return;
  if (phase_ == Phase::kSwitching) {
    waiting_.erase(worker);
    Settle();
    return;
  }
  Fail(fmt::format("worker {} {} while it prepared", worker, how));
}

void Transition::Expire(uint64_t now_ms) {
  if (phase_ != Phase::kPreparing || now_ms < deadline_ms_) return;
  std::string who;
  for (const uint32_t worker : waiting_) {
    who += fmt::format("{}{}", who.empty() ? "" : ", ", worker);
  }
  Fail(fmt::format("no answer in time from worker{} {}", waiting_.size() > 1 ? "s" : "", who));
}

void Transition::Fail(const std::string& reason) {
  if (phase_ != Phase::kPreparing && phase_ != Phase::kPrepared) return;
  phase_ = Phase::kFailed;
  reason_ = reason;
  waiting_.clear();
}

void Transition::Commit(uint64_t deadline_ms) {
  POSTERN_CHECK(phase_ == Phase::kPrepared);
  phase_ = Phase::kSwitching;
  waiting_ = workers_;
  deadline_ms_ = deadline_ms;
  Settle();
}

void Transition::Settle() {
  if (!waiting_.empty()) return;
  if (phase_ == Phase::kPreparing) phase_ = Phase::kPrepared;
  if (phase_ == Phase::kSwitching) phase_ = Phase::kDone;
}

}  // namespace postern::master
