// Record: the record layer of an established connection, bytes in and bytes out. It outlives the
// handshake by hours, so it is small; it knows nothing of sockets.
//
// Engines: src/tls/record_libssl.cc keeps the SSL object and serves every version and suite;
// src/tls/record_aead.cc holds two traffic keys and two sequence numbers alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"

namespace postern::tls {

enum class OpenKind : uint8_t {
  kData,         // `plain` holds application data (possibly none)
  kHandled,      // a message for the record layer itself (KeyUpdate, a warning alert)
  kCloseNotify,  // the peer ended its direction cleanly
  kFailed,       // bad MAC, illegal record, fatal alert: nothing more can be opened
};

struct Opened {
  OpenKind kind = OpenKind::kFailed;
  MutableBytes plain;             // lies within the record that was given
  const char* failure = nullptr;  // kFailed: what happened, a fixed phrase for the log
};

// What the first bytes of a stream say about the record that starts there.
struct RecordLength {
  enum class Kind : uint8_t { kNeedMore, kRecord, kIllegal } kind = Kind::kNeedMore;
  size_t total = 0;  // kRecord: octets of the whole record, header included
};
// PeekRecord needs limits::kRecordHeader octets; a length beyond limits::kMaxCiphertext or a type
// that TLS does not know is illegal.
RecordLength PeekRecord(Bytes wire);

// What Seal may overwrite around the plaintext.
struct SealRoom {
  size_t front = 0;   // octets in front of it
  size_t behind = 0;  // and behind it
};

class Record {
 public:
  virtual ~Record() = default;

  // Open opens the one whole record that `record` is (as PeekRecord measured it), in place. A
  // header that PeekRecord calls illegal may be given alone: it fails with the alert for it. What
  // it then has to say to the peer (KeyUpdate, alert) waits in TakeOutput, and must be sent before
  // anything that is sealed later.
  virtual Opened Open(MutableBytes record) = 0;

  // Seal turns 1 to limits::kMaxPlaintext octets into one or more records, in place: in front of
  // `plain` limits::kSlotHeadroom and behind it limits::kSlotTailroom octets are free to write, or
  // as many as RoomFor says. The result lies within that room; empty means the connection can no
  // longer send.
  virtual MutableBytes Seal(MutableBytes plain) = 0;
  // RoomFor tells how much room the next Seal needs for `size` octets.
  virtual SealRoom RoomFor(size_t size) const = 0;

  // CloseNotify appends our close_notify alert (RFC 8446 section 6.1); nothing may be sealed after
  // it.
  virtual void CloseNotify(std::vector<std::byte>& out) = 0;

  // TakeOutput appends what waits to be sent and reports whether there was any.
  virtual bool TakeOutput(std::vector<std::byte>& out) = 0;

  // Octets of heap that this connection's record layer holds, as far as it knows (for status and
  // the benchmarks).
  virtual size_t MemoryUsed() const = 0;
};

}  // namespace postern::tls
