// SecureStream: one side of a session, with a record layer or, for a peer that speaks in plain
// text, without one. Both sides are one, so that the relay between them is written once.
//
// Octets are opened and sealed where they lie. Whether a piece can be sealed in place is decided by
// the room around it: a slot that was received in plain text has room by its layout, a record that
// was opened leaves its own header and tail, and what has neither goes through a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/relay/stream.h"
#include "postern/tls/record.h"

namespace postern::session {

// A piece of plaintext where it lies.
struct Plaintext {
  MutableBytes bytes;
  const ring::Slot* slot =
      nullptr;                    // that holds it; null: memory of the stream's that is gone soon
  size_t front = 0;               // octets in front of it that may be overwritten
  size_t behind = 0;              // and behind it
  const char* failure = nullptr;  // kFailed: instead of a piece, a fixed phrase for the log
};

class SecureStream final : public relay::Stream {
 public:
  SecureStream(relay::StreamIo& io, relay::StreamOwner& owner) : Stream(io, owner) {}

  // Open begins anew: in plain text, with nothing held. What is queued to be sent stays.
  bool Open(os::UniqueFd fd);

  // Secure begins the record layer: octets held (Keep) and those that come are records from now on.
  void Secure(std::unique_ptr<tls::Record> record) { record_ = std::move(record); }
  bool secure() const { return record_ != nullptr; }

  // --- Before records: dialogs and handshakes, which take octets as they like ---

  // Joined shows what Keep kept with `fresh` behind it; valid until the next call here.
  Bytes Joined(Bytes fresh);
  // Keep keeps `rest`, which may lie in what Joined gave, and nothing else.
  void Keep(Bytes rest);
  // TakeKept hands over what is kept.
  std::vector<std::byte> TakeKept() { return std::move(kept_); }
  bool kept() const { return !kept_.empty(); }

  // --- Plaintext from the peer ---

  enum class Taken : uint8_t {
    kNothing,  // `wire` is used up
    kData,     // `plain`, not empty; valid until the next call and while `slot` is held
    kEnd,      // the peer ended its direction in its records: nothing more comes
    kFailed,   // a broken record; an alert is queued, and `plain` says what is wrong
  };
  // Take takes the next piece of plaintext from the front of `wire`, which was received into `slot`
  // (not held: it lies in memory that goes after the call). Call it until it gives no kData.
  Taken Take(const ring::Slot& slot, MutableBytes& wire, Plaintext& plain);

  // The peer ended its direction as its protocol has it: close_notify or, in plain text, FIN.
  bool ended() const { return secure() ? peer_ended_ : at_eof(); }
  // It ended without close_notify: what came may not be all (RFC 8446 section 6.1).
  bool cut_off() const { return secure() && !peer_ended_ && at_eof(); }
  bool at_eof() const { return receive_end() == relay::ReceiveEnd::kEof; }
  // The connection is gone.
  bool broken() const { return receive_end() == relay::ReceiveEnd::kError || send_error() != 0; }

  // --- Plaintext to the peer ---

  // Send queues a piece that is not empty. False when the record layer cannot seal any more.
  bool Send(const Plaintext& plain);
  // Say is Send of a short text.
  bool Say(std::string_view text);
  // End ends our direction behind what is queued: with close_notify or, in plain text, with FIN.
  // Nothing may be sent after it.
  void End();
  bool end_sent() const { return end_sent_; }
  // The last octet that Send queued was no line end.
  bool mid_line() const { return mid_line_; }

 private:
  Taken TakePlain(const ring::Slot& slot, MutableBytes& wire, Plaintext& plain);
  MutableBytes NextRecord(MutableBytes& wire);
  MutableBytes Assemble(MutableBytes& wire);
  void AlignRecords();
  void SendOutput();
  void Put(const ring::Slot* slot, MutableBytes octets);
  bool SealCopies(Bytes plain);

  std::unique_ptr<tls::Record> record_;
  std::vector<std::byte> kept_;  // an incomplete record, message or line; empty owns nothing
  bool assembled_ = false;       // kept_ is a whole record that has been opened
  bool peer_ended_ = false;      // close_notify came
  bool end_sent_ = false;
  bool mid_line_ = false;
};

}  // namespace postern::session
