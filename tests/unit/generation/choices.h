// The certificates that serve a name, as tests look at them.
#pragma once

#include <cstdint>

#include "postern/generation/certificate_index.h"

namespace postern::generation {

// The first of them; kNobody when there is none.
inline constexpr uint32_t kNobody = UINT32_MAX;
inline uint32_t First(const Choices& choices) {
  return choices.empty() ? kNobody : choices.certificates[0];
}

}  // namespace postern::generation
