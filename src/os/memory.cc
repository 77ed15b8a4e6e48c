// Memory as the kernel tells it. Not the process's own size: what is left for it is decided by all
// processes of its control group and of the machine.
#include "postern/os/memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>

namespace postern::os {
namespace {

UniqueFd OpenForReading(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

using Buffer = std::array<char, 8192>;
std::string_view ReadAgain(const UniqueFd& fd, Buffer& buffer) {
  if (!fd.valid()) return {};
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return {};
  const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
  return got > 0 ? std::string_view(buffer.data(), static_cast<size_t>(got)) : std::string_view();
}

std::optional<uint64_t> ReadNumber(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

// What follows `key` on the line that begins with it.
std::optional<uint64_t> ReadLine(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (text.starts_with(key)) return ReadNumber(text.substr(key.size(), end - key.size()));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> ReadMemAvailable(std::string_view meminfo) {
  const auto kib = ReadLine(meminfo, "MemAvailable:");
  return kib ? std::optional(*kib * 1024) : std::nullopt;
}

std::optional<uint64_t> ReadInactiveFile(std::string_view memory_stat) {
  return ReadLine(memory_stat, "inactive_file ");
}

std::string_view ReadGroupPath(std::string_view cgroup) {
  while (!cgroup.empty()) {
    const size_t end = std::min(cgroup.find('\n'), cgroup.size());
    const std::string_view line = cgroup.substr(0, end);
    if (line.starts_with("0::")) return line.substr(3);
    cgroup.remove_prefix(std::min(end + 1, cgroup.size()));
  }
  return {};
}

MemoryWatch MemoryWatch::Open() {
  MemoryWatch watch;
  watch.meminfo_ = OpenForReading("/proc/meminfo");
  Buffer buffer;
  const UniqueFd own = OpenForReading("/proc/self/cgroup");
  const std::string path(ReadGroupPath(ReadAgain(own, buffer)));
  if (path.empty()) return watch;
  const std::string group = "/sys/fs/cgroup" + path + "/memory.";
  watch.group_most_ = OpenForReading(group + "max");
  watch.group_now_ = OpenForReading(group + "current");
  watch.group_details_ = OpenForReading(group + "stat");
  return watch;
}

std::optional<uint64_t> MemoryWatch::AvailableBytes() const {
  Buffer buffer;
  std::optional<uint64_t> available = ReadMemAvailable(ReadAgain(meminfo_, buffer));
  const auto most = ReadNumber(ReadAgain(group_most_, buffer));  // "max": there is no limit
  const auto now = ReadNumber(ReadAgain(group_now_, buffer));
  if (!most || !now) return available;
  // Pages of files that nobody has used lately go as soon as others need the room.
  const uint64_t files = ReadInactiveFile(ReadAgain(group_details_, buffer)).value_or(0);
  const uint64_t used = *now - std::min(*now, files);
  const uint64_t left = *most - std::min(*most, used);
  return std::min(available.value_or(left), left);
}

}  // namespace postern::os
