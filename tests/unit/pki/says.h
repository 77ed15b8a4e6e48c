// For messages: each of `phrases` has to stand in `text`.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "tests/unit/catch.h"

namespace postern::pki {

inline bool Says(const std::string& text, std::initializer_list<std::string_view> phrases) {
  for (const std::string_view phrase : phrases) {
    if (text.find(phrase) != std::string::npos) continue;
    UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
    return false;
  }
  return true;
}

}  // namespace postern::pki
