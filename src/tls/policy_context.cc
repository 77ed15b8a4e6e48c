// SSL_CTXs, one for each policy and set of authorities that listeners name. Making one costs up to
// a millisecond, so handshakes share them; what differs per connection (certificate, tickets,
// binding) is set on the SSL.
#include "tls/policy_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <map>
#include <tuple>

#include "tls/client_trust.h"
#include "tls/handshake_libssl.h"
#include "tls/kdf_provider.h"
#include "tls/openssl_error.h"
#include "tls/policy_knobs.h"
#include "tls/session_ids.h"
#include "tls/tickets.h"

namespace postern::tls {
namespace {

void Configure(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A cache in this process would be of no use to the next worker; see UseSessionIds.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_set_max_early_data(context, 0);
}

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) {
    good_ = context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  // Each piece with its length in front, so that no two rows of pieces have the same digest.
  void Add(Bytes piece) {
    const uint64_t size = piece.size();
    good_ = good_ && EVP_DigestUpdate(context_.get(), &size, sizeof size) == 1 &&
            EVP_DigestUpdate(context_.get(), piece.data(), piece.size()) == 1;
  }
  void Add(std::string_view text) { Add(AsBytes(text)); }
  void Add(uint64_t number) { Add(fmt::to_string(number)); }
  bool Finish(std::array<unsigned char, 32>& out) {
    return good_ && EVP_DigestFinal_ex(context_.get(), out.data(), nullptr) == 1;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>> context_;
  bool good_ = false;
};

bool SetDigest(const generation::PolicySettings& policy, const ClientPolicy& clients,
               PolicyContext& made) {
  Digest digest;
  digest.Add(policy.min_version);
  digest.Add(policy.max_version);
  digest.Add(policy.ciphers);
  digest.Add(policy.ciphersuites);
  digest.Add(policy.groups);
  digest.Add(policy.signature_algorithms);
  digest.Add(static_cast<uint64_t>(clients.mode));
  digest.Add(clients.depth);
  if (clients.trust != nullptr) {
    for (const auto* list : {&clients.trust->certificates, &clients.trust->crls}) {
      digest.Add(list->size());
      for (const Bytes der : *list) digest.Add(der);
    }
  }
  return digest.Finish(made.digest);
}

}  // namespace

Result<PolicyContextPtr> MakePolicyContext(const generation::PolicySettings& policy,
                                           const ClientPolicy& clients,
                                           const shm::TicketKeys& ticket_keys,
                                           shm::SessionIdCache* session_ids) {
  ERR_clear_error();
  auto made = std::make_shared<PolicyContext>();
  made->context.reset(SSL_CTX_new_ex(nullptr, UseOwnKdf(), TLS_server_method()));
  made->name = policy.name;
  made->groups = GroupNumbers(policy.groups);
  made->signature_algorithms = policy.signature_algorithms;
  // Who has nothing against TLS 1.0 may as well be asked for it in the old form.
  made->sslv2_hello = policy.min_version < TLS1_2_VERSION;
  made->clients = clients.mode;
  SSL_CTX* context = made->context.get();
  if (context != nullptr) Configure(context);
  if (context == nullptr || !ApplyPolicy(context, policy) || !SetClientTrust(context, clients) ||
      !SetDigest(policy, clients, *made) || !UseTicketKeys(context, ticket_keys) ||
      (session_ids != nullptr && !UseSessionIds(context, *session_ids))) {
    return Fail(
        fmt::format("OpenSSL refuses the TLS policy \"{}\": {}", policy.name, TakeOpensslError()),
        "look into openssl.cnf for a system-wide policy that forbids it");
  }
  SetHandshakeCallbacks(context);
  ERR_clear_error();
  return made;
}

Result<std::vector<PolicyContextPtr>> MakePolicyContexts(const generation::Settings& settings,
                                                         const shm::TicketKeys& ticket_keys,
                                                         shm::SessionIdCache* session_ids) {
  std::map<std::tuple<uint32_t, config::ClientMode, uint32_t, uint32_t>, PolicyContextPtr> made;
  std::vector<PolicyContextPtr> contexts;
  for (const generation::ListenerSettings& listener : settings.listeners()) {
    PolicyContextPtr& context =
        made[{listener.policy, listener.client_mode, listener.client_depth, listener.trust}];
    if (context == nullptr) {
      ClientPolicy clients{listener.client_mode, listener.client_depth, nullptr};
      if (listener.trust != generation::kNoTrust) {
        clients.trust = &settings.trusts()[listener.trust];
      }
      auto fresh = MakePolicyContext(settings.policies()[listener.policy], clients, ticket_keys,
                                     session_ids);
      if (!fresh) return std::unexpected(fresh.error());
      context = std::move(*fresh);
    }
    contexts.push_back(context);
  }
  return contexts;
}

}  // namespace postern::tls
