// VerbFilter finds, in octets that pass by, the commands that are not to reach a server, and
// overwrites them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "postern/base/bytes.h"

namespace postern::mail {

class VerbFilter {
 public:
  // Where in a line the command stands.
  enum class Place : uint8_t {
    kFirst,
    kBehindTag,  // IMAP
  };
  // `verbs`: in capitals; borrowed.
  VerbFilter(Place place, std::span<const std::string_view> verbs) : place_(place), verbs_(verbs) {}

  // Take: see Gate::TakeClient.
  size_t Take(MutableBytes octets, std::string& before);
  // What is held back: no more octets come, or they are looked at no more.
  std::string LetGo();
  bool holds() const { return !held_.empty(); }
  // The next octet begins a line.
  void BeginLine();

 private:
  enum class At : uint8_t {
    kGap,    // in front of a word that may be a command
    kMatch,  // in a word that begins as a command does
    kOther,  // in a word that is none
    kRest,   // behind the place of a command
  };
  void Look(char octet);
  void EndWord(bool by_space);
  bool Matches(char octet) const;
  bool IsWhole() const;

  const Place place_;
  const std::span<const std::string_view> verbs_;
  At at_ = At::kGap;
  bool word_seen_ = false;   // in this line
  bool space_seen_ = false;  // behind that word
  std::string word_;         // with kMatch, in capitals: bounded by the longest verb
  std::string held_;         // what of word_ came in earlier octets, as it came
  bool found_ = false;       // word_ is a verb to be overwritten
};

}  // namespace postern::mail
