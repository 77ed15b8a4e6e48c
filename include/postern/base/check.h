// POSTERN_CHECK: for what only a bug of ours can break. It aborts in release builds too; the
// master then replaces the worker, which is safer than going on with broken state.
#pragma once

namespace postern {

[[noreturn]] void CheckFailed(const char* file, int line, const char* expression) noexcept;

}  // namespace postern

#define POSTERN_CHECK(expression)                     \
  (__builtin_expect(static_cast<bool>(expression), 1) \
       ? static_cast<void>(0)                         \
       : ::postern::CheckFailed(__FILE__, __LINE__, #expression))
