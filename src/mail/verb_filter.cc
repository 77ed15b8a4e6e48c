// What a server takes for a command is the server's to decide, and the filter cannot know whether
// it reads a literal, an answer to a challenge or a command: who tried to find out could be misled,
// and what is misled here is a client's identity. So every line counts as a command, whatever it
// stands in, and whatever might end a line (a lone CR, a lone LF) or stand before a command (space,
// controls) does. That costs who logs in nothing: a verb with a space or a line end behind it
// stands at the beginning of a line in no user's name, password or response to a challenge, of
// which those of SASL are in Base64.
#include "mail/verb_filter.h"

#include <algorithm>
#include <utility>

#include "mail/words.h"

namespace postern::mail {
namespace {

// Same length, and a command in no protocol.
constexpr char kNothing = 'X';

bool IsLineEnd(char octet) { return octet == '\r' || octet == '\n'; }
bool IsGap(char octet) { return static_cast<unsigned char>(octet) <= ' ' || octet == '\x7F'; }

// Whether a word goes on with it. The marks are those of Base64, in which "STLS" is a word as any.
bool GoesOn(char octet) {
  return (octet >= '0' && octet <= '9') || (octet >= 'A' && octet <= 'Z') ||
         (octet >= 'a' && octet <= 'z') || octet == '+' || octet == '/' || octet == '=';
}

}  // namespace

size_t VerbFilter::Take(MutableBytes octets, std::string& before) {
  size_t word_start = 0;  // of the word being matched, as far as it lies in `octets`
  for (size_t i = 0; i < octets.size(); ++i) {
    const bool matched = at_ == At::kMatch;
    Look(static_cast<char>(octets[i]));
    if (!matched && at_ == At::kMatch) word_start = i;
    if (!matched || at_ == At::kMatch) continue;
    if (found_) {
      std::ranges::fill(held_, kNothing);
      std::ranges::fill(octets.subspan(word_start, i - word_start), std::byte{kNothing});
      found_ = false;
    }
    before += held_;
    held_.clear();
  }
  if (at_ != At::kMatch) return octets.size();
  held_ += AsText(octets.subspan(word_start));
  return word_start;
}

std::string VerbFilter::LetGo() {
  // Its line has no end, and still.
  if (at_ == At::kMatch && IsWhole()) std::ranges::fill(held_, kNothing);
  BeginLine();
  return std::exchange(held_, {});
}

void VerbFilter::BeginLine() {
  at_ = At::kGap;
  word_seen_ = space_seen_ = in_parameters_ = false;
  word_.clear();
}

void VerbFilter::Look(char octet) {
  if (IsGap(octet)) {
    if (at_ == At::kMatch) found_ = IsWhole();
    if (IsLineEnd(octet)) {
      BeginLine();
      return;
    }
    if (at_ == At::kMatch || at_ == At::kOther) EndWord(octet == ' ');
    if (at_ == At::kGap && octet == ' ') space_seen_ = word_seen_;
    return;
  }
  if (at_ == At::kGap) {
    word_.clear();
    at_ = At::kMatch;
  }
  if (at_ != At::kMatch) return;
  if (Matches(octet)) {
    word_ += ToUpper(octet);
    return;
  }
  // Behind a parameter's name stands its value.
  found_ = IsWhole() && (!GoesOn(octet) || (in_parameters_ && octet == '='));
  at_ = At::kOther;
}

// Behind the first word: in IMAP the command may follow. Servers differ in what they let stand
// between a tag and a command, and in whether a tag may be missing behind a space, so the last word
// that may be one is that behind the first space, and all before it may be one, too.
void VerbFilter::EndWord(bool by_space) {
  const bool has_parameters = !word_seen_ && at_ == At::kMatch && word_ == parameters_.verb;
  if (in_parameters_ || has_parameters) {
    in_parameters_ = word_seen_ = true;
    at_ = At::kGap;
    return;
  }
  const bool last = place_ == Place::kFirst || space_seen_;
  word_seen_ = true;
  space_seen_ = by_space;
  at_ = last ? At::kRest : At::kGap;
}

bool VerbFilter::Matches(char octet) const {
  const auto goes_on = [&](std::string_view name) {
    return name.size() > word_.size() && name.starts_with(word_) &&
           name[word_.size()] == ToUpper(octet);
  };
  return std::ranges::any_of(sought(), goes_on) || (!in_parameters_ && goes_on(parameters_.verb));
}

bool VerbFilter::IsWhole() const {
  return std::ranges::find(sought(), std::string_view(word_)) != sought().end();
}

}  // namespace postern::mail
