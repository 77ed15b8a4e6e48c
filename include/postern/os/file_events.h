// FileEvents: what happens in directories, told by the kernel (inotify(7)).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/result.h"

namespace postern::os {

struct FileEvent {
  enum class Kind : uint8_t {
    kChanged,   // the entry `name` came, went, was written or got other rights
    kGone,      // the directory itself was removed, moved or unmounted: its watch is over
    kOverflow,  // events were lost: anything may have happened
  };
  Kind kind = Kind::kChanged;
  int watch = -1;    // what Watch returned; -1 with kOverflow
  std::string name;  // of the entry, with kChanged
};

// An interface, so that a test may run out of watches or lose events.
class FileEvents {
 public:
  virtual ~FileEvents() = default;
  // Readable when events wait.
  virtual int fd() const = 0;
  // Watch gives the number of the watch on `directory`, or an errno value. A directory that is
  // watched already, be it under another name, keeps its number. With `content` the writing of its
  // files is told too, without it only which entries come and go.
  virtual std::expected<int, int> Watch(const std::string& directory, bool content) = 0;
  virtual void Forget(int watch) = 0;
  // Take returns what has happened since the last call, without waiting.
  virtual std::vector<FileEvent> Take() = 0;
};

// Fails when the kernel gives no more instances of inotify.
Result<std::unique_ptr<FileEvents>> MakeFileEvents();

}  // namespace postern::os
