// DerReader: DER (ITU-T X.690 section 10), read strictly, for what is read too often to go through
// OpenSSL. Nothing is copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace postern::pki {

using Octets = std::span<const unsigned char>;

namespace der {
// Identifier octets. Those of more than one octet are not read.
inline constexpr unsigned char kBoolean = 0x01;
inline constexpr unsigned char kInteger = 0x02;
inline constexpr unsigned char kBitString = 0x03;
inline constexpr unsigned char kOctetString = 0x04;
inline constexpr unsigned char kNull = 0x05;
inline constexpr unsigned char kOid = 0x06;
inline constexpr unsigned char kUtf8String = 0x0C;
inline constexpr unsigned char kPrintableString = 0x13;
inline constexpr unsigned char kIa5String = 0x16;
inline constexpr unsigned char kUtcTime = 0x17;
inline constexpr unsigned char kGeneralizedTime = 0x18;
inline constexpr unsigned char kSequence = 0x30;
inline constexpr unsigned char kSet = 0x31;
// The context's own, by number: [2] as a primitive, [3] around something else.
constexpr unsigned char Primitive(int number) { return static_cast<unsigned char>(0x80 + number); }
constexpr unsigned char Around(int number) { return static_cast<unsigned char>(0xA0 + number); }
}  // namespace der

// A value: `whole` is `content` with identifier and length before it.
struct DerValue {
  unsigned char tag = 0;
  Octets content;
  Octets whole;
};

// DerReader takes the values of a run one after the other. What is not DER ends it: an indefinite
// length, a length that is longer than it needs to be or than what is there, a tag of several
// octets. The octets are borrowed.
class DerReader {
 public:
  explicit DerReader(Octets octets) : rest_(octets) {}

  bool done() const { return rest_.empty(); }
  // Whether the next value has this tag.
  bool At(unsigned char tag) const { return !rest_.empty() && rest_[0] == tag; }

  std::optional<DerValue> Next();
  // Next, when it has this tag; else nothing is taken.
  std::optional<DerValue> Next(unsigned char tag);

 private:
  Octets rest_;
};

// OneValue is the only value of `octets`, when it has this tag and nothing stands behind it.
std::optional<DerValue> OneValue(Octets octets, unsigned char tag);

// The content of an INTEGER that is not negative, without its sign octet. Nothing for a negative
// one and for one with more octets than it needs (X.690 section 8.3.2).
std::optional<Octets> Magnitude(Octets integer);

// The content of a BIT STRING of whole octets, without the count of unused bits.
std::optional<Octets> WholeOctets(Octets bit_string);

// Whether it is the content of an OBJECT IDENTIFIER (X.690 section 8.19.2).
bool IsOid(Octets content);

bool Same(Octets a, Octets b);

}  // namespace postern::pki
