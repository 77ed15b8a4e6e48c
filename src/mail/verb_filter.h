// VerbFilter finds, in octets that pass by, the commands that are not to reach a server, and
// overwrites them. So it does with parameters of a command that may reach it.
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
  // What may stand behind `verb` and is to be overwritten; all in capitals, and borrowed.
  struct Parameters {
    std::string_view verb;
    std::span<const std::string_view> names;
  };
  // `verbs`: in capitals; borrowed. `parameters`: with kFirst.
  VerbFilter(Place place, std::span<const std::string_view> verbs, Parameters parameters = {})
      : place_(place), verbs_(verbs), parameters_(parameters) {}

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
    kRest,   // behind the place of a command, and of its parameters
  };
  void Look(char octet);
  void EndWord(bool by_space);
  bool Matches(char octet) const;
  bool IsWhole() const;
  std::span<const std::string_view> sought() const {
    return in_parameters_ ? parameters_.names : verbs_;
  }

  const Place place_;
  const std::span<const std::string_view> verbs_;
  const Parameters parameters_;
  At at_ = At::kGap;
  bool word_seen_ = false;      // in this line
  bool space_seen_ = false;     // behind that word
  bool in_parameters_ = false;  // behind the verb of parameters_
  std::string word_;            // with kMatch, in capitals: bounded by the longest verb
  std::string held_;            // what of word_ came in earlier octets, as it came
  bool found_ = false;          // word_ is a verb to be overwritten
};

}  // namespace postern::mail
