// Mozilla's "intermediate" guideline (version 5.7), with two deliberate differences: no
// finite-field DHE suites (every client that has TLS 1.2 and AEAD has ECDHE too, and a 2,048-bit
// DHE costs the server a hundred times more), and X25519MLKEM768 in front where the library has it.
#include "tls/base_context.h"

#include <openssl/err.h>

#include <array>

#include "tls/kdf_provider.h"
#include "tls/openssl_error.h"
#include "tls/tickets.h"

namespace postern::tls {
namespace {

constexpr const char* kTls12Ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kTls13Suites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

struct GroupList {
  const char* names;
  std::vector<uint16_t> ids;
};

constexpr size_t kTicketsPerHandshake = 2;  // TLS 1.3: browsers and curl open two connections

bool SetGroups(BaseContext& base) {
  const std::array<GroupList, 2> lists = {{
      {"X25519MLKEM768:X25519:P-256:P-384", {0x11EC, 29, 23, 24}},  // OpenSSL 3.5 on
      {"X25519:P-256:P-384", {29, 23, 24}},
  }};
  for (const GroupList& list : lists) {
    base.groups = list.ids;
    if (SSL_CTX_set1_groups_list(base.context.get(), list.names) == 1) return true;
    ERR_clear_error();
  }
  return false;
}

bool Configure(BaseContext& base) {
  SSL_CTX* context = base.context.get();
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kTls12Ciphers) != 1 ||
      SSL_CTX_set_ciphersuites(context, kTls13Suites) != 1 || !SetGroups(base) ||
      SSL_CTX_set_num_tickets(context, kTicketsPerHandshake) != 1) {
    return false;
  }
  // The client's order of suites holds (it knows whether it has AES in hardware); no suite here is
  // weaker than another.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Tickets carry the sessions: a cache in this process would be of no use to the next worker.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_set_max_early_data(context, 0);
  return true;
}

}  // namespace

Result<BaseContext> MakeBaseContext(const shm::TicketKeys& ticket_keys) {
  ERR_clear_error();
  BaseContext base{SslCtxPtr(SSL_CTX_new_ex(nullptr, UseOwnKdf(), TLS_server_method())), {}};
  if (base.context == nullptr || !Configure(base) ||
      !UseTicketKeys(base.context.get(), ticket_keys)) {
    return Fail("OpenSSL refuses Postern's TLS settings: " + TakeOpensslError(),
                "look into openssl.cnf for a system-wide policy that forbids TLS 1.2 and 1.3");
  }
  ERR_clear_error();
  return base;
}

}  // namespace postern::tls
