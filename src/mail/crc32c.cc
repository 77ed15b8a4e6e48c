// By table, an octet at a time: headers are some hundred octets, once per connection, and the
// processor's own instruction would need a second way for those that lack it.
#include "mail/crc32c.h"

#include <array>

namespace postern::mail {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t octet = 0; octet < table.size(); ++octet) {
    uint32_t value = octet;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[octet] = value;
  }
  return table;
}();

}  // namespace

uint32_t Crc32c(Bytes bytes, uint32_t sum) {
  sum = ~sum;
  for (const std::byte octet : bytes) {
    sum = (sum >> 8) ^ kTable[(sum ^ static_cast<uint32_t>(octet)) & 0xFF];
  }
  return ~sum;
}

}  // namespace postern::mail
