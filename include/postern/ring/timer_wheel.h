// TimerWheel: all of a worker's timeouts behind the one timeout that the ring waits with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "postern/base/intrusive_list.h"

namespace postern::ring {

// Timer fires once. Destroying it disarms it.
class Timer {
 public:
  using Handler = void (*)(void* owner);
  Timer(void* owner, Handler handler) : owner_(owner), handler_(handler) {}

  bool armed() const { return node_.linked(); }

 private:
  friend class TimerWheel;
  ListNode node_;
  uint64_t due_ms_ = 0;
  void* owner_;
  Handler handler_;
};

// Four levels of 64 places, the finest kTickMs wide: arming and disarming are O(1), a timer is
// moved at most three times before it fires. It fires at or up to kTickMs after its time, never
// before.
class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 16;

  explicit TimerWheel(uint64_t now_ms) : tick_(now_ms / kTickMs) {}

  // Arm (again) for `due_ms`, on the clock that Advance is given. Times further away than the wheel
  // reaches (74 hours) are kept at its edge and moved on from there.
  void Arm(Timer& timer, uint64_t due_ms);
  void Disarm(Timer& timer) { timer.node_.Unlink(); }

  // Advance fires all that is due at `now_ms`; handlers may arm and disarm any timer.
  void Advance(uint64_t now_ms);

  // Milliseconds from `now_ms` until Advance has something to do; nothing when no timer is armed.
  std::optional<uint64_t> NextDelay(uint64_t now_ms) const;

 private:
  static constexpr size_t kLevels = 4;
  static constexpr size_t kPlaces = 64;
  static constexpr unsigned kBits = 6;
  using List = IntrusiveList<Timer, &Timer::node_>;

  void Place(Timer& timer);
  void Put(Timer& timer, size_t level, size_t place);
  void Cascade(size_t level);
  // Places between `current` and the next occupied one of `level`, at least 1.
  std::optional<uint64_t> NextPlace(size_t level, uint64_t current) const;

  uint64_t tick_;  // all ticks up to this one are done
  std::array<std::array<List, kPlaces>, kLevels> places_;
  // A bit per place that may hold a timer, so that the next one is found without a walk.
  mutable std::array<uint64_t, kLevels> occupied_{};
};

}  // namespace postern::ring
