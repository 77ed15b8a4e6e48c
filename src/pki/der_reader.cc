// Lengths of up to four octets: nothing that is read here is as large as three could say.
#include "pki/der_reader.h"

#include <algorithm>

namespace postern::pki {
namespace {

constexpr unsigned char kTagOfSeveralOctets = 0x1F;
constexpr size_t kMaxLengthOctets = 4;

struct Length {
  size_t octets = 0;  // that it is written in
  size_t value = 0;
};

std::optional<Length> ReadLength(Octets octets) {
  if (octets.empty()) return std::nullopt;
  if (octets[0] < 0x80) return Length{1, octets[0]};
  const size_t count = octets[0] & 0x7F;
  if (count == 0 || count > kMaxLengthOctets || octets.size() <= count) return std::nullopt;
  if (octets[1] == 0) return std::nullopt;
  size_t value = 0;
  for (size_t i = 1; i <= count; ++i) value = value << 8 | octets[i];
  if (value < 0x80) return std::nullopt;
  return Length{count + 1, value};
}

}  // namespace

std::optional<DerValue> DerReader::Next() {
  if (rest_.empty() || (rest_[0] & kTagOfSeveralOctets) == kTagOfSeveralOctets) return std::nullopt;
  const std::optional<Length> length = ReadLength(rest_.subspan(1));
  if (!length) return std::nullopt;
  const size_t before = 1 + length->octets;
  if (rest_.size() - before < length->value) return std::nullopt;
  const DerValue value{rest_[0], rest_.subspan(before, length->value),
                       rest_.first(before + length->value)};
  rest_ = rest_.subspan(value.whole.size());
  return value;
}

std::optional<DerValue> DerReader::Next(unsigned char tag) {
  return At(tag) ? Next() : std::nullopt;
}

std::optional<DerValue> OneValue(Octets octets, unsigned char tag) {
  DerReader reader(octets);
  const std::optional<DerValue> value = reader.Next(tag);
  return value && reader.done() ? value : std::nullopt;
}

std::optional<Octets> Magnitude(Octets integer) {
  if (integer.empty() || integer[0] >= 0x80) return std::nullopt;
  if (integer.size() == 1 || integer[0] != 0) return integer;
  if (integer[1] < 0x80) return std::nullopt;
  return integer.subspan(1);
}

std::optional<Octets> WholeOctets(Octets bit_string) {
  if (bit_string.empty() || bit_string[0] != 0) return std::nullopt;
  return bit_string.subspan(1);
}

bool IsOid(Octets content) {
  if (content.empty() || content.back() >= 0x80) return false;
  bool first_of_number = true;
  for (const unsigned char octet : content) {
    if (first_of_number && octet == 0x80) return false;
    first_of_number = octet < 0x80;
  }
  return true;
}

bool Same(Octets a, Octets b) { return std::ranges::equal(a, b); }

}  // namespace postern::pki
