// Stream: one socket of a session and everything that is in flight on it. It takes in what the
// traps of io_uring demand (re-arming, cancelling, starving, stalling), and tells its owner only
// what happened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "postern/base/bytes.h"
#include "postern/base/intrusive_list.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"
#include "postern/relay/send_queue.h"
#include "postern/ring/buffer_pool.h"
#include "postern/ring/ring.h"

namespace postern::relay {

class Stream;

// Receives that found no free buffer wait here until slots come back.
class StarvedStreams;

// StreamIo is what the streams of one side (clients or back ends) share in a worker.
struct StreamIo {
  ring::Ring& ring;
  ring::BufferPool& pool;
  StarvedStreams& starved;
  // Receive multishot while a stream is quiet. For clients: their commands are small and many. Not
  // for servers, which answer in bursts at full speed: 32 buffers were taken before a pause took
  // hold.
  bool multishot = false;
};

// StreamOwner hears of a stream's events. Calls come from completions only, never from within a
// call of the owner's on the stream. The owner notes what changed and acts in OnStreamSettled,
// which follows each of the others.
class StreamOwner {
 public:
  virtual void OnConnected(Stream& stream, int error_number) = 0;  // 0: connected
  // `bytes` lie in `slot`; keep a copy of the slot to keep them. They may be overwritten.
  virtual void OnReceived(Stream& stream, const ring::Slot& slot, MutableBytes bytes) = 0;
  virtual void OnStreamSettled(Stream& stream) = 0;

 protected:
  ~StreamOwner() = default;
};

enum class ReceiveEnd : uint8_t { kOpen, kEof, kError };

class Stream {
 public:
  Stream(StreamIo& io, StreamOwner& owner);
  ~Stream();  // must be closed()
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Open takes a plain socket. False when the table of direct descriptors has no room.
  bool Open(os::UniqueFd fd);
  // Connect starts connecting; OnConnected follows. `address` must stay until then.
  void Connect(const os::SocketAddress& address);
  bool is_open() const { return fd_ != ring::DirectFd::kNone; }

  // What the owner wants; Pump makes it so.
  void WantReceive(bool want) { want_receive_ = want; }
  // How octets that come in bulk are to be laid into slots: after `first` octets (0: at once) begin
  // pieces of `each` octets (0: as many as the pool's length), each at the start of a slot. `first`
  // holds for the next receive alone.
  void Align(size_t first, size_t each) {
    first_ = first;
    each_ = each;
  }
  // After what is queued, end our direction (FIN).
  void WantFinish() { want_finish_ = true; }
  // Queue takes octets that lie in `slot`: as they are, or, while the peer does not read, as a
  // copy, so that slow readers pin no slots.
  void Queue(const ring::Slot& slot, MutableBytes part) {
    if (stalled_) {
      out_.AppendCopy(part);
    } else {
      out_.AppendSlot(slot, part);
    }
  }
  // How slots of this stream's pool are laid out: octets in front of what is received, and all of
  // one slot.
  size_t headroom() const { return io_.pool.offset(); }
  MutableBytes Whole(const ring::Slot& slot) { return io_.pool.Whole(slot); }
  SendQueue& out() { return out_; }
  const SendQueue& out() const { return out_; }

  // Pump starts whatever is wanted and possible now. Idempotent.
  void Pump();
  // Flush starts the send alone. Before the other side's receive is started again, so that it has
  // completed when that does and its slots are free.
  void Flush();

  // Close cancels what is in flight and closes; `reset` breaks the connection off instead of ending
  // it. What is still queued is dropped. The stream is closed() some completions later.
  void Close(bool reset);
  bool closed() const { return fd_ == ring::DirectFd::kNone && !in_flight(); }

  ReceiveEnd receive_end() const { return receive_end_; }
  int receive_error() const { return receive_error_; }  // errno, for kError
  int send_error() const { return send_error_; }        // errno of a failed send; 0: none
  bool finished() const { return finish_ == Finish::kDone; }
  // Everything queued is with the kernel.
  bool flushed() const { return out_.empty() && !send_.in_flight(); }

 private:
  friend class StarvedStreams;
  enum class Receive : uint8_t { kIdle, kMultishot, kOnce, kNow, kCancelling };
  struct BulkReceive;
  enum class Finish : uint8_t { kNot, kInFlight, kDone };

  bool in_flight() const {
    return receive_.in_flight() || send_.in_flight() || control_.in_flight();
  }
  void PumpReceive();
  bool ReceiveNow();
  size_t PieceSize() const;
  void PumpSend();
  void PumpFinish();
  void PumpClose();
  void TakeOne(ring::Completion completion);
  void TakeBulk(size_t size);
  void OnReceive(ring::Completion completion);
  void OnSend(ring::Completion completion);
  void OnControl(ring::Completion completion);

  StreamIo& io_;
  StreamOwner& owner_;
  ring::Operation receive_;
  ring::Operation send_;
  ring::Operation control_;  // connect, shutdown, abort: one after another
  SendQueue out_;
  ListNode starved_node_;
  ring::DirectFd fd_ = ring::DirectFd::kNone;
  size_t sending_ = 0;                         // octets of the send in flight
  std::unique_ptr<BulkReceive> bulk_receive_;  // in flight
  size_t asked_ = 0;  // octets that the receive in flight asks for; not for multishot
  size_t first_ = 0;
  size_t each_ = 0;
  int receive_error_ = 0;
  int send_error_ = 0;
  ReceiveEnd receive_end_ = ReceiveEnd::kOpen;
  Receive receiving_ = Receive::kIdle;
  Finish finish_ = Finish::kNot;
  bool want_receive_ = false;
  bool want_finish_ = false;
  bool bulk_ = false;     // whole slots come: receive one at a time
  bool more_ = false;     // the last receive got all it asked for: more is there
  bool stalled_ = false;  // the peer does not read as fast as we send
  bool connecting_ = false;
  bool closing_ = false;
  bool reset_ = false;
  bool aborted_ = false;
  bool cancel_sent_ = false;  // of send and control, while closing
};

class StarvedStreams {
 public:
  void Add(Stream& stream) { list_.PushBack(stream); }
  // Revive lets as many starved streams receive again as the pool has slots for; the others go on
  // waiting, so that they do not wake, find nothing and wake again.
  void Revive(const ring::BufferPool& pool);

 private:
  IntrusiveList<Stream, &Stream::starved_node_> list_;
};

}  // namespace postern::relay
