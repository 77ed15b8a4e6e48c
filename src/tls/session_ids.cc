// libssl asks with the ID that the client sends, and tells of each session that it has begun under
// an ID. A client that offers to take tickets is given one and no ID, so that none is told of it.
//
// TLS 1.3 can have "stateful tickets", IDs in a ticket's place. They are neither given nor taken:
// a listener without tickets has full handshakes in TLS 1.3, which is what its administrator asked
// for, and no session of TLS 1.3 is in the clear in memory.
//
// libssl's third callback, which removes sessions, is not used: it comes for every connection that
// ends without a close_notify, as clients' often do. RFC 5246 section 7.2.1 lets those resume. What
// is forgotten is a session whose resumption has failed (section 7.2.2).
#include "tls/session_ids.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <array>
#include <cstddef>
#include <span>

#include "postern/base/bytes.h"
#include "postern/os/clock.h"

namespace postern::tls {
namespace {

// The cache judges the age, by a clock that nobody sets; libssl's own limit is out of the way.
constexpr long kLibsslTimeoutS = 7 * 86'400;

int CacheIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

shm::SessionIdCache* CacheOf(const SSL* ssl) {
  return static_cast<shm::SessionIdCache*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), CacheIndex()));
}

uint64_t NowS() { return os::MonotonicMs() / 1000; }

Bytes IdOf(const SSL_SESSION* session) {
  unsigned size = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &size);
  return std::as_bytes(std::span(id, size));
}

// Octets of a session, wiped when they go.
struct Octets {
  std::array<std::byte, shm::kStoredSession> bytes{};
  ~Octets() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

int NewSession(SSL* ssl, SSL_SESSION* session) {
  constexpr int kNotKept = 0;  // libssl's reference stays libssl's
  shm::SessionIdCache* cache = CacheOf(ssl);
  if (cache == nullptr || SSL_version(ssl) >= TLS1_3_VERSION) return kNotKept;
  SSL_SESSION_set_timeout(session, kLibsslTimeoutS);
  Octets octets;
  const int size = i2d_SSL_SESSION(session, nullptr);
  if (size <= 0) return kNotKept;
  if (static_cast<size_t>(size) <= octets.bytes.size()) {
    auto* out = reinterpret_cast<unsigned char*>(octets.bytes.data());
    i2d_SSL_SESSION(session, &out);
    cache->Store(IdOf(session), Bytes(octets.bytes).first(static_cast<size_t>(size)), NowS());
  } else {
    cache->Refuse();
  }
  return kNotKept;
}

SSL_SESSION* FindSession(SSL* ssl, const unsigned char* id, int id_size, int* copy) {
  *copy = 0;  // the reference given is libssl's
  shm::SessionIdCache* cache = CacheOf(ssl);
  if (cache == nullptr || id_size <= 0 || SSL_version(ssl) >= TLS1_3_VERSION) return nullptr;
  Octets octets;
  const auto size =
      cache->Find(std::as_bytes(std::span(id, static_cast<size_t>(id_size))), octets.bytes, NowS());
  if (!size) return nullptr;
  const auto* in = reinterpret_cast<const unsigned char*>(octets.bytes.data());
  SSL_SESSION* session = d2i_SSL_SESSION(nullptr, &in, static_cast<long>(*size));
  // What cannot be read, for one a session that another OpenSSL has written, is as good as none.
  if (session == nullptr) ERR_clear_error();
  return session;
}

}  // namespace

bool UseSessionIds(SSL_CTX* context, shm::SessionIdCache& cache) {
  if (!cache.enabled()) return true;
  if (SSL_CTX_set_ex_data(context, CacheIndex(), &cache) != 1) return false;
  // Without SSL_SESS_CACHE_SERVER libssl gives out no IDs. Its own cache, of this process alone,
  // stays unused.
  SSL_CTX_set_session_cache_mode(
      context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
  SSL_CTX_sess_set_new_cb(context, NewSession);
  SSL_CTX_sess_set_get_cb(context, FindSession);
  return true;
}

void ForgetSession(const SSL* ssl) {
  shm::SessionIdCache* cache = ssl == nullptr ? nullptr : CacheOf(ssl);
  if (cache == nullptr || SSL_session_reused(ssl) != 1 || SSL_version(ssl) >= TLS1_3_VERSION) {
    return;
  }
  if (const SSL_SESSION* session = SSL_get_session(ssl)) cache->Forget(IdOf(session), NowS());
}

}  // namespace postern::tls
