// Ring: one worker's io_uring. All of a worker's I/O goes through it; see docs/processes.md for why
// it is set up as it is. Not thread safe: one thread makes it and uses it (SINGLE_ISSUER).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/os/unique_fd.h"
#include "postern/ring/buffer_pool.h"
#include "postern/ring/operation.h"

namespace postern::ring {

// DirectFd is a place in the ring's own descriptor table. It does not count as an open file of the
// process.
enum class DirectFd : uint32_t { kNone = UINT32_MAX };

struct RingOptions {
  uint32_t entries = 1024;
  uint32_t completions = 8192;
  uint32_t direct_descriptors = 1024;
  // Whether the kernel is to refuse (EACCES) every operation but those of the requests below.
  bool restricted = false;
};

class Ring {
 public:
  // Create sets the ring up and probes what the kernel must have (Linux 6.1 or later). The error
  // says plainly what is lacking or forbidden and how to get it.
  static Result<std::unique_ptr<Ring>> Create(const RingOptions& options);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // --- Direct descriptors ---
  // Adopt moves a plain descriptor into the table and closes the plain one. kNone when the table is
  // full or the kernel refuses; the descriptor is closed then too.
  DirectFd Adopt(os::UniqueFd fd);
  // Close frees the descriptor and, once the kernel has done so, its place in the table. No
  // operation on it may be in flight. Never fails as far as the caller is concerned.
  void Close(DirectFd fd);
  uint32_t direct_free() const { return static_cast<uint32_t>(free_direct_.size()); }

  // --- Requests; each puts `operation` in flight until its last completion ---
  // Accepts until cancelled or failed; results are plain descriptors (non-blocking, close-on-exec).
  void AcceptMultishot(Operation& operation, int listener);
  void AcceptOnce(Operation& operation, int listener);
  // Receives into the pool's buffers. Multishot: until cancelled, failed, ended (0), or no buffer
  // is provided (-ENOBUFS). Once: one completion, of at most `size` octets (0: a buffer full).
  void ReceiveMultishot(Operation& operation, DirectFd fd, const BufferPool& pool);
  void ReceiveOnce(Operation& operation, DirectFd fd, const BufferPool& pool, size_t size = 0);
  // Receives what is there now into up to limits::kSendVectors pieces of memory, which must stay
  // until completion; -EAGAIN when nothing is.
  void ReceiveNow(Operation& operation, DirectFd fd, std::span<const iovec> pieces);
  // Sends from up to limits::kSendVectors pieces; the pieces' memory must stay until completion,
  // the vector itself need not. `wait` false: what does not fit the socket's buffer now is not
  // waited for (short result or -EAGAIN).
  void Send(Operation& operation, DirectFd fd, std::span<const iovec> pieces, bool wait);
  // `address` must stay until completion.
  void Connect(Operation& operation, DirectFd fd, const sockaddr* address, socklen_t size);
  // Abort breaks a TCP connection off with a reset (connect to AF_UNSPEC): the peer must not take
  // what it got for the whole.
  void Abort(Operation& operation, DirectFd fd);
  // Half-closes for sending. May be asynchronous in the kernel: wait for it before Close.
  void ShutdownSend(Operation& operation, DirectFd fd);
  // Reports readiness of a plain descriptor again and again.
  void PollMultishot(Operation& operation, int fd, uint32_t events);
  // Writes at the descriptor's own position.
  void Write(Operation& operation, int fd, Bytes bytes);
  // Cancel asks for the end of `operation`, which comes as its last completion (-ECANCELED, or the
  // result that was on its way). Nothing happens when it is not in flight.
  void Cancel(Operation& operation);

  // --- The loop ---
  // Wait submits, waits until something completes or `timeout_ms` is over (nothing: no limit), and
  // takes all completions from the ring.
  void Wait(std::optional<uint64_t> timeout_ms);
  // Dispatch runs the handlers of what Wait took and returns how many ran.
  size_t Dispatch();

  // Provided buffers are registered by BufferPool.
  io_uring* native() { return &ring_; }

 private:
  Ring() = default;

  struct Pending {
    uint64_t data;
    Completion completion;
  };

  io_uring_sqe* NextSqe();
  io_uring_sqe* Begin(Operation& operation);
  void Submit();
  void Drain();
  msghdr* Gathered(std::span<const iovec> pieces);
  void Complete(const Pending& pending);
  void ShutdownAsynchronously(Operation& operation, unsigned direct);
  bool ShutdownInstalled(Operation& operation, Completion& completion);

  io_uring ring_{};
  bool initialized_ = false;
  bool installs_ = false;  // can make plain descriptors of direct ones (Linux 6.8 or later)
  std::vector<uint32_t> free_direct_;
  std::vector<Pending> pending_;
  // Message heads of gathered sends; they must stay until the next submit
  // (IORING_FEAT_SUBMIT_STABLE).
  struct Gather;
  std::vector<std::unique_ptr<Gather>> gathers_;
  size_t gathers_used_ = 0;
};

}  // namespace postern::ring
