// Fuzzing of what Postern itself reads of a connection before libssl does: the first octets, and
// the heads of records. They come from anybody on the Internet.
#include <cstddef>
#include <cstdint>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/tls/record.h"
#include "tls/first_bytes.h"

using postern::Bytes;
using postern::tls::FirstBytes;
using postern::tls::RecordLength;

namespace {

// A verdict once given stands, whatever comes behind. (Only the words for it may change: text that
// goes on with other octets is no text.)
void CheckFirstBytes(Bytes wire) {
  FirstBytes verdict;
  for (size_t size = 0; size <= wire.size() && size <= 512; ++size) {
    const FirstBytes now = postern::tls::ClassifyFirstBytes(wire.first(size));
    if (verdict.kind != FirstBytes::Kind::kNeedMore) {
      POSTERN_CHECK(now.kind == verdict.kind);
    }
    const bool refused = now.kind == FirstBytes::Kind::kRefused;
    POSTERN_CHECK(refused == (now.failure != postern::tls::HandshakeFailure::kNone));
    POSTERN_CHECK(refused == !now.detail.empty());
    POSTERN_CHECK(now.detail.size() < 512);  // It becomes part of a log line.
    verdict = now;
  }
}

void CheckRecords(Bytes wire) {
  while (!wire.empty()) {
    const RecordLength length = postern::tls::PeekRecord(wire);
    if (length.kind != RecordLength::Kind::kRecord) return;
    POSTERN_CHECK(length.total >= postern::limits::kRecordHeader);
    POSTERN_CHECK(length.total <= postern::limits::kRecordHeader + postern::limits::kMaxCiphertext);
    if (length.total > wire.size()) return;
    wire = wire.subspan(length.total);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes wire = std::as_bytes(std::span(data, size));
  CheckFirstBytes(wire);
  CheckRecords(wire);
  return 0;
}
