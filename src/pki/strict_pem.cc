// Base64 by a table of 256 entries. Which entries are touched depends on the key; so it does in
// OpenSSL's reader, and nobody else runs code while the master loads what only it may read.
#include "pki/strict_pem.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace postern::pki {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
constexpr size_t kLine = 64;
constexpr uint8_t kNoDigit = 0xFF;

constexpr std::array<uint8_t, 256> MakeDigits() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return digits;
}
constexpr std::array<uint8_t, 256> kDigits = MakeDigits();

// The next line without its LF; nothing when no LF ends it.
std::optional<std::string_view> TakeLine(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

bool IsLabel(std::string_view label) {
  return !label.empty() && std::ranges::all_of(label, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ';
  });
}

// Appends what a line says; `last` may be padded. False when it is no Base64.
bool Decode(std::string_view line, bool last, std::vector<unsigned char>& octets) {
  size_t padding = 0;
  if (last) {
    while (padding < 2 && line.size() > padding && line[line.size() - 1 - padding] == '=') {
      ++padding;
    }
  }
  for (size_t at = 0; at < line.size(); at += 4) {
    const bool padded = at + 4 == line.size() && padding > 0;
    const size_t digits = padded ? 4 - padding : 4;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t digit = i < digits ? kDigits[static_cast<unsigned char>(line[at + i])] : 0;
      if (digit == kNoDigit) return false;
      group = group << 6 | digit;
    }
    // Bits behind the last octet are zero (RFC 4648 section 3.5).
    if (padded && (group & ((1U << (8 * padding)) - 1)) != 0) return false;
    for (size_t i = 0; i < digits - 1; ++i) {
      octets.push_back(static_cast<unsigned char>(group >> (16 - 8 * i)));
    }
  }
  return true;
}

// The lines of a block's body; `rest` is then at its end line.
std::optional<SecretBytes> TakeBody(std::string_view& rest) {
  const size_t end = rest.find('-');
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  std::string_view body = rest.substr(0, end);
  rest.remove_prefix(end);
  std::vector<unsigned char> octets;
  octets.reserve(body.size() / 4 * 3 + 3);  // never moved, so that no copy is left behind
  bool whole = true;
  while (whole && !body.empty()) {
    const auto line = TakeLine(body);
    const bool last = body.empty();
    whole = line && !line->empty() && line->size() % 4 == 0 &&
            (last ? line->size() <= kLine : line->size() == kLine) && Decode(*line, last, octets);
  }
  SecretBytes secret(std::move(octets));
  if (!whole) return std::nullopt;
  return secret;
}

// A line that begins with `first`, then a label and dashes.
std::optional<std::string_view> TakeLabel(std::string_view& rest, std::string_view first) {
  auto line = TakeLine(rest);
  if (!line || !line->starts_with(first) || !line->ends_with(kDashes) ||
      line->size() < first.size() + kDashes.size()) {
    return std::nullopt;
  }
  line->remove_prefix(first.size());
  line->remove_suffix(kDashes.size());
  return IsLabel(*line) ? line : std::nullopt;
}

}  // namespace

std::optional<std::vector<StrictBlock>> ReadStrictPem(std::string_view text) {
  std::vector<StrictBlock> blocks;
  while (!text.empty()) {
    const auto label = TakeLabel(text, kBegin);
    if (!label) return std::nullopt;
    auto der = TakeBody(text);
    if (!der || TakeLabel(text, kEnd) != label) return std::nullopt;
    blocks.push_back({*label, std::move(*der)});
  }
  return blocks;
}

}  // namespace postern::pki
