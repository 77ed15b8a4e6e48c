// OpenSSL has such names too, but in other words (SSL_alert_desc_string_long says "handshake
// failure") and not for numbers that it does not implement, which are those to be explained.
#include "tls/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace postern::tls {
namespace {

template <typename Number, size_t N>
std::string_view Look(const std::array<std::pair<Number, std::string_view>, N>& table,
                      Number number) {
  for (const auto& [key, name] : table) {
    if (key == number) return name;
  }
  return {};
}

constexpr std::array<std::pair<uint16_t, std::string_view>, 28> kGroups = {{
    {21, "P-224"},
    {23, "P-256"},
    {24, "P-384"},
    {25, "P-521"},
    {22, "secp256k1"},
    {29, "X25519"},
    {30, "X448"},
    {256, "ffdhe2048"},
    {257, "ffdhe3072"},
    {258, "ffdhe4096"},
    {0x11EB, "SecP256r1MLKEM768"},
    {0x11EC, "X25519MLKEM768"},
    {0x11ED, "SecP384r1MLKEM1024"},
    {0x0201, "MLKEM768"},
    {0x6399, "X25519Kyber768Draft00"},
    {0x0200, "MLKEM512"},
    {0x0202, "MLKEM1024"},
    {26, "brainpoolP256r1"},
    {27, "brainpoolP384r1"},
    {28, "brainpoolP512r1"},
    {259, "ffdhe6144"},
    {260, "ffdhe8192"},
    // Other names of those above; the first one of a number is shown.
    {21, "secp224r1"},
    {23, "secp256r1"},
    {23, "prime256v1"},
    {24, "secp384r1"},
    {25, "secp521r1"},
    {29, "ecdh_x25519"},
}};

constexpr std::array<std::pair<int, std::string_view>, 35> kAlerts = {{
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {21, "decryption_failed"},
    {22, "record_overflow"},
    {30, "decompression_failure"},
    {40, "handshake_failure"},
    {41, "no_certificate"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {60, "export_restriction"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {100, "no_renegotiation"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {111, "certificate_unobtainable"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {114, "bad_certificate_hash_value"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
    {121, "ech_required"},
}};

}  // namespace

std::string VersionName(uint16_t version) {
  constexpr std::array<std::string_view, 5> kNames = {"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2",
                                                      "TLSv1.3"};
  if (version == 0x0002) return "SSLv2";
  if ((version >> 8) == 3 && (version & 0xFF) < kNames.size()) {
    return std::string(kNames[version & 0xFF]);
  }
  return fmt::format("version 0x{:04x}", version);
}

std::string_view GroupName(uint16_t group) { return Look(kGroups, group); }

uint16_t GroupNumber(std::string_view name) {
  const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  for (const auto& [number, known] : kGroups) {
    if (std::ranges::equal(name, known, same)) return number;
  }
  return 0;
}

std::string_view AlertName(int alert) { return Look(kAlerts, alert); }

const char* AlertPhrase(Peer peer, int alert) {
  using Phrases = std::array<std::string, 256>;
  static const std::array<Phrases, 2> phrases = [] {
    std::array<Phrases, 2> made;
    for (int i = 0; i < 256; ++i) {
      const std::string_view known = AlertName(i);
      const std::string name = known.empty() ? std::to_string(i) : std::string(known);
      const auto at = static_cast<size_t>(i);
      made[0][at] = "the client sent alert " + name;
      made[1][at] = "the server sent alert " + name;
    }
    // In TLS 1.3 a server judges our certificate when to us the handshake is over.
    made[1][116] += ": it wants a client certificate (tls_certificate)";
    return made;
  }();
  return phrases[peer == Peer::kServer].at(static_cast<size_t>(alert)).c_str();
}

}  // namespace postern::tls
