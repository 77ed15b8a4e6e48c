// By system calls and not by libc's functions, which may take another way (fork is clone there).
#include "sandbox_attempts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace postern::worker {
namespace {

int Outcome(long result) { return result < 0 ? errno : 0; }

int OpenFile(ring::Ring&) {
  return Outcome(::syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC, 0));
}

int StartProgram(ring::Ring&) {
  char name[] = "/bin/true";
  char* arguments[] = {name, nullptr};
  char* environment[] = {nullptr};
  return Outcome(::syscall(SYS_execve, name, arguments, environment));
}

int MakeProcess(ring::Ring&) {
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (pid == 0) ::_exit(0);
  return Outcome(pid);
}

int Trace(ring::Ring&) { return Outcome(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }

// With itself in the place of the other: signal 0 does nothing, and would be let through to it.
int Signal(ring::Ring&) { return Outcome(::syscall(SYS_kill, ::getpid(), 0)); }

int BecomeRoot(ring::Ring&) { return Outcome(::syscall(SYS_setuid, 0)); }

int ExecutableMemory(ring::Ring&) {
  void* const got =
      ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return got == MAP_FAILED ? errno : 0;
}

int DatagramSocket(ring::Ring&) {
  return Outcome(::syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

int PacketSocket(ring::Ring&) {
  return Outcome(::syscall(SYS_socket, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

int Bind(ring::Ring&) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return Outcome(
      ::syscall(SYS_bind, fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

int AnotherRing(ring::Ring&) {
  io_uring_params parameters{};
  return Outcome(::syscall(SYS_io_uring_setup, 1, &parameters));
}

int OpenFileByRing(ring::Ring& ring) {
  io_uring_sqe* request = ::io_uring_get_sqe(ring.native());
  if (request == nullptr) return ENOMEM;
  ::io_uring_prep_openat(request, AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC, 0);
  ::io_uring_submit_and_wait(ring.native(), 1);
  io_uring_cqe* completion = nullptr;
  if (::io_uring_peek_cqe(ring.native(), &completion) != 0) return EIO;
  return completion->res < 0 ? -completion->res : 0;
}

int RegisterWithRing(ring::Ring& ring) {
  alignas(8) static std::array<std::byte, 4096> memory;
  const iovec piece{memory.data(), memory.size()};
  const int outcome = ::io_uring_register_buffers(ring.native(), &piece, 1);
  return outcome < 0 ? -outcome : 0;
}

constexpr std::array kAttempts = std::to_array<Attempt>({
    {"open a file", OpenFile},
    {"open a file through the ring", OpenFileByRing},
    {"register buffers with the ring", RegisterWithRing},
    {"make another ring", AnotherRing},
    {"start a program", StartProgram},
    {"make a process", MakeProcess},
    {"be traced", Trace},
    {"send a signal", Signal},
    {"become root", BecomeRoot},
    {"make memory executable", ExecutableMemory},
    {"make a datagram socket", DatagramSocket},
    {"make a packet socket", PacketSocket},
    {"listen on a port", Bind},
});

}  // namespace

std::span<const Attempt> Attempts() { return kAttempts; }

}  // namespace postern::worker
