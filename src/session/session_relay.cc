// Bytes in both directions. Towards the back end records are opened where they lie, in the receive
// slot; towards the client they are sealed where they lie. Only a record that is split over two
// receives is put together on the heap.
#include <algorithm>
#include <cstring>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/session/session.h"

namespace postern::session {

void Session::FeedRecords(const ring::Slot& slot, MutableBytes bytes) {
  while (!bytes.empty() && !client_done_ &&
         (state_ == State::kConnecting || state_ == State::kRelay)) {
    if (!input_.empty()) {
      bytes = AssembleRecord(bytes);
      continue;
    }
    const tls::RecordLength length = tls::PeekRecord(bytes);
    if (length.kind == tls::RecordLength::Kind::kRecord && length.total <= bytes.size()) {
      if (!OpenRecord(slot, bytes.first(length.total))) return;
      bytes = bytes.subspan(length.total);
      continue;
    }
    if (length.kind == tls::RecordLength::Kind::kIllegal) {
      // The record layer has the words and the alert for it.
      if (OpenRecord(slot, bytes.first(std::min(bytes.size(), limits::kRecordHeader)))) {
        reason_ = "the client sent an illegal record";
        Finish(How::kError, true);
      }
      return;
    }
    input_.reserve(std::max(length.total, limits::kRecordHeader));
    input_.assign(bytes.begin(), bytes.end());
    bytes = {};
  }
  AlignRecords();
}

// In bulk the octets that complete a record are received by themselves, so that the records behind
// it begin at the start of a slot each and can be opened where they lie. Records of a bulk transfer
// are nearly always of one size.
void Session::AlignRecords() {
  const tls::RecordLength length = tls::PeekRecord(input_);
  if (length.kind != tls::RecordLength::Kind::kRecord) return;
  const bool long_record =
      length.total >= limits::kMaxPlaintext / 4 &&  // short ones are cheap to copy
      length.total <= limits::kSlotSize;
  client_.Align(length.total - input_.size(),
                long_record ? limits::kSlotSize / length.total * length.total : 0);
}

// Moves octets from the front of `bytes` to input_ until the record there is whole, opens it then,
// and returns what is left.
MutableBytes Session::AssembleRecord(MutableBytes bytes) {
  const tls::RecordLength length = tls::PeekRecord(input_);
  const size_t want =
      length.kind == tls::RecordLength::Kind::kRecord ? length.total : limits::kRecordHeader;
  POSTERN_CHECK(input_.size() <= want);
  const size_t take = std::min(want - input_.size(), bytes.size());
  input_.insert(input_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(take));
  bytes = bytes.subspan(take);
  if (input_.size() < want) return bytes;
  const tls::RecordLength now = tls::PeekRecord(input_);
  if (now.kind == tls::RecordLength::Kind::kRecord && now.total > input_.size()) return bytes;
  std::vector<std::byte> record;
  record.swap(input_);
  OpenRecord(ring::Slot(), record);
  return bytes;
}

// Opens one record and queues what it holds. False when the client's stream is over.
bool Session::OpenRecord(const ring::Slot& slot, MutableBytes record) {
  const tls::Opened opened = record_->Open(record);
  SendTlsOutput();
  switch (opened.kind) {
    case tls::OpenKind::kData:
      bytes_in_ += opened.plain.size();
      io_.counters.bytes_from_clients.Add(opened.plain.size());
      if (slot.held()) {
        backend_.Queue(slot, opened.plain);
      } else {
        backend_.out().AppendCopy(opened.plain);
      }
      return true;
    case tls::OpenKind::kHandled:
      return true;
    case tls::OpenKind::kCloseNotify:
      client_done_ = true;
      return false;
    case tls::OpenKind::kFailed:
      reason_ = opened.failure;
      Finish(How::kError, true);
      return false;
  }
  return false;
}

void Session::SealToClient(const ring::Slot& slot, MutableBytes bytes) {
  if (notify_sent_) return;
  bytes_out_ += bytes.size();
  io_.counters.bytes_to_clients.Add(bytes.size());
  mid_line_ = bytes.back() != std::byte{'\n'};
  const MutableBytes sealed = record_->Seal(bytes);
  if (sealed.empty()) {
    reason_ = "cannot seal a record";
    Finish(How::kError, true);
    return;
  }
  client_.Queue(slot, sealed);
}

bool Session::SayToClient(std::string_view text) {
  POSTERN_CHECK(text.size() <= limits::kMaxPlaintext);
  std::vector<std::byte> room(limits::kSlotHeadroom + text.size() + limits::kSlotTailroom);
  const MutableBytes plain = MutableBytes(room).subspan(limits::kSlotHeadroom, text.size());
  std::memcpy(plain.data(), text.data(), text.size());
  const MutableBytes sealed = record_->Seal(plain);
  if (sealed.empty()) return false;
  client_.out().AppendCopy(sealed);
  return true;
}

void Session::SendTlsOutput() {
  if (!record_->TakeOutput(io_.scratch)) return;
  client_.out().AppendCopy(io_.scratch);
  io_.scratch.clear();
}

void Session::SendCloseNotify() {
  if (notify_sent_) return;
  notify_sent_ = true;
  record_->CloseNotify(io_.scratch);
  client_.out().AppendCopy(io_.scratch);
  io_.scratch.clear();
}

}  // namespace postern::session
