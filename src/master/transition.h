// Transition: where all workers stand on the way from one generation to the next. It knows nothing
// of channels or processes: whoever owns it tells it what happened and does what its phase says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace postern::master {

// The phases, drawn in docs/processes.md:
//   kPreparing -> kPrepared -> (Commit) -> kSwitching -> kDone
//   kPreparing, kPrepared -> kFailed
// There is no way from kSwitching to kFailed: once the number is published, it holds.
class Transition {
 public:
  enum class Phase : uint8_t { kPreparing, kPrepared, kSwitching, kDone, kFailed };

  // `workers` are those that were sent the generation; all must agree until `deadline_ms`.
  Transition(uint64_t number, std::set<uint32_t> workers, uint64_t deadline_ms);

  uint64_t number() const { return number_; }
  Phase phase() const { return phase_; }
  const std::string& reason() const { return reason_; }  // kFailed: why, for the administrator
  uint64_t deadline_ms() const { return deadline_ms_; }
  // Whom it waits for, in kPreparing and kSwitching.
  const std::set<uint32_t>& waiting() const { return waiting_; }

  // What a worker said. Words about another generation, out of place, or of a worker that does not
  // take part change nothing.
  void Ready(uint32_t worker, uint64_t number);
  void Refused(uint32_t worker, uint64_t number, const std::string& why);
  void Switched(uint32_t worker, uint64_t number);
  // A death fails the preparation; while switching it counts as switched, since its successor
  // starts on the new generation.
  void Died(uint32_t worker, const std::string& how);
  // Expire fails the preparation when it is late. While switching it changes nothing: the owner
  // looks at `waiting` and deals with who is stuck.
  void Expire(uint64_t now_ms);
  void Fail(const std::string& reason);

  // Commit begins the switch; only in kPrepared. `deadline_ms` is when stragglers are stuck.
  void Commit(uint64_t deadline_ms);

 private:
  void Settle();

  uint64_t number_;
  std::set<uint32_t> workers_;
  std::set<uint32_t> waiting_;
  uint64_t deadline_ms_;
  Phase phase_ = Phase::kPreparing;
  std::string reason_;
};

}  // namespace postern::master
