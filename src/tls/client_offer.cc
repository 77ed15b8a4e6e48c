// Reading a ClientHello within libssl's callback. libssl has parsed the frame; the few extensions
// needed here are read from their octets, because it has not parsed those yet.
#include "tls/client_offer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"
#include "tls/alpn.h"
#include "tls/names.h"
#include "tls/schemes.h"

namespace postern::tls {
namespace {

constexpr size_t kListed = 6;  // names in one clause; the rest is counted

using Octets = std::span<const unsigned char>;

std::optional<Octets> Extension(SSL* ssl, unsigned type) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, type, &data, &size) != 1) return {};
  return Octets(data, size);
}

// A list of 16-bit values behind a length of `length_octets` octets; malformed is empty, libssl
// will say so itself.
std::vector<uint16_t> Values(Octets octets, size_t length_octets) {
  if (octets.size() < length_octets) return {};
  octets = octets.subspan(length_octets);
  std::vector<uint16_t> values;
  values.reserve(octets.size() / 2);
  for (size_t i = 0; i + 1 < octets.size(); i += 2) {
    values.push_back(static_cast<uint16_t>(octets[i] << 8 | octets[i + 1]));
  }
  return values;
}

// RFC 5246 appendix E.2: three octets each, the first of them zero for suites of TLS.
std::vector<uint16_t> Sslv2Ciphers(Octets octets) {
  std::vector<uint16_t> values;
  for (size_t i = 0; i + 2 < octets.size(); i += 3) {
    if (octets[i] == 0) values.push_back(static_cast<uint16_t>(octets[i + 1] << 8 | octets[i + 2]));
  }
  return values;
}

// RFC 8701: values of the form 0x?A?A are sent to keep servers honest and mean nothing.
bool IsGrease(uint16_t value) {
  return (value & 0x0F0F) == 0x0A0A && (value >> 8) == (value & 0xFF);
}

// Values that stand among the suites and are none: RFC 5746 section 3.3, RFC 7507 section 2.
bool IsSignal(uint16_t suite) { return suite == 0x00FF || suite == 0x5600; }

bool IsHostName(std::string_view name) {
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

// RFC 6066 section 3: a list of names, each with a type and a length; host_name is type 0, and
// there is one name of a type at most. Like libssl, only a list of exactly one host_name is taken.
std::string ReadServerName(Octets octets) {
  const auto number = [&](size_t at) { return size_t{octets[at]} << 8 | octets[at + 1]; };
  if (octets.size() < 5 || number(0) != octets.size() - 2 || octets[2] != 0) return {};
  const size_t length = number(3);
  if (length == 0 || length != octets.size() - 5) return {};
  std::string name(AsText(std::as_bytes(octets.subspan(5))));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (name.ends_with('.')) name.pop_back();
  // What cannot be a host name (an address literal with colons, a zero octet) is no name to look
  // up; the client is served the default certificate.
  return name.size() <= limits::kMaxHostName && IsHostName(name) ? name : std::string();
}

template <typename Name>
std::string List(std::span<const uint16_t> values, Name name) {
  std::string text;
  size_t listed = 0;
  size_t more = 0;
  for (const uint16_t value : values) {
    if (IsGrease(value)) continue;
    if (listed == kListed) {
      ++more;
      continue;
    }
    text += (listed++ == 0 ? "" : ", ") + name(value);
  }
  if (more > 0) text += fmt::format(" and {} more", more);
  return text.empty() ? "none" : text;
}

}  // namespace

bool ClientOffer::OffersCipher(uint16_t id) const { return std::ranges::count(ciphers, id) > 0; }
bool ClientOffer::OffersGroup(uint16_t id) const { return std::ranges::count(groups, id) > 0; }

ClientOffer ReadOffer(SSL* ssl) {
  ClientOffer offer;
  offer.seen = true;
  if (const auto list = Extension(ssl, TLSEXT_TYPE_supported_versions)) {
    offer.versions = Values(*list, 1);
    offer.lists_versions = true;
  } else {
    offer.versions = {static_cast<uint16_t>(SSL_client_hello_get0_legacy_version(ssl))};
  }
  const unsigned char* ciphers = nullptr;
  const size_t size = SSL_client_hello_get0_ciphers(ssl, &ciphers);
  offer.ciphers = SSL_client_hello_isv2(ssl) == 1 ? Sslv2Ciphers(Octets(ciphers, size))
                                                  : Values(Octets(ciphers, size), 0);
  std::erase_if(offer.ciphers, IsSignal);
  if (const auto list = Extension(ssl, TLSEXT_TYPE_supported_groups)) {
    offer.groups = Values(*list, 2);
  }
  if (const auto list = Extension(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation)) {
    if (list->size() > 2) offer.protocols = AlpnNames(std::as_bytes(list->subspan(2)));
  }
  if (const auto list = Extension(ssl, TLSEXT_TYPE_signature_algorithms)) {
    offer.signatures = Values(*list, 2);
  }
  if (const auto list = Extension(ssl, TLSEXT_TYPE_signature_algorithms_cert)) {
    offer.certificate_signatures = Values(*list, 2);
  }
  if (const auto name = Extension(ssl, TLSEXT_TYPE_server_name)) offer.sni = ReadServerName(*name);
  return offer;
}

std::string DescribeVersions(const ClientOffer& offer) {
  uint16_t best = 0;
  for (const uint16_t version : offer.versions) {
    if (!IsGrease(version)) best = std::max(best, version);
  }
  return best == 0 ? "no version" : fmt::format("at most {}", VersionName(best));
}

std::string DescribeCiphers(SSL* ssl, const ClientOffer& offer) {
  return List(offer.ciphers, [ssl](uint16_t id) {
    const std::array<unsigned char, 2> octets = {static_cast<unsigned char>(id >> 8),
                                                 static_cast<unsigned char>(id & 0xFF)};
    const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, octets.data());
    return cipher == nullptr ? fmt::format("0x{:04x}", id)
                             : std::string(SSL_CIPHER_get_name(cipher));
  });
}

std::string DescribeGroups(const ClientOffer& offer) {
  return List(offer.groups, [](uint16_t id) {
    const std::string_view name = GroupName(id);
    return name.empty() ? fmt::format("0x{:04x}", id) : std::string(name);
  });
}

std::string DescribeSignatures(const ClientOffer& offer) {
  return List(offer.signatures, SchemeName);
}

std::string DescribeProtocols(const ClientOffer& offer) {
  std::string text;
  for (const std::string& name : offer.protocols) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace postern::tls
