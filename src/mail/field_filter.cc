// As with commands (verb_filter.cc), where a name stands is not looked at: in a quoted string, in a
// literal, or where nobody would take it for one. Within quotes a backslash stands before any octet
// for some servers, so one is passed over.
#include "mail/field_filter.h"

#include <algorithm>
#include <utility>

#include "mail/words.h"

namespace postern::mail {
namespace {

constexpr char kNothing = 'X';

bool IsOfWord(char octet) {
  return (octet >= '0' && octet <= '9') || (octet >= 'A' && octet <= 'Z') ||
         (octet >= 'a' && octet <= 'z') || octet == '-';
}

}  // namespace

size_t FieldFilter::Take(MutableBytes octets, std::string& before) {
  size_t word_start = 0;  // of the word being matched, as far as it lies in `octets`
  for (size_t i = 0; i < octets.size(); ++i) {
    const bool matched = matching_;
    Look(static_cast<char>(octets[i]));
    if (!matched && matching_) word_start = i;
    if (!matched || (matching_ && !IsWhole())) continue;
    size_t end = i;
    if (matching_) {
      matching_ = false;
      end = i + 1;
      std::ranges::fill(held_, kNothing);
      std::ranges::fill(octets.subspan(word_start, end - word_start), std::byte{kNothing});
    }
    before += held_;
    held_.clear();
  }
  if (!matching_) return octets.size();
  held_ += AsText(octets.subspan(word_start));
  return word_start;
}

std::string FieldFilter::LetGo() {
  matching_ = in_word_ = escaped_ = false;
  return std::exchange(held_, {});
}

void FieldFilter::Look(char octet) {
  const bool begins = !in_word_ && IsOfWord(octet);
  const bool escapes = octet == '\\' && !escaped_;
  in_word_ = IsOfWord(octet) || (in_word_ && escapes);
  escaped_ = escapes;
  if (begins) {
    matching_ = true;
    word_.clear();
  } else if (!matching_ || escapes) {
    return;
  }
  word_ += ToUpper(octet);
  matching_ = std::ranges::any_of(
      names_, [this](std::string_view name) { return name.starts_with(word_); });
}

bool FieldFilter::IsWhole() const {
  return std::ranges::find(names_, std::string_view(word_)) != names_.end();
}

}  // namespace postern::mail
