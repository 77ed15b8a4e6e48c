// A policy's lists put into an SSL_CTX, and what of them the library lacks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/generation/settings.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// ApplyPolicy sets versions, security level, ciphers, suites, groups, signature algorithms and
// whose preference holds. What the library does not know is left out. False leaves the cause in
// OpenSSL's error queue.
bool ApplyPolicy(SSL_CTX* context, const generation::PolicySettings& policy);

// A context that nothing was set in, for the functions below.
SslCtxPtr ScratchContext();
// Whether the library knows one element of such a list.
bool KnowsVersion(uint16_t version);
bool KnowsCipher(std::string_view element);  // of OpenSSL's cipher strings: "AES128-SHA", "HIGH"
bool KnowsSuite(std::string_view name);
bool KnowsGroup(std::string_view element);  // "X25519", and from OpenSSL 3.5 on "?X25519/P-256"
bool KnowsSignatureAlgorithm(std::string_view name);

// Elements of a list: with colons between, or as OpenSSL's cipher strings also have it.
std::vector<std::string_view> Elements(std::string_view list, std::string_view separators = ":");
// TLS' numbers of the groups in `list` that the library knows, in order.
std::vector<uint16_t> GroupNumbers(std::string_view list);

}  // namespace postern::tls
