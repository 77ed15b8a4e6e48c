// A reload of many certificates takes as much memory as those that serve, on a thread of its own.
// When there is not enough, that thread gets a std::bad_alloc, and the reload is refused. But
// memory is one for all threads: in the same moment the main thread may want some octets for a log
// line, in the middle of anything. It waits until the other one has given up what it had taken.
//
// Considered and rejected: a reserve that is let go for the main thread. The other one would take
// that, too.
#include "master/shortage.h"

#include <unistd.h>

#include <atomic>
#include <new>

#include "postern/os/clock.h"

namespace postern::master {
namespace {

constexpr uint64_t kPatienceMs = 10'000;
constexpr unsigned kPauseUs = 5'000;

std::atomic<int> background{0};
thread_local bool main_thread = false;

// Called by operator new, which tries again when this returns.
void OnShortage() {
  thread_local uint64_t since_ms = 0;
  thread_local uint64_t last_ms = 0;
  if (!main_thread || background.load() == 0) throw std::bad_alloc();
  const uint64_t now_ms = os::MonotonicMs();
  if (now_ms - last_ms > 1'000) since_ms = now_ms;  // another shortage than the last one
  last_ms = now_ms;
  if (now_ms - since_ms > kPatienceMs) throw std::bad_alloc();
  ::usleep(kPauseUs);
}

}  // namespace

BackgroundWork::BackgroundWork() { background.fetch_add(1); }
BackgroundWork::~BackgroundWork() { background.fetch_sub(1); }

void OutliveShortages() {
  main_thread = true;
  std::set_new_handler(OnShortage);
}

}  // namespace postern::master
