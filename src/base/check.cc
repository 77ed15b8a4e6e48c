// The last words of a process that found a bug of ours: straight to descriptor 2, without
// allocation, because the heap may be what is broken.
#include "postern/base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace postern {

void CheckFailed(const char* file, int line, const char* expression) noexcept {
  char text[512];
  const int size = std::snprintf(text, sizeof text, "postern: bug: %s:%d: check failed: %s\n", file,
                                 line, expression);
  if (size > 0) {
    const size_t length =
        static_cast<size_t>(size) < sizeof text ? static_cast<size_t>(size) : sizeof text - 1;
    [[maybe_unused]] const ssize_t written = ::write(2, text, length);
  }
  std::abort();
}

}  // namespace postern
