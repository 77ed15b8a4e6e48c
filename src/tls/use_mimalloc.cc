// OpenSSL's memory through mimalloc; and C++'s, whose operator new of mimalloc's own is not used:
// built as C, as Debian's is, it ends the process when there is no memory, where the language has
// an exception and a handler.
#include <openssl/crypto.h>

#include "postern/tls/server_contexts.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <mimalloc.h>

#include <cstddef>
#include <new>
#define POSTERN_MIMALLOC 1
#endif

namespace postern::tls {

#ifdef POSTERN_MIMALLOC
namespace {

// One option under two names: milliseconds until a page that is free is given back.
#if MI_MALLOC_VERSION >= 210
constexpr mi_option_t kReleaseDelay = mi_option_purge_delay;
#else
constexpr mi_option_t kReleaseDelay = mi_option_decommit_delay;
#endif

void* Allocate(size_t size, const char*, int) { return mi_malloc(size); }
void* Reallocate(void* memory, size_t size, const char*, int) { return mi_realloc(memory, size); }
void Free(void* memory, const char*, int) { mi_free(memory); }

}  // namespace

bool UseMimalloc() { return CRYPTO_set_mem_functions(Allocate, Reallocate, Free) == 1; }

PromptRelease::PromptRelease() : delay_(mi_option_get(kReleaseDelay)) {
  mi_option_set(kReleaseDelay, 0);
}
PromptRelease::~PromptRelease() {
  mi_collect(true);
  mi_option_set(kReleaseDelay, delay_);
}
#else
bool UseMimalloc() { return true; }
PromptRelease::PromptRelease() { delay_ = 0; }
PromptRelease::~PromptRelease() = default;
#endif

}  // namespace postern::tls

#ifdef POSTERN_MIMALLOC
namespace {

// What [new.delete.single] asks for: the handler may find memory, or throw.
template <typename Allocate>
void* AllocateOrThrow(Allocate allocate) {
  for (;;) {
    if (void* memory = allocate()) [[likely]]
      return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

}  // namespace

void* operator new(size_t size) {
  return AllocateOrThrow([size] { return mi_malloc(size); });
}
void* operator new[](size_t size) {
  return AllocateOrThrow([size] { return mi_malloc(size); });
}
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateOrThrow([=] { return mi_malloc_aligned(size, static_cast<size_t>(alignment)); });
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return AllocateOrThrow([=] { return mi_malloc_aligned(size, static_cast<size_t>(alignment)); });
}
void operator delete(void* memory) noexcept { mi_free(memory); }
void operator delete[](void* memory) noexcept { mi_free(memory); }
void operator delete(void* memory, size_t) noexcept { mi_free(memory); }
void operator delete[](void* memory, size_t) noexcept { mi_free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { mi_free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { mi_free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { mi_free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { mi_free(memory); }
#endif
