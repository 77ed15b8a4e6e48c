// Only a record that is split over two receives is put together on the heap, and only a piece with
// too little room around it is copied to be sealed: between TLS on both sides that is rare, since
// records of one version carry the same header and tail.
#include "postern/session/secure_stream.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::session {

bool SecureStream::Open(os::UniqueFd fd) {
  record_ = nullptr;
  kept_ = {};
  assembled_ = peer_ended_ = end_sent_ = mid_line_ = false;
  return Stream::Open(std::move(fd));
}

Bytes SecureStream::Joined(Bytes fresh) {
  if (kept_.empty()) return fresh;
  kept_.insert(kept_.end(), fresh.begin(), fresh.end());
  return kept_;
}

void SecureStream::Keep(Bytes rest) {
  // `rest` may lie in kept_, so the new content is made before the old one goes.
  std::vector<std::byte> left(rest.begin(), rest.end());
  kept_.swap(left);
}

// --- From the peer ---

SecureStream::Taken SecureStream::Take(const ring::Slot& slot, MutableBytes& wire,
                                       Plaintext& plain) {
  if (record_ == nullptr) return TakePlain(slot, wire, plain);
  for (;;) {
    if (assembled_) {
      kept_ = {};
      assembled_ = false;
    }
    const MutableBytes record = NextRecord(wire);
    if (record.empty()) {
      AlignRecords();
      return Taken::kNothing;
    }
    const tls::Opened opened = record_->Open(record);
    SendOutput();
    switch (opened.kind) {
      case tls::OpenKind::kData:
        if (opened.plain.empty()) break;
        plain.bytes = opened.plain;
        plain.slot = slot.held() && !assembled_ ? &slot : nullptr;
        plain.front = static_cast<size_t>(opened.plain.data() - record.data());
        plain.behind = record.size() - plain.front - opened.plain.size();
        return Taken::kData;
      case tls::OpenKind::kHandled:
        break;
      case tls::OpenKind::kCloseNotify:
        peer_ended_ = true;
        kept_ = {};
        assembled_ = false;
        return Taken::kEnd;
      case tls::OpenKind::kFailed:
        plain.failure = opened.failure;
        return Taken::kFailed;
    }
    if (tls::PeekRecord(record).kind == tls::RecordLength::Kind::kIllegal) {
      plain.failure = "an illegal record";
      return Taken::kFailed;
    }
  }
}

SecureStream::Taken SecureStream::TakePlain(const ring::Slot& slot, MutableBytes& wire,
                                            Plaintext& plain) {
  if (wire.empty()) return Taken::kNothing;
  plain = {.bytes = wire};
  if (slot.held()) {
    plain.slot = &slot;
    const MutableBytes whole = Whole(slot);
    plain.front = static_cast<size_t>(wire.data() - whole.data());
    plain.behind = whole.size() - plain.front - wire.size();
  }
  wire = {};
  return Taken::kData;
}

// The next whole record from the front of `wire`, or of an illegal one the header, which the record
// layer has the words and the alert for. Empty: there is none yet, and what came is kept.
MutableBytes SecureStream::NextRecord(MutableBytes& wire) {
  if (!kept_.empty()) return Assemble(wire);
  if (wire.empty()) return {};
  const tls::RecordLength length = tls::PeekRecord(wire);
  const bool illegal = length.kind == tls::RecordLength::Kind::kIllegal;
  const size_t total = illegal ? std::min(wire.size(), limits::kRecordHeader) : length.total;
  if (length.kind != tls::RecordLength::Kind::kNeedMore && total <= wire.size()) {
    const MutableBytes record = wire.first(total);
    wire = wire.subspan(total);
    return record;
  }
  kept_.reserve(std::max(length.total, limits::kRecordHeader));
  kept_.assign(wire.begin(), wire.end());
  wire = {};
  return {};
}

// Moves octets from the front of `wire` to kept_ until the record there is whole.
MutableBytes SecureStream::Assemble(MutableBytes& wire) {
  for (;;) {
    const tls::RecordLength length = tls::PeekRecord(kept_);
    const size_t want =
        length.kind == tls::RecordLength::Kind::kRecord ? length.total : limits::kRecordHeader;
    POSTERN_CHECK(kept_.size() <= want);
    if (kept_.size() == want) {
      assembled_ = true;
      return kept_;
    }
    if (wire.empty()) return {};
    const size_t take = std::min(want - kept_.size(), wire.size());
    kept_.insert(kept_.end(), wire.begin(), wire.begin() + static_cast<ptrdiff_t>(take));
    wire = wire.subspan(take);
  }
}

// In bulk the octets that complete a record are received by themselves, so that the records behind
// it begin at the start of a slot each and can be opened where they lie. Records of a bulk transfer
// are nearly always of one size.
void SecureStream::AlignRecords() {
  const tls::RecordLength length = tls::PeekRecord(kept_);
  if (length.kind != tls::RecordLength::Kind::kRecord) return;
  const size_t room = limits::kSlotSize - headroom();
  const bool long_record = length.total >= limits::kMaxPlaintext / 4 &&  // short: cheap to copy
                           length.total <= room;
  Align(length.total - kept_.size(), long_record ? room / length.total * length.total : 0);
}

void SecureStream::SendOutput() {
  std::vector<std::byte> output;
  if (record_->TakeOutput(output)) out().AppendCopy(output);
}

// --- To the peer ---

bool SecureStream::Send(const Plaintext& plain) {
  mid_line_ = plain.bytes.back() != std::byte{'\n'};
  if (record_ == nullptr) {
    Put(plain.slot, plain.bytes);
    return true;
  }
  if (plain.bytes.size() > limits::kMaxPlaintext) return SealCopies(plain.bytes);
  if (plain.front < limits::kSlotHeadroom || plain.behind < limits::kSlotTailroom) {
    const tls::SealRoom room = record_->RoomFor(plain.bytes.size());
    if (plain.front < room.front || plain.behind < room.behind) return SealCopies(plain.bytes);
  }
  const MutableBytes sealed = record_->Seal(plain.bytes);
  if (sealed.empty()) return false;
  Put(plain.slot, sealed);
  return true;
}

void SecureStream::Put(const ring::Slot* slot, MutableBytes octets) {
  if (slot != nullptr) {
    Queue(*slot, octets);
  } else {
    out().AppendCopy(octets);
  }
}

bool SecureStream::SealCopies(Bytes plain) {
  std::array<std::byte, limits::kSlotSize> room;  // not initialised: 17 KB for each small record
  while (!plain.empty()) {
    const size_t size = std::min(plain.size(), limits::kMaxPlaintext);
    const MutableBytes copy = MutableBytes(room).subspan(limits::kSlotHeadroom, size);
    std::memcpy(copy.data(), plain.data(), size);
    const MutableBytes sealed = record_->Seal(copy);
    if (sealed.empty()) return false;
    out().AppendCopy(sealed);
    plain = plain.subspan(size);
  }
  return true;
}

bool SecureStream::Say(std::string_view text) {
  if (text.empty()) return true;
  mid_line_ = text.back() != '\n';
  if (record_ != nullptr) return SealCopies(AsBytes(text));
  out().AppendCopy(AsBytes(text));
  return true;
}

void SecureStream::End() {
  if (end_sent_) return;
  end_sent_ = true;
  if (record_ == nullptr) {
    WantFinish();
    return;
  }
  std::vector<std::byte> output;
  record_->CloseNotify(output);
  out().AppendCopy(output);
}

}  // namespace postern::session
