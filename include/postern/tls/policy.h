// Policies as libssl takes them: checked when the configuration is, made once per generation and
// worker, shared by all handshakes of the listeners that have them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/generation/settings.h"
#include "postern/shm/session_id_cache.h"
#include "postern/shm/ticket_keys.h"

namespace postern::tls {

// CheckPolicies reports what the policies of `config` ask for and the linked OpenSSL cannot do,
// each with the place in the file: versions, ciphers, suites, groups and signature algorithms that
// it lacks, and versions for which no cipher is left. What the built-in policies name and it lacks
// is no fault.
std::vector<Error> CheckPolicies(const config::Config& config);

// "OpenSSL 3.0.17": the library that is linked, for messages.
std::string LibraryName();

// What a listener asks its clients for. `trust` is null with kOff.
struct ClientPolicy {
  config::ClientMode mode = config::ClientMode::kOff;
  uint32_t depth = 0;
  const generation::TrustSettings* trust = nullptr;
};

// PolicyContext is an SSL_CTX with everything of a policy in it but certificates.
class PolicyContext;
using PolicyContextPtr = std::shared_ptr<const PolicyContext>;

// Copies out of its arguments, but for `ticket_keys` and `session_ids` (null: no sessions by ID),
// which must outlive the context and every handshake begun with it.
Result<PolicyContextPtr> MakePolicyContext(const generation::PolicySettings& policy,
                                           const ClientPolicy& clients,
                                           const shm::TicketKeys& ticket_keys,
                                           shm::SessionIdCache* session_ids = nullptr);

// MakePolicyContexts gives each listener of `settings` its context, by number; those that ask for
// the same share one.
Result<std::vector<PolicyContextPtr>> MakePolicyContexts(
    const generation::Settings& settings, const shm::TicketKeys& ticket_keys,
    shm::SessionIdCache* session_ids = nullptr);

}  // namespace postern::tls
