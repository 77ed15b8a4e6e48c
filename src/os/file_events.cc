// FileEvents over inotify. fanotify would need no watch per directory, but only root may use it on
// whole file systems, and Postern may be started by others.
#include "postern/os/file_events.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "postern/os/unique_fd.h"

namespace postern::os {
namespace {

constexpr uint32_t kEntries = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
// IN_MODIFY as well as IN_CLOSE_WRITE: while somebody still writes, nothing has settled.
constexpr uint32_t kContent = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;
constexpr uint32_t kItself = IN_DELETE_SELF | IN_MOVE_SELF;
// So many reads for one Take: whoever floods a directory must not keep the caller for ever.
constexpr int kMaxReads = 64;

FileEvent Translate(const inotify_event& event) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) return {FileEvent::Kind::kOverflow, -1, {}};
  if ((event.mask & (IN_IGNORED | IN_UNMOUNT | kItself)) != 0) {
    return {FileEvent::Kind::kGone, event.wd, {}};
  }
  // The name is padded with zeros.
  return {FileEvent::Kind::kChanged, event.wd,
          event.len == 0 ? std::string() : std::string(event.name)};
}

class Inotify : public FileEvents {
 public:
  explicit Inotify(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const override { return fd_.get(); }

  std::expected<int, int> Watch(const std::string& directory, bool content) override {
    // IN_MASK_ADD: a directory may be watched under two names, for different things.
    const uint32_t mask = kEntries | kItself | (content ? kContent : 0) | IN_ONLYDIR | IN_MASK_ADD;
    const int watch = ::inotify_add_watch(fd_.get(), directory.c_str(), mask);
    if (watch < 0) return std::unexpected(errno);
    return watch;
  }

  void Forget(int watch) override { ::inotify_rm_watch(fd_.get(), watch); }

  std::vector<FileEvent> Take() override {
    std::vector<FileEvent> events;
    alignas(inotify_event) std::array<char, 64 * 1024> buffer;
    for (int reads = 0; reads < kMaxReads; ++reads) {
      const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      for (size_t at = 0; at < static_cast<size_t>(got);) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        events.push_back(Translate(*event));
        at += sizeof(inotify_event) + event->len;
      }
    }
    return events;
  }

 private:
  UniqueFd fd_;
};

}  // namespace

Result<std::unique_ptr<FileEvents>> MakeFileEvents() {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) {
    return FailErrno("cannot watch files", errno,
                     "raise the kernel's limit: sysctl fs.inotify.max_user_instances=1024");
  }
  return std::make_unique<Inotify>(std::move(fd));
}

}  // namespace postern::os
