// The public point that a file may name is not believed: whoever signs with the scalar must be the
// one whom the certificate is for, so the point is computed anew.
#include "pki/plain_ec_key.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <array>
#include <memory>
#include <utility>

namespace postern::pki {
namespace {

using std::string_view_literals::operator""sv;

constexpr auto kEcPublicKey = "\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01"sv;  // with its header

struct Curve {
  KeyClass kind;
  int nid;
  std::string_view oid;  // with its header
  size_t octets;         // of a scalar and of a coordinate
};
constexpr std::array<Curve, 3> kCurves = {{
    {KeyClass::kEcdsaP256, NID_X9_62_prime256v1, "\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"sv, 32},
    {KeyClass::kEcdsaP384, NID_secp384r1, "\x06\x05\x2B\x81\x04\x00\x22"sv, 48},
    {KeyClass::kEcdsaP521, NID_secp521r1, "\x06\x05\x2B\x81\x04\x00\x23"sv, 66},
}};

Octets OctetsOf(std::string_view text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

const Curve* CurveOf(Octets oid) {
  for (const Curve& curve : kCurves) {
    if (Same(oid, OctetsOf(curve.oid))) return &curve;
  }
  return nullptr;
}
const Curve* CurveOf(KeyClass kind) {
  for (const Curve& curve : kCurves) {
    if (curve.kind == kind) return &curve;
  }
  return nullptr;
}

bool IsNumber(const std::optional<DerValue>& value, unsigned char number) {
  return value && value->content.size() == 1 && value->content[0] == number;
}

// ECPrivateKey. `curve` is the one that PKCS#8 names; null: it has to name one itself.
std::optional<PlainEcKey> ReadSec1(Octets der, const Curve* curve) {
  const auto sequence = OneValue(der, der::kSequence);
  if (!sequence) return std::nullopt;
  DerReader reader(sequence->content);
  if (!IsNumber(reader.Next(der::kInteger), 1)) return std::nullopt;
  const auto scalar = reader.Next(der::kOctetString);
  if (!scalar) return std::nullopt;
  if (const auto parameters = reader.Next(der::Around(0))) {
    const Curve* named = CurveOf(parameters->content);
    if (named == nullptr || (curve != nullptr && named != curve)) return std::nullopt;
    curve = named;
  }
  if (curve == nullptr || scalar->content.size() != curve->octets) return std::nullopt;
  PlainEcKey key{curve->kind, scalar->content, {}};
  if (const auto around = reader.Next(der::Around(1))) {
    const auto bits = OneValue(around->content, der::kBitString);
    const auto point = bits ? WholeOctets(bits->content) : std::nullopt;
    if (!point || point->size() != 1 + 2 * curve->octets || (*point)[0] != 0x04) {
      return std::nullopt;
    }
    key.point = *point;
  }
  return reader.done() ? std::optional(key) : std::nullopt;
}

// PrivateKeyInfo (RFC 5208 section 5).
std::optional<PlainEcKey> ReadPkcs8(Octets der) {
  const auto sequence = OneValue(der, der::kSequence);
  if (!sequence) return std::nullopt;
  DerReader reader(sequence->content);
  if (!IsNumber(reader.Next(der::kInteger), 0)) return std::nullopt;
  const auto algorithm = reader.Next(der::kSequence);
  const auto octets = reader.Next(der::kOctetString);
  if (!algorithm || !octets || !reader.done()) return std::nullopt;
  if (algorithm->content.size() < kEcPublicKey.size() ||
      !Same(algorithm->content.first(kEcPublicKey.size()), OctetsOf(kEcPublicKey))) {
    return std::nullopt;
  }
  const Curve* curve = CurveOf(algorithm->content.subspan(kEcPublicKey.size()));
  return curve == nullptr ? std::nullopt : ReadSec1(octets->content, curve);
}

// --- Computing -----------------------------------------------------------------------------------

struct Free {
  void operator()(EC_GROUP* p) const { EC_GROUP_free(p); }
  void operator()(EC_POINT* p) const { EC_POINT_clear_free(p); }
  void operator()(BIGNUM* p) const { BN_clear_free(p); }
  void operator()(BN_CTX* p) const { BN_CTX_free(p); }
};

// What multiplying takes. A curve costs more to set up than to use, so each thread keeps its own.
struct Multiplier {
  explicit Multiplier(int nid)
      : group(EC_GROUP_new_by_curve_name(nid)),
        context(BN_CTX_secure_new()),
        point(group == nullptr ? nullptr : EC_POINT_new(group.get())) {}
  bool valid() const { return context != nullptr && point != nullptr; }

  std::unique_ptr<EC_GROUP, Free> group;
  std::unique_ptr<BN_CTX, Free> context;
  std::unique_ptr<EC_POINT, Free> point;
};

Multiplier& MultiplierOf(const Curve& curve) {
  thread_local std::array<std::unique_ptr<Multiplier>, kCurves.size()> multipliers;
  auto& multiplier = multipliers[static_cast<size_t>(&curve - kCurves.data())];
  if (multiplier == nullptr) multiplier = std::make_unique<Multiplier>(curve.nid);
  return *multiplier;
}

// --- Encoding ------------------------------------------------------------------------------------

// Octets in front of `content` of a value: its identifier and length.
void PutHeader(std::vector<unsigned char>& out, unsigned char tag, size_t length) {
  out.push_back(tag);
  if (length >= 0x100) {
    out.push_back(0x82);
    out.push_back(static_cast<unsigned char>(length >> 8));
  } else if (length >= 0x80) {
    out.push_back(0x81);
  }
  out.push_back(static_cast<unsigned char>(length));
}

size_t SizeWithHeader(size_t length) {
  return length + (length >= 0x100 ? 4 : (length >= 0x80 ? 3 : 2));
}

void Put(std::vector<unsigned char>& out, Octets octets) {
  out.insert(out.end(), octets.begin(), octets.end());
}

}  // namespace

std::optional<PlainEcKey> ReadPlainEcKey(std::string_view label, Octets der) {
  if (label == "PRIVATE KEY") return ReadPkcs8(der);
  if (label == "EC PRIVATE KEY") return ReadSec1(der, nullptr);
  return std::nullopt;
}

std::optional<std::vector<unsigned char>> PointOf(const PlainEcKey& key) {
  const Curve* curve = CurveOf(key.kind);
  if (curve == nullptr) return std::nullopt;
  const Multiplier& multiplier = MultiplierOf(*curve);
  const std::unique_ptr<BIGNUM, Free> scalar(BN_secure_new());
  std::vector<unsigned char> point(1 + 2 * curve->octets);
  const bool made =
      multiplier.valid() && scalar != nullptr &&
      BN_bin2bn(key.scalar.data(), static_cast<int>(key.scalar.size()), scalar.get()) != nullptr &&
      BN_is_zero(scalar.get()) == 0 &&
      BN_ucmp(scalar.get(), EC_GROUP_get0_order(multiplier.group.get())) < 0 &&
      EC_POINT_mul(multiplier.group.get(), multiplier.point.get(), scalar.get(), nullptr, nullptr,
                   multiplier.context.get()) == 1 &&
      EC_POINT_point2oct(multiplier.group.get(), multiplier.point.get(),
                         POINT_CONVERSION_UNCOMPRESSED, point.data(), point.size(),
                         multiplier.context.get()) == point.size();
  if (made) return point;
  ERR_clear_error();
  return std::nullopt;
}

SecretBytes EncodePlainEcKey(const PlainEcKey& key, Octets point) {
  const Curve* curve = CurveOf(key.kind);
  if (curve == nullptr) return {};
  const size_t bits = SizeWithHeader(1 + point.size());
  const size_t sec1 = 3 + SizeWithHeader(key.scalar.size()) + SizeWithHeader(bits);
  const size_t algorithm = kEcPublicKey.size() + curve->oid.size();
  const size_t octets = SizeWithHeader(sec1);
  const size_t whole = 3 + SizeWithHeader(algorithm) + SizeWithHeader(octets);
  constexpr std::array<unsigned char, 3> kZero = {der::kInteger, 1, 0};
  constexpr std::array<unsigned char, 3> kOne = {der::kInteger, 1, 1};

  std::vector<unsigned char> out;
  out.reserve(SizeWithHeader(whole));  // never moved: no copy of the scalar is left behind
  PutHeader(out, der::kSequence, whole);
  Put(out, kZero);
  PutHeader(out, der::kSequence, algorithm);
  Put(out, OctetsOf(kEcPublicKey));
  Put(out, OctetsOf(curve->oid));
  PutHeader(out, der::kOctetString, octets);
  PutHeader(out, der::kSequence, sec1);
  Put(out, kOne);
  PutHeader(out, der::kOctetString, key.scalar.size());
  Put(out, key.scalar);
  PutHeader(out, der::Around(1), bits);
  PutHeader(out, der::kBitString, 1 + point.size());
  out.push_back(0);
  Put(out, point);
  return SecretBytes(std::move(out));
}

}  // namespace postern::pki
