// OpenSSL's memory through mimalloc.
#include <openssl/crypto.h>

#include "postern/tls/server_contexts.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <mimalloc.h>
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
