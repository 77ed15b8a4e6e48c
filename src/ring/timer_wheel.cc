// A hierarchical timer wheel. A heap would order every timer exactly; most of ours (idle,
// handshake) are disarmed or moved long before they fire, so cheap arming counts for more than
// order.
//
// A timer due at tick T stands on the lowest level whose span from now covers T. Level 0 places are
// one tick each; when tick_ enters a new place of level n, that place's timers are placed anew
// below.
#include "postern/ring/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace postern::ring {

void TimerWheel::Arm(Timer& timer, uint64_t due_ms) {
  timer.node_.Unlink();
  timer.due_ms_ = due_ms;
  Place(timer);
}

void TimerWheel::Place(Timer& timer) {
  // Rounded up, so that nothing fires early; a time that is past fires at the next tick.
  uint64_t due = std::max((timer.due_ms_ + kTickMs - 1) / kTickMs, tick_ + 1);
  constexpr uint64_t kSpan = uint64_t{1} << (kBits * kLevels);
  due = std::min(due, tick_ + kSpan - 1);
  for (size_t level = 0; level < kLevels; ++level) {
    const unsigned shift = kBits * static_cast<unsigned>(level);
    // The place must differ from the current one on this level, else it was cascaded already.
    if ((due >> shift) - (tick_ >> shift) < kPlaces) {
      Put(timer, level, (due >> shift) % kPlaces);
      return;
    }
  }
  // due - tick_ < span, but the highest level's places may still be a full turn apart by rounding.
  constexpr unsigned kTop = kBits * (kLevels - 1);
  Put(timer, kLevels - 1, ((tick_ >> kTop) + kPlaces - 1) % kPlaces);
}

void TimerWheel::Put(Timer& timer, size_t level, size_t place) {
  places_[level][place].PushBack(timer);
  occupied_[level] |= uint64_t{1} << place;
}

void TimerWheel::Cascade(size_t level) {
  const unsigned shift = kBits * static_cast<unsigned>(level);
  List moving;
  moving.TakeAll(places_[level][(tick_ >> shift) % kPlaces]);
  while (Timer* timer = moving.PopFront()) {
    // A timer due at this very tick belongs into the place that is about to fire.
    if ((timer->due_ms_ + kTickMs - 1) / kTickMs <= tick_) {
      Put(*timer, 0, tick_ % kPlaces);
    } else {
      Place(*timer);
    }
  }
}

void TimerWheel::Advance(uint64_t now_ms) {
  const uint64_t target = now_ms / kTickMs;
  while (tick_ < target) {
    const std::optional<uint64_t> delay = NextDelay(tick_ * kTickMs);
    // Skip over ticks at which nothing stands and nothing cascades.
    const uint64_t step = delay ? std::max<uint64_t>(*delay / kTickMs, 1) : target - tick_;
    if (step > target - tick_) {
      tick_ = target;
      return;
    }
    tick_ += step;
    for (size_t level = kLevels - 1; level > 0; --level) {
      const unsigned shift = kBits * static_cast<unsigned>(level);
      if ((tick_ & ((uint64_t{1} << shift) - 1)) == 0) Cascade(level);
    }
    List due;
    due.TakeAll(places_[0][tick_ % kPlaces]);
    while (Timer* timer = due.PopFront()) timer->handler_(timer->owner_);
  }
}

std::optional<uint64_t> TimerWheel::NextDelay(uint64_t now_ms) const {
  std::optional<uint64_t> next;  // tick
  for (size_t level = 0; level < kLevels; ++level) {
    const unsigned shift = kBits * static_cast<unsigned>(level);
    const uint64_t current = tick_ >> shift;
    const std::optional<uint64_t> ahead = NextPlace(level, current);
    if (!ahead) continue;
    // On a higher level the place is cascaded when its first tick comes.
    const uint64_t at = (current + *ahead) << shift;
    if (!next || at < *next) next = at;
  }
  if (!next) return std::nullopt;
  const uint64_t due_ms = *next * kTickMs;
  return due_ms > now_ms ? due_ms - now_ms : 0;
}

std::optional<uint64_t> TimerWheel::NextPlace(size_t level, uint64_t current) const {
  // Place `current` itself is always empty: on level 0 it has fired, above it was cascaded.
  const int turn = static_cast<int>((current + 1) % kPlaces);
  while (occupied_[level] != 0) {
    const auto ahead = static_cast<uint64_t>(std::countr_zero(std::rotr(occupied_[level], turn)));
    const size_t place = (current + 1 + ahead) % kPlaces;
    if (!places_[level][place].empty()) return ahead + 1;
    // Timers leave their place without telling the wheel; the bit is taken back when it is met.
    occupied_[level] &= ~(uint64_t{1} << place);
  }
  return std::nullopt;
}

}  // namespace postern::ring
