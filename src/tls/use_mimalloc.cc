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

void* Allocate(size_t size, const char*, int) { return mi_malloc(size); }
void* Reallocate(void* memory, size_t size, const char*, int) { return mi_realloc(memory, size); }
void Free(void* memory, const char*, int) { mi_free(memory); }

}  // namespace

bool UseMimalloc() { return CRYPTO_set_mem_functions(Allocate, Reallocate, Free) == 1; }
void ReleaseFreedMemory() { mi_collect(true); }
#else
bool UseMimalloc() { return true; }
void ReleaseFreedMemory() {}
#endif

}  // namespace postern::tls
