// Certificates as RFC 5280 section 4.1 draws them. The rule for every doubt: give nothing.
#include "pki/plain_certificate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <string_view>
#include <utility>

#include "pki/names.h"

namespace postern::pki {
namespace {

using std::string_view_literals::operator""sv;

constexpr size_t kMaxSerial = 20;  // RFC 5280 section 4.1.2.2
constexpr size_t kMaxRsaOctets = 2048;
constexpr int kLeastRsaBits = 2048;

// Contents of OBJECT IDENTIFIERs.
constexpr auto kCommonName = "\x55\x04\x03"sv;
constexpr auto kAlternativeName = "\x55\x1D\x11"sv;
constexpr auto kTlsFeature = "\x2B\x06\x01\x05\x05\x07\x01\x18"sv;
constexpr auto kRsaEncryption = "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01"sv;
constexpr auto kEcPublicKey = "\x2A\x86\x48\xCE\x3D\x02\x01"sv;

struct Curve {
  std::string_view oid;
  KeyClass kind;
  int bits;
  size_t octets;  // of a coordinate
};
constexpr std::array<Curve, 3> kCurves = {{
    {"\x2A\x86\x48\xCE\x3D\x03\x01\x07"sv, KeyClass::kEcdsaP256, 256, 32},
    {"\x2B\x81\x04\x00\x22"sv, KeyClass::kEcdsaP384, 384, 48},
    {"\x2B\x81\x04\x00\x23"sv, KeyClass::kEcdsaP521, 521, 66},
}};

// How a certificate is signed: the algorithm's OID, whether NULL stands behind it (RFC 4055
// section 5, RFC 5758 section 3.2), and TLS's number for it.
struct Signature {
  std::string_view oid;
  bool null;
  uint16_t scheme;
};
constexpr std::array<Signature, 6> kSignatures = {{
    {"\x2A\x86\x48\xCE\x3D\x04\x03\x02"sv, false, 0x0403},
    {"\x2A\x86\x48\xCE\x3D\x04\x03\x03"sv, false, 0x0503},
    {"\x2A\x86\x48\xCE\x3D\x04\x03\x04"sv, false, 0x0603},
    {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B"sv, true, 0x0401},
    {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0C"sv, true, 0x0501},
    {"\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0D"sv, true, 0x0601},
}};

std::string_view TextOf(Octets octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

bool Printable(Octets octets) {
  return std::ranges::all_of(octets, [](unsigned char c) { return c >= 0x20 && c < 0x7F; });
}

// An AlgorithmIdentifier; `parameters` is empty when there are none.
struct Algorithm {
  std::string_view oid;
  std::optional<DerValue> parameters;
};

std::optional<Algorithm> ReadAlgorithm(Octets content) {
  DerReader reader(content);
  const auto oid = reader.Next(der::kOid);
  if (!oid || !IsOid(oid->content)) return std::nullopt;
  Algorithm algorithm{TextOf(oid->content), std::nullopt};
  if (reader.done()) return algorithm;
  algorithm.parameters = reader.Next();
  if (!algorithm.parameters || !reader.done()) return std::nullopt;
  return algorithm;
}

bool IsNull(const std::optional<DerValue>& value) {
  return value && value->tag == der::kNull && value->content.empty();
}

std::optional<uint16_t> ReadSignature(Octets content) {
  const std::optional<Algorithm> algorithm = ReadAlgorithm(content);
  if (!algorithm) return std::nullopt;
  for (const Signature& known : kSignatures) {
    if (algorithm->oid != known.oid) continue;
    const bool fits = known.null ? IsNull(algorithm->parameters) : !algorithm->parameters;
    return fits ? std::optional(known.scheme) : std::nullopt;
  }
  return std::nullopt;
}

// --- Names ---------------------------------------------------------------------------------------

struct Name {
  // As RFC 5280 section 7.1 compares names, or coarser: without blanks and capitals.
  std::string folded;
  std::optional<std::string_view> common_name;  // the first
};

void Fold(std::string_view text, std::string& folded) {
  for (const char c : text) {
    if (c != ' ') folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
}

// One AttributeTypeAndValue.
bool ReadAttribute(Octets content, Name& name) {
  DerReader reader(content);
  const auto type = reader.Next(der::kOid);
  const auto value = reader.Next();
  if (!type || !value || !reader.done() || !IsOid(type->content)) return false;
  const bool is_text = value->tag == der::kUtf8String || value->tag == der::kPrintableString ||
                       value->tag == der::kIa5String;
  if (!is_text || value->content.empty() || !Printable(value->content)) return false;
  name.folded += TextOf(type->whole);
  Fold(TextOf(value->content), name.folded);
  name.folded += '\0';
  if (!name.common_name && TextOf(type->content) == kCommonName) {
    name.common_name = TextOf(value->content);
  }
  return true;
}

std::optional<Name> ReadName(Octets content) {
  Name name;
  DerReader reader(content);
  while (!reader.done()) {
    const auto relative = reader.Next(der::kSet);
    if (!relative) return std::nullopt;
    const auto attribute = OneValue(relative->content, der::kSequence);
    if (!attribute || !ReadAttribute(attribute->content, name)) return std::nullopt;
  }
  return name;
}

// --- Validity ------------------------------------------------------------------------------------

// A number of decimal digits; -1 when there is something else.
int Digits(Octets octets) {
  int number = 0;
  for (const unsigned char c : octets) {
    if (c < '0' || c > '9') return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

// RFC 5280 section 4.1.2.5: YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ.
std::optional<int64_t> ReadTime(const std::optional<DerValue>& value) {
  if (!value) return std::nullopt;
  const size_t year_digits =
      value->tag == der::kUtcTime ? 2 : (value->tag == der::kGeneralizedTime ? 4 : 0);
  const Octets text = value->content;
  if (year_digits == 0 || text.size() != year_digits + 11 || text.back() != 'Z') {
    return std::nullopt;
  }
  int year = Digits(text.first(year_digits));
  if (year < 0) return std::nullopt;
  if (year_digits == 2) year += year < 50 ? 2000 : 1900;
  std::array<int, 5> parts{};
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i] = Digits(text.subspan(year_digits + 2 * i, 2));
    if (parts[i] < 0) return std::nullopt;
  }
  const auto [month, day, hour, minute, second] = parts;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * 86'400 + hour * 3600 + minute * 60 + second;
}

bool ReadValidity(Octets content, PlainCertificate& certificate) {
  DerReader reader(content);
  const auto not_before = ReadTime(reader.Next());
  const auto not_after = ReadTime(reader.Next());
  if (!not_before || !not_after || !reader.done()) return false;
  certificate.period = {*not_before, *not_after};
  return true;
}

// --- The key -------------------------------------------------------------------------------------

bool ReadEcPoint(const Algorithm& algorithm, PlainCertificate& certificate) {
  if (!algorithm.parameters || algorithm.parameters->tag != der::kOid) return false;
  for (const Curve& curve : kCurves) {
    if (TextOf(algorithm.parameters->content) != curve.oid) continue;
    certificate.key_kind = curve.kind;
    certificate.key_bits = curve.bits;
    const Octets point = certificate.public_key;
    return point.size() == 1 + 2 * curve.octets && point[0] == 0x04;
  }
  return false;
}

// RSAPublicKey (RFC 8017 appendix A.1.1).
bool ReadRsaKey(PlainCertificate& certificate) {
  const auto sequence = OneValue(certificate.public_key, der::kSequence);
  if (!sequence) return false;
  DerReader reader(sequence->content);
  const auto modulus = reader.Next(der::kInteger);
  const auto exponent = reader.Next(der::kInteger);
  if (!modulus || !exponent || !reader.done()) return false;
  const auto n = Magnitude(modulus->content);
  const auto e = Magnitude(exponent->content);
  if (!n || !e || n->size() > kMaxRsaOctets || e->size() > sizeof(uint64_t)) return false;
  certificate.key_kind = KeyClass::kRsa;
  certificate.key_bits = static_cast<int>(n->size() * 8) - std::countl_zero((*n)[0]);
  return certificate.key_bits >= kLeastRsaBits;
}

// SubjectPublicKeyInfo.
bool ReadKey(Octets content, PlainCertificate& certificate) {
  DerReader reader(content);
  const auto sequence = reader.Next(der::kSequence);
  const auto bits = reader.Next(der::kBitString);
  if (!sequence || !bits || !reader.done()) return false;
  const auto algorithm = ReadAlgorithm(sequence->content);
  const auto key = WholeOctets(bits->content);
  if (!algorithm || !key) return false;
  certificate.public_key = *key;
  if (algorithm->oid == kEcPublicKey) return ReadEcPoint(*algorithm, certificate);
  return algorithm->oid == kRsaEncryption && IsNull(algorithm->parameters) &&
         ReadRsaKey(certificate);
}

// --- Extensions ----------------------------------------------------------------------------------

// GeneralNames (RFC 5280 section 4.2.1.6). `has_dns_name` is set even by one that is no host's.
bool ReadAlternativeNames(Octets octets, std::vector<std::string>& names, bool& has_dns_name) {
  const auto sequence = OneValue(octets, der::kSequence);
  if (!sequence) return false;
  DerReader reader(sequence->content);
  while (!reader.done()) {
    const auto name = reader.Next();
    if (!name) return false;
    switch (name->tag) {
      case der::Primitive(2):  // dNSName
        if (!Printable(name->content)) return false;
        has_dns_name = true;
        AddHostName(names, TextOf(name->content));
        break;
      case der::Primitive(1):  // rfc822Name
      case der::Primitive(6):  // uniformResourceIdentifier
        if (!Printable(name->content)) return false;
        break;
      case der::Primitive(7):  // iPAddress
        break;
      default:
        return false;
    }
  }
  return true;
}

struct Extensions {
  std::vector<std::string> names;
  bool has_names = false;
  bool has_dns_name = false;
  bool must_staple = false;
};

bool ReadExtension(Octets content, Extensions& extensions) {
  DerReader reader(content);
  const auto oid = reader.Next(der::kOid);
  if (!oid || !IsOid(oid->content)) return false;
  if (const auto critical = reader.Next(der::kBoolean)) {
    // The default, false, is not written (X.690 section 11.5).
    if (critical->content.size() != 1 || critical->content[0] != 0xFF) return false;
  }
  const auto value = reader.Next(der::kOctetString);
  if (!value || !reader.done()) return false;
  const std::string_view kind = TextOf(oid->content);
  if (kind == kTlsFeature) extensions.must_staple = true;
  if (kind != kAlternativeName) return true;
  if (std::exchange(extensions.has_names, true)) return false;  // a second one
  return ReadAlternativeNames(value->content, extensions.names, extensions.has_dns_name);
}

bool ReadExtensions(DerReader& reader, Extensions& extensions) {
  if (reader.done()) return true;
  const auto around = reader.Next(der::Around(3));
  if (!around || !reader.done()) return false;
  const auto sequence = OneValue(around->content, der::kSequence);
  if (!sequence || sequence->content.empty()) return false;
  DerReader each(sequence->content);
  while (!each.done()) {
    const auto extension = each.Next(der::kSequence);
    if (!extension || !ReadExtension(extension->content, extensions)) return false;
  }
  return true;
}

// --- The whole -----------------------------------------------------------------------------------

bool ReadVersionAndSerial(DerReader& reader) {
  const auto version = reader.Next(der::Around(0));
  if (!version) return false;
  const auto number = OneValue(version->content, der::kInteger);
  if (!number || number->content.size() != 1 || number->content[0] != 2) return false;
  const auto serial = reader.Next(der::kInteger);
  return serial && Magnitude(serial->content) && serial->content.size() <= kMaxSerial;
}

// TBSCertificate; `signature` is the outer AlgorithmIdentifier, with its header.
std::optional<PlainCertificate> ReadToBeSigned(Octets content, const DerValue& signature) {
  PlainCertificate certificate;
  DerReader reader(content);
  if (!ReadVersionAndSerial(reader)) return std::nullopt;
  const auto inner_signature = reader.Next(der::kSequence);
  const auto issuer = reader.Next(der::kSequence);
  const auto validity = reader.Next(der::kSequence);
  const auto subject = reader.Next(der::kSequence);
  const auto key = reader.Next(der::kSequence);
  if (!inner_signature || !issuer || !validity || !subject || !key) return std::nullopt;
  // RFC 5280 section 4.1.1.2.
  if (!Same(inner_signature->whole, signature.whole)) return std::nullopt;
  const auto scheme = ReadSignature(signature.content);
  const auto issuer_name = ReadName(issuer->content);
  const auto subject_name = ReadName(subject->content);
  Extensions extensions;
  if (!scheme || !issuer_name || !subject_name || !ReadValidity(validity->content, certificate) ||
      !ReadKey(key->content, certificate) || !ReadExtensions(reader, extensions)) {
    return std::nullopt;
  }
  certificate.issuer = issuer->whole;
  certificate.subject = subject->whole;
  if (!Same(issuer->whole, subject->whole)) {
    // Perhaps the same name, perhaps not: it takes OpenSSL's full comparison.
    if (issuer_name->folded == subject_name->folded) return std::nullopt;
    certificate.schemes = SchemesOf(std::array{*scheme});
  }
  certificate.names = std::move(extensions.names);
  certificate.must_staple = extensions.must_staple;
  // RFC 6125 section 6.4.4: the CN only when there is no dNSName.
  if (!extensions.has_dns_name && subject_name->common_name) {
    AddHostName(certificate.names, *subject_name->common_name);
  }
  return certificate;
}

}  // namespace

std::optional<PlainCertificate> ReadPlainCertificate(Octets der) {
  const auto whole = OneValue(der, der::kSequence);
  if (!whole) return std::nullopt;
  DerReader reader(whole->content);
  const auto to_be_signed = reader.Next(der::kSequence);
  const auto signature = reader.Next(der::kSequence);
  const auto value = reader.Next(der::kBitString);
  if (!to_be_signed || !signature || !value || !reader.done() || !WholeOctets(value->content)) {
    return std::nullopt;
  }
  return ReadToBeSigned(to_be_signed->content, *signature);
}

}  // namespace postern::pki
