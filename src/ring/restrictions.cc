// io_uring is a second system call table that no seccomp filter sees: with a ring, whoever breaks
// into a worker could open, link, rename and unlink by operations. So the ring itself knows which
// it was made for; every other one fails with EACCES. Each is named for the function of Ring that
// submits it.
#include "restrictions.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel_names.h"

namespace postern::ring {
namespace {

constexpr std::array<uint8_t, 11> kOperations = {
    IORING_OP_ACCEPT,        // AcceptMultishot, AcceptOnce
    IORING_OP_RECV,          // ReceiveMultishot, ReceiveOnce
    IORING_OP_RECVMSG,       // ReceiveNow
    IORING_OP_SEND,          // Send, one piece
    IORING_OP_SENDMSG,       // Send, several
    IORING_OP_CONNECT,       // Connect, Abort
    IORING_OP_SHUTDOWN,      // ShutdownSend
    IORING_OP_CLOSE,         // Close
    IORING_OP_POLL_ADD,      // PollMultishot
    IORING_OP_WRITE,         // Write
    IORING_OP_ASYNC_CANCEL,  // Cancel
};

// Adopt; and the buffer pools, which are made after the ring and end before it.
constexpr std::array<uint8_t, 3> kRegistrations = {
    IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_PBUF_RING, IORING_UNREGISTER_PBUF_RING};

constexpr uint8_t kRequestFlags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;

io_uring_restriction Permit(uint16_t what, uint8_t value) {
  io_uring_restriction permit{};
  permit.opcode = what;
  permit.sqe_op = value;  // of a union with register_op and sqe_flags
  return permit;
}

// liburing 2.3 declares functions for these two, but its shared library does not have them.
int Register(const io_uring* ring, unsigned what, void* argument, size_t count) {
  const long outcome = ::syscall(SYS_io_uring_register, ring->ring_fd, what, argument, count);
  return outcome < 0 ? -errno : static_cast<int>(outcome);
}

}  // namespace

int Restrict(io_uring* ring, bool installs) {
  std::vector<io_uring_restriction> permits;
  for (const uint8_t operation : kOperations) {
    permits.push_back(Permit(IORING_RESTRICTION_SQE_OP, operation));
  }
  // Kernels refuse to hear of operations that they do not have.
  if (installs) permits.push_back(Permit(IORING_RESTRICTION_SQE_OP, kOpFixedFdInstall));
  for (const uint8_t registration : kRegistrations) {
    permits.push_back(Permit(IORING_RESTRICTION_REGISTER_OP, registration));
  }
  permits.push_back(Permit(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, kRequestFlags));
  const int outcome = Register(ring, IORING_REGISTER_RESTRICTIONS, permits.data(), permits.size());
  return outcome < 0 ? outcome : Register(ring, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

}  // namespace postern::ring
