// FieldFilter finds, in octets that pass by, names of fields by which servers are told who a client
// is, and overwrites them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "postern/base/bytes.h"

namespace postern::mail {

class FieldFilter {
 public:
  // `names`: what the fields' names begin with, in capitals; borrowed.
  explicit FieldFilter(std::span<const std::string_view> names) : names_(names) {}

  // Take: see Gate::TakeClient.
  size_t Take(MutableBytes octets, std::string& before);
  std::string LetGo();

 private:
  void Look(char octet);
  bool IsWhole() const;

  const std::span<const std::string_view> names_;
  bool in_word_ = false;   // the octet before belongs to a word
  bool matching_ = false;  // the word begins as a name does
  bool escaped_ = false;   // the octet before is a backslash
  std::string word_;       // with matching_, in capitals and without backslashes
  std::string held_;       // what of it came in earlier octets, as it came
};

}  // namespace postern::mail
