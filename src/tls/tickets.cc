// Stateless tickets as RFC 5077 section 4 recommends them (AES-256-CBC and HMAC-SHA-256), under
// keys of the shared page. libssl makes the ticket; only keys, binding and lifetime are ours.
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>
#include <string>

namespace postern::tls {
namespace {

constexpr int kTicketIv = 16;
constexpr uint64_t kMaxLifetimeS = 604'800;  // RFC 8446 section 4.6.1: seven days

int ContextIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

int LifetimeIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// By octets of the key: 16 for keys from a file of the short form.
const EVP_CIPHER* TicketCipher(uint64_t size) {
  static const CipherPtr aes256(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr));
  static const CipherPtr aes128(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr));
  return size == 16 ? aes128.get() : aes256.get();
}

bool SetMacKey(EVP_MAC_CTX* mac, std::span<std::byte> key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

bool SetKeys(shm::TicketKey& key, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
             int encrypt) {
  const auto* aes = reinterpret_cast<const unsigned char*>(key.aes.data());
  return EVP_CipherInit_ex(cipher, TicketCipher(key.size), nullptr, aes, iv, encrypt) == 1 &&
         SetMacKey(mac, std::span(key.hmac).first(std::min<size_t>(key.size, key.hmac.size())));
}

}  // namespace

int TicketKeyCallback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                      EVP_MAC_CTX* mac, int encrypt) {
  const auto* keys = static_cast<const shm::TicketKeys*>(
      SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ContextIndex()));
  std::optional<shm::TicketKeys::Found> found;
  if (encrypt == 1) {
    if (RAND_bytes(iv, kTicketIv) != 1) return -1;
    // Without a key: 0, no ticket is made, and the handshake goes on.
    if (std::optional<shm::TicketKey> current = keys->Current()) {
      std::memcpy(name, current->name.data(), shm::kTicketKeyName);
      found = shm::TicketKeys::Found{*current, true};
      OPENSSL_cleanse(&*current, sizeof(*current));
    }
  } else {
    const auto* octets = reinterpret_cast<const std::byte*>(name);
    found =
        keys->Find(std::span<const std::byte, shm::kTicketKeyName>(octets, shm::kTicketKeyName));
  }
  if (!found) return 0;
  const bool set = SetKeys(found->key, iv, cipher, mac, encrypt);
  const bool current = found->current;
  OPENSSL_cleanse(&found->key, sizeof(found->key));
  if (!set) return -1;
  return current ? 1 : 2;
}

namespace {

uint64_t LifetimeOf(const SSL* ssl) {
  return reinterpret_cast<uintptr_t>(SSL_get_ex_data(ssl, LifetimeIndex()));
}

// Called before a ticket is sealed: the time to live travels in it and to the client.
int GenerateTicket(SSL* ssl, void*) {
  SSL_SESSION_set_timeout(SSL_get_session(ssl), static_cast<long>(LifetimeOf(ssl)));
  return 1;
}

int64_t TimeOf(const SSL_SESSION* session) {
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
  return SSL_SESSION_get_time_ex(session);
#else
  return SSL_SESSION_get_time(session);
#endif
}

// Called with what came out of a ticket. libssl has judged the lifetime that the ticket names; the
// listener's may have become shorter since.
SSL_TICKET_RETURN JudgeTicket(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t,
                              SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  const auto age = static_cast<int64_t>(time(nullptr)) - TimeOf(session);
  if (age > static_cast<int64_t>(LifetimeOf(ssl))) return SSL_TICKET_RETURN_IGNORE_RENEW;
  // In TLS 1.3 a client should use a ticket only once (RFC 8446 section C.4), and many do: without
  // a new one every second of its connections would be a full handshake.
  if (SSL_version(ssl) >= TLS1_3_VERSION) return SSL_TICKET_RETURN_USE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

}  // namespace

bool UseTicketKeys(SSL_CTX* context, const shm::TicketKeys& keys) {
  return TicketCipher(32) != nullptr && TicketCipher(16) != nullptr &&
         SSL_CTX_set_ex_data(context, ContextIndex(), const_cast<shm::TicketKeys*>(&keys)) == 1 &&
         SSL_CTX_set_tlsext_ticket_key_evp_cb(context, TicketKeyCallback) == 1 &&
         SSL_CTX_set_session_ticket_cb(context, GenerateTicket, JudgeTicket, nullptr) == 1;
}

bool SetTickets(SSL* ssl, bool enabled, uint32_t count, uint64_t lifetime_s) {
  // OpenSSL cannot write a session that lives for no time.
  if (!enabled || lifetime_s == 0) {
    // TLS 1.3 would send stateful tickets instead (see session_ids.cc).
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return SSL_set_num_tickets(ssl, 0) == 1;
  }
  const uintptr_t lifetime = std::min(lifetime_s, kMaxLifetimeS);
  return SSL_set_num_tickets(ssl, count) == 1 &&
         SSL_set_ex_data(ssl, LifetimeIndex(), reinterpret_cast<void*>(lifetime)) == 1;
}

bool BindSessions(SSL* ssl, std::string_view listener, std::string_view service,
                  std::string_view certificate, std::string_view policy) {
  // Each field with its length in front, so that no two bindings have the same text.
  std::string text = "postern session 2";
  for (const std::string_view field : {listener, service, certificate, policy}) {
    text += '\0' + std::to_string(field.size()) + ':';
    text += field;
  }
  std::array<unsigned char, 32> digest;
  static_assert(sizeof(digest) <= SSL_MAX_SID_CTX_LENGTH);
  return EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1 &&
         SSL_set_session_id_context(ssl, digest.data(), digest.size()) == 1;
}

}  // namespace postern::tls
