// The terminal. getpass(3) is obsolete and OpenSSL's UI wants callbacks, and both leave an
// interrupt to the process's handlers: here Ctrl-C ends the line like Enter, and is looked for in
// what was read.
#include "postern/os/terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "postern/os/unique_fd.h"

namespace postern::os {
namespace {

constexpr char kInterrupt = 0x03;

Result<UniqueFd> OpenTerminal() {
  UniqueFd fd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return FailErrno("there is no terminal to ask on", errno);
  return fd;
}

void Show(int fd, std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
}

// Silence switches echo and signals off for as long as it lives.
class Silence {
 public:
  explicit Silence(int fd) : fd_(fd), changed_(::tcgetattr(fd, &before_) == 0) {
    if (!changed_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL | ISIG);
    quiet.c_cc[VEOL] = kInterrupt;
    ::tcsetattr(fd_, TCSAFLUSH, &quiet);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }

 private:
  int fd_;
  termios before_{};
  bool changed_;
};

// ReadLine reads octet by octet into one buffer of its final size, so that no shorter copy of a
// secret stays behind. `clean` wipes what is given up.
Result<std::vector<unsigned char>> ReadLine(int fd, size_t most) {
  std::vector<unsigned char> line(most + 1);
  size_t have = 0;
  const char* refused = nullptr;
  for (;;) {
    unsigned char octet = 0;
    const ssize_t got = ::read(fd, &octet, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || octet == kInterrupt) {
      refused = "the question was not answered";
      break;
    }
    if (octet == '\n') break;
    if (have < line.size()) line[have++] = octet;
  }
  if (refused == nullptr && have > most) refused = "the answer is too long";
  if (refused != nullptr) {
    ::explicit_bzero(line.data(), line.size());
    return Fail(refused);
  }
  line.resize(have);  // shrinking keeps the buffer
  return line;
}

}  // namespace

bool HasTerminal() { return OpenTerminal().has_value(); }

Result<std::string> AskLine(const std::string& question, size_t most) {
  const Result<UniqueFd> fd = OpenTerminal();
  if (!fd) return std::unexpected(fd.error());
  Show(fd->get(), question);
  const Result<std::vector<unsigned char>> line = ReadLine(fd->get(), most);
  if (!line) return std::unexpected(line.error());
  return std::string(line->begin(), line->end());
}

Result<std::vector<unsigned char>> AskSecret(const std::string& question, size_t most) {
  const Result<UniqueFd> fd = OpenTerminal();
  if (!fd) return std::unexpected(fd.error());
  const Silence silence(fd->get());
  Show(fd->get(), question);
  Result<std::vector<unsigned char>> line = ReadLine(fd->get(), most);
  Show(fd->get(), "\n");
  return line;
}

}  // namespace postern::os
