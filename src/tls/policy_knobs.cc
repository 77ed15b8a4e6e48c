// OpenSSL takes a list whole or (some of them) not at all, and older ones cannot mark an element as
// optional. So each element is tried alone, and what passes is put together again.
#include "tls/policy_knobs.h"

#include <openssl/err.h>

#include <algorithm>

#include "tls/names.h"

namespace postern::tls {
namespace {

// TLS 1.0 and 1.1 sign with MD5 and SHA-1 together, which every level above 0 forbids. A level in
// the list of ciphers ("@SECLEVEL=1") holds all the same: it is set after this one.
int SecurityLevel(const generation::PolicySettings& policy) {
  constexpr int kStrong = 2;  // 112 bits: RSA from 2,048 bits on, no SHA-1 signatures
  const bool sha1 = policy.signature_algorithms.find("SHA1") != std::string_view::npos ||
                    policy.signature_algorithms.find("sha1") != std::string_view::npos;
  return policy.min_version < TLS1_2_VERSION || sha1 ? 0 : kStrong;
}

template <typename Knows>
std::string Known(std::string_view list, Knows knows) {
  std::string known;
  for (const std::string_view element : Elements(list)) {
    if (!knows(element)) continue;
    if (!known.empty()) known += ':';
    known += element;
  }
  return known;
}

// Runs `set` on a scratch context; whatever it leaves in the error queue goes.
template <typename Set>
bool Try(Set set) {
  ERR_clear_error();
  const SslCtxPtr context = ScratchContext();
  const bool good = context != nullptr && set(context.get());
  ERR_clear_error();
  return good;
}

}  // namespace

std::vector<std::string_view> Elements(std::string_view list, std::string_view separators) {
  std::vector<std::string_view> elements;
  while (!list.empty()) {
    const size_t end = std::min(list.find_first_of(separators), list.size());
    if (end > 0) elements.push_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return elements;
}

SslCtxPtr ScratchContext() {
  SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (context != nullptr) SSL_CTX_set_security_level(context.get(), 0);
  return context;
}

bool KnowsVersion(uint16_t version) {
  return Try([version](SSL_CTX* context) {
    if (SSL_CTX_set_min_proto_version(context, 0) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        SSL_CTX_set_min_proto_version(context, version) != 1) {
      return false;
    }
    // A version that was left out when the library was built has no cipher.
    const SslPtr ssl(SSL_new(context));
    if (ssl == nullptr) return false;
    STACK_OF(SSL_CIPHER)* ciphers = SSL_get1_supported_ciphers(ssl.get());
    const bool any = sk_SSL_CIPHER_num(ciphers) > 0;
    sk_SSL_CIPHER_free(ciphers);
    return any;
  });
}

bool KnowsCipher(std::string_view element) {
  return Try([text = std::string(element)](SSL_CTX* context) {
    return SSL_CTX_set_cipher_list(context, text.c_str()) == 1;
  });
}

bool KnowsSuite(std::string_view name) {
  return Try([text = std::string(name)](SSL_CTX* context) {
    if (SSL_CTX_set_ciphersuites(context, text.c_str()) != 1) return false;
    const STACK_OF(SSL_CIPHER)* ciphers = SSL_CTX_get_ciphers(context);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
      if (SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)) == text) return true;
    }
    return false;
  });
}

bool KnowsGroup(std::string_view element) {
  return Try([text = std::string(element)](SSL_CTX* context) {
    return SSL_CTX_set1_groups_list(context, text.c_str()) == 1;
  });
}

bool KnowsSignatureAlgorithm(std::string_view name) {
  return Try([text = std::string(name)](SSL_CTX* context) {
    return SSL_CTX_set1_sigalgs_list(context, text.c_str()) == 1;
  });
}

std::vector<uint16_t> GroupNumbers(std::string_view list) {
  std::vector<uint16_t> numbers;
  for (const std::string_view element : Elements(list)) {
    if (!KnowsGroup(element)) continue;
    for (std::string_view name : Elements(element, "/")) {
      while (name.starts_with('?') || name.starts_with('*')) name.remove_prefix(1);
      if (const uint16_t number = GroupNumber(name); number != 0) numbers.push_back(number);
    }
  }
  return numbers;
}

bool ApplyPolicy(SSL_CTX* context, const generation::PolicySettings& policy) {
  SSL_CTX_set_security_level(context, SecurityLevel(policy));
  const std::string suites = Known(policy.ciphersuites, KnowsSuite);
  const std::string groups = Known(policy.groups, KnowsGroup);
  const std::string algorithms = Known(policy.signature_algorithms, KnowsSignatureAlgorithm);
  if (SSL_CTX_set_min_proto_version(context, policy.min_version) != 1 ||
      SSL_CTX_set_max_proto_version(context, policy.max_version) != 1 ||
      SSL_CTX_set_cipher_list(context, std::string(policy.ciphers).c_str()) != 1 ||
      SSL_CTX_set_ciphersuites(context, suites.c_str()) != 1 ||
      SSL_CTX_set1_groups_list(context, groups.c_str()) != 1) {
    return false;
  }
  if (!algorithms.empty() && SSL_CTX_set1_sigalgs_list(context, algorithms.c_str()) != 1) {
    return false;
  }
  if (policy.server_preference) {
    // But a client that has ChaCha20 first has no AES in hardware.
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  }
  // For DHE suites, where a policy has any: a group as strong as the certificate's key.
  return SSL_CTX_set_dh_auto(context, 1) == 1;
}

}  // namespace postern::tls
