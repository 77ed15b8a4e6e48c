// Receiving: multishot while a connection is quiet, because it saves a request per message; one at
// a time once a receive fills its slot, because a multishot receive runs far ahead of a pause (2 MB
// were seen) while single ones stop exactly where we stop asking. While more is there, several
// slots are filled at once and go out with one send: requests, wake-ups and TCP's own work are per
// call, not per octet. That is a receive that does not wait into slots of ours; the kernel's
// bundles would do it too, but from Linux 6.10 on only and with no bound that holds.
//
// Sending: first without waiting, which completes at once in the common case. When the peer's
// window is full, the rest moves to the heap, so that no slot is pinned by a peer that does not
// read, and a send that waits takes over.
#include "postern/relay/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "postern/base/check.h"

namespace postern::relay {

Stream::Stream(StreamIo& io, StreamOwner& owner)
    : io_(io),
      owner_(owner),
      receive_(this, ring::Calls<&Stream::OnReceive>),
      send_(this, ring::Calls<&Stream::OnSend>),
      control_(this, ring::Calls<&Stream::OnControl>) {}

Stream::~Stream() { POSTERN_CHECK(closed()); }

bool Stream::Open(os::UniqueFd fd) {
  POSTERN_CHECK(closed());
  fd_ = io_.ring.Adopt(std::move(fd));
  receive_end_ = ReceiveEnd::kOpen;
  receive_error_ = send_error_ = 0;
  finish_ = Finish::kNot;
  bulk_ = more_ = stalled_ = closing_ = reset_ = aborted_ = cancel_sent_ = false;
  want_receive_ = want_finish_ = false;
  return is_open();
}

void Stream::Connect(const os::SocketAddress& address) {
  connecting_ = true;
  io_.ring.Connect(control_, fd_, address.get(), address.size());
}

void Stream::Pump() {
  if (!is_open()) return;
  if (closing_) {
    PumpClose();
    return;
  }
  PumpReceive();
  if (connecting_) return;
  PumpSend();
  PumpFinish();
}

void Stream::Flush() {
  if (is_open() && !closing_ && !connecting_) PumpSend();
}

void Stream::PumpReceive() {
  if (connecting_ || receive_end_ != ReceiveEnd::kOpen) return;
  if (receiving_ == Receive::kMultishot && (!want_receive_ || bulk_)) {
    receiving_ = Receive::kCancelling;
    io_.ring.Cancel(receive_);
    return;
  }
  if (receiving_ != Receive::kIdle || !want_receive_ || starved_node_.linked()) return;
  if (more_ && ReceiveNow()) return;
  if (bulk_ || !io_.multishot) {
    receiving_ = Receive::kOnce;
    asked_ = bulk_ && first_ != 0 ? std::min(first_, io_.pool.length()) : io_.pool.length();
    io_.ring.ReceiveOnce(receive_, fd_, io_.pool, asked_);
  } else {
    receiving_ = Receive::kMultishot;
    io_.ring.ReceiveMultishot(receive_, fd_, io_.pool);
  }
}

struct Stream::BulkReceive {
  std::array<ring::Slot, limits::kBulkSlots> slots;
  std::array<size_t, limits::kBulkSlots> sizes{};
};

size_t Stream::PieceSize() const { return each_ != 0 ? each_ : io_.pool.length(); }

// False when there is no slot for it.
bool Stream::ReceiveNow() {
  auto bulk = std::make_unique<BulkReceive>();
  std::array<iovec, limits::kBulkSlots> pieces;
  size_t count = 0;
  asked_ = 0;
  for (; count < pieces.size(); ++count) {
    ring::Slot slot = io_.pool.Acquire();
    if (!slot.held()) break;
    const size_t size = count == 0 && first_ != 0 ? first_ : PieceSize();
    const MutableBytes room = io_.pool.Filled(slot, size);
    pieces[count] = {room.data(), room.size()};
    bulk->sizes[count] = size;
    bulk->slots[count] = std::move(slot);
    asked_ += size;
  }
  if (count == 0) return false;
  receiving_ = Receive::kNow;
  bulk_receive_ = std::move(bulk);
  io_.ring.ReceiveNow(receive_, fd_, std::span(pieces).first(count));
  return true;
}

void Stream::TakeBulk(size_t size) {
  const std::unique_ptr<BulkReceive> bulk = std::move(bulk_receive_);
  more_ = size == asked_;
  for (size_t i = 0; size > 0 && !closing_; ++i) {
    const size_t part = std::min(size, bulk->sizes[i]);
    size -= part;
    owner_.OnReceived(*this, bulk->slots[i], io_.pool.Filled(bulk->slots[i], part));
  }
}

void Stream::TakeOne(ring::Completion completion) {
  ring::Slot slot;
  if (completion.has_buffer()) slot = io_.pool.Take(completion.buffer_id());
  if (completion.result <= 0) return;
  const auto size = static_cast<size_t>(completion.result);
  const bool full = size == io_.pool.length();
  more_ = full || (receiving_ == Receive::kOnce && bulk_ && size == asked_);
  bulk_ = more_;
  first_ = 0;
  if (!closing_) owner_.OnReceived(*this, slot, io_.pool.Filled(slot, size));
}

void Stream::OnReceive(ring::Completion completion) {
  const int result = completion.result;
  if (receiving_ == Receive::kNow) {
    first_ = result > 0 ? 0 : first_;
    TakeBulk(result > 0 ? static_cast<size_t>(result) : 0);
  } else {
    TakeOne(completion);
  }
  if (!completion.more()) receiving_ = Receive::kIdle;
  if (result == 0) {
    receive_end_ = ReceiveEnd::kEof;
  } else if (result == -ENOBUFS) {
    io_.pool.Widen();
    if (!closing_ && !starved_node_.linked()) io_.starved.Add(*this);
  } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    receive_end_ = ReceiveEnd::kError;
    receive_error_ = -result;
  }
  owner_.OnStreamSettled(*this);
}

void Stream::PumpSend() {
  if (send_.in_flight() || out_.empty() || send_error_ != 0) return;
  if (stalled_) out_.Spill();
  iovec pieces[limits::kSendVectors];
  const size_t count = out_.Gather(pieces);
  sending_ = 0;
  for (size_t i = 0; i < count; ++i) sending_ += pieces[i].iov_len;
  io_.ring.Send(send_, fd_, {pieces, count}, stalled_);
}

void Stream::OnSend(ring::Completion completion) {
  const int result = completion.result;
  const size_t sent = result > 0 ? static_cast<size_t>(result) : 0;
  out_.Consume(sent);
  if (result >= 0 || result == -EAGAIN) {
    // Short of what was offered: the socket's buffer is full. It stays so until everything is out.
    stalled_ = sent < sending_ || (stalled_ && !out_.empty());
  } else if (result != -EINTR && result != -ECANCELED) {
    send_error_ = -result;
  }
  owner_.OnStreamSettled(*this);
}

void Stream::PumpFinish() {
  if (!want_finish_ || finish_ != Finish::kNot || control_.in_flight()) return;
  if (!flushed() || send_error_ != 0) return;
  finish_ = Finish::kInFlight;
  io_.ring.ShutdownSend(control_, fd_);
}

void Stream::OnControl(ring::Completion completion) {
  if (connecting_) {
    connecting_ = false;
    if (!closing_) owner_.OnConnected(*this, completion.result < 0 ? -completion.result : 0);
  } else if (finish_ == Finish::kInFlight) {
    // A failure means that the connection is gone, which the receiving side reports better.
    finish_ = Finish::kDone;
  }
  owner_.OnStreamSettled(*this);
}

void Stream::Close(bool reset) {
  if (!is_open() || closing_) return;
  closing_ = true;
  reset_ = reset;
  starved_node_.Unlink();
  PumpClose();
}

void Stream::PumpClose() {
  if (in_flight()) {
    if (!cancel_sent_) {
      cancel_sent_ = true;
      io_.ring.Cancel(receive_);
      io_.ring.Cancel(send_);
      // A shutdown cannot be cancelled once it runs; it ends soon by itself.
      if (connecting_) io_.ring.Cancel(control_);
    }
    return;
  }
  if (reset_ && !aborted_) {
    aborted_ = true;
    io_.ring.Abort(control_, fd_);
    return;
  }
  io_.ring.Close(fd_);
  fd_ = ring::DirectFd::kNone;
}

void StarvedStreams::Revive(const ring::BufferPool& pool) {
  for (uint32_t slots = pool.available(); slots > 0; --slots) {
    Stream* stream = list_.PopFront();
    if (stream == nullptr) return;
    stream->Pump();
  }
}

}  // namespace postern::relay
