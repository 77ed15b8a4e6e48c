// The frame of a record (RFC 8446 section 5.1): type, version, length.
#include "postern/tls/record.h"

namespace postern::tls {

RecordLength PeekRecord(Bytes wire) {
  if (wire.size() < limits::kRecordHeader) return {};
  const auto at = [&](size_t i) { return std::to_integer<unsigned>(wire[i]); };
  const size_t length = size_t{at(3)} << 8 | at(4);
  // change_cipher_spec, alert, handshake, application_data. The version is not looked at more
  // closely: RFC 8446 section 5.1 wants it ignored.
  const bool known = at(0) >= 20 && at(0) <= 23 && at(1) == 3;
  if (!known || length > limits::kMaxCiphertext) return {RecordLength::Kind::kIllegal, 0};
  return {RecordLength::Kind::kRecord, limits::kRecordHeader + length};
}

}  // namespace postern::tls
