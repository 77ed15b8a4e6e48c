// Which word was meant. The distance is Damerau's (optimal string alignment), because swapped
// neighbours ("sevrers") are the commonest slip of all and should cost one step, not two.
#include "postern/config/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace postern::config {
namespace {

// Longer words are never compared: no key is half as long, and the cost grows with the square.
constexpr size_t kLongestWord = 64;
constexpr size_t kLongestQuote = 80;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

size_t Distance(std::string_view a, std::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<size_t> cost((a.size() + 1) * width);
  const auto at = [&](size_t i, size_t j) -> size_t& { return cost[i * width + j]; };
  for (size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = Lower(a[i - 1]) == Lower(b[j - 1]);
      size_t best = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + !same});
      if (i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
          Lower(a[i - 2]) == Lower(b[j - 1])) {
        best = std::min(best, at(i - 2, j - 2) + 1);
      }
      at(i, j) = best;
    }
  }
  return at(a.size(), b.size());
}

}  // namespace

std::string_view Nearest(std::string_view word, std::span<const std::string_view> known) {
  std::string_view nearest;
  if (word.size() > kLongestWord) return nearest;
  size_t least = SIZE_MAX;
  for (const std::string_view candidate : known) {
    if (candidate.size() > kLongestWord) continue;
    // A word cut short ("addr", "warn") is as good as one letter wrong.
    const bool cut = word.size() >= 3 && candidate.starts_with(word);
    const size_t distance = cut ? 1 : Distance(word, candidate);
    // A third of the word may be wrong; more is another word.
    const size_t allowed = std::max<size_t>(1, std::max(word.size(), candidate.size()) / 3);
    if (distance <= allowed && distance < candidate.size() && distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, kLongestQuote)) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7F) {
      quoted += fmt::format("\\x{:02x}", octet);
    } else {
      quoted += c;
    }
  }
  if (text.size() > kLongestQuote) {
    // Never leave half a UTF-8 character behind.
    while ((static_cast<unsigned char>(quoted.back()) & 0xC0) == 0x80) quoted.pop_back();
    if (static_cast<unsigned char>(quoted.back()) >= 0xC0) quoted.pop_back();
    quoted += "...";
  }
  quoted += '"';
  return quoted;
}

std::string QuoteList(std::span<const std::string_view> words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += Quote(words[i]);
  }
  return list;
}

}  // namespace postern::config
