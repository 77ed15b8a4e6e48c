// What becomes of the master when memory runs short: a reload is given up, and nothing else.
#pragma once

namespace postern::master {

// BackgroundWork is there as long as a thread beside the main one does work that may be given up.
class BackgroundWork {
 public:
  BackgroundWork();
  BackgroundWork(const BackgroundWork&) = delete;
  BackgroundWork& operator=(const BackgroundWork&) = delete;
  ~BackgroundWork();
};

// OutliveShortages is for the main thread, which calls it before it begins its work. From then on a
// lack of memory there waits for background work to be given up, or done, for 10 seconds at most;
// everywhere else, and when there is none, it is a std::bad_alloc at once.
void OutliveShortages();

}  // namespace postern::master
