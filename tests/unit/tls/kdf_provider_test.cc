#include "tls/kdf_provider.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <string>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"
#include "tls/openssl_types.h"

namespace postern::tls {
namespace {

using test::Connect;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;
using test::OnlyVersion;

// What libssl gives the KDF in one call.
struct Call {
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = "SHA2-256";
  std::string key;
  std::string salt;
  std::string label;
  std::string data;
  size_t size = 32;
  std::string prefix = "tls13 ";
};

// The output, or nothing where the KDF refuses.
std::vector<unsigned char> Derive(const char* properties, Call call) {
  const KdfPtr kdf(EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, properties));
  REQUIRE(kdf != nullptr);
  const KdfCtxPtr context(EVP_KDF_CTX_new(kdf.get()));
  std::vector<OSSL_PARAM> parameters = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &call.mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, call.digest.data(), 0),
  };
  const auto add = [&](const char* name, std::string& value) {
    if (value.empty()) return;
    parameters.push_back(OSSL_PARAM_construct_octet_string(name, value.data(), value.size()));
  };
  add(OSSL_KDF_PARAM_KEY, call.key);
  add(OSSL_KDF_PARAM_SALT, call.salt);
  add(OSSL_KDF_PARAM_PREFIX, call.prefix);
  add(OSSL_KDF_PARAM_LABEL, call.label);
  add(OSSL_KDF_PARAM_DATA, call.data);
  parameters.push_back(OSSL_PARAM_construct_end());
  std::vector<unsigned char> out(call.size);
  if (EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()) != 1) return {};
  return out;
}

}  // namespace

TEST_CASE("Our TLS 1.3 KDF derives what OpenSSL's derives", "[tls][kdf]") {
  REQUIRE(UseOwnKdf() != nullptr);
  for (const std::string digest : {"SHA2-256", "SHA2-384"}) {
    const size_t size = digest == "SHA2-256" ? 32 : 48;
    const std::string secret(size, '\x5A');
    const std::string hash(size, '\x17');
    const std::string psk(size, '\x33');
    const std::vector<Call> calls = {
        // Each stage of RFC 8446 section 7.1, and what follows from a stage.
        {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest, "", "", "derived", "", size},
        {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest, psk, "", "derived", "", size},
        {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest, "shared secret", secret, "derived", "", size},
        {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest, std::string(1024, 'z'), secret, "derived", "",
         size},
        {EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest, "", secret, "derived", "", size},
        {EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest, secret, "", "c hs traffic", hash, size},
        {EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest, secret, "", "key", "", 16},
        {EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest, secret, "", "iv", "", 12},
        {EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest, secret, "", "finished", "", size},
        // An exporter may ask for more than one block.
        {EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest, secret, "", "exporter", hash, 3 * size + 1},
    };
    for (const Call& call : calls) {
      INFO(digest << " " << call.label << " " << call.size);
      const auto ours = Derive("provider=postern", call);
      CHECK_FALSE(ours.empty());
      CHECK(ours == Derive("provider=default", call));
    }
  }
}

TEST_CASE("Our TLS 1.3 KDF refuses what it cannot do", "[tls][kdf]") {
  REQUIRE(UseOwnKdf() != nullptr);
  const Call good = {.key = std::string(32, 'k'), .label = "key", .size = 16};
  REQUIRE_FALSE(Derive("provider=postern", good).empty());
  Call digest = good;
  digest.digest = "SHA2-512";
  Call prefix = good;
  prefix.prefix = "dtls13";
  Call mode = good;
  mode.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
  Call extract_size = good;
  extract_size.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
  Call long_key = good;
  long_key.key = std::string(33, 'k');
  Call long_label = good;
  long_label.label = std::string(250, 'l');
  Call long_salt = extract_size;
  long_salt.size = 32;
  long_salt.salt = std::string(33, 's');
  Call long_output = good;
  long_output.size = 255 * 32 + 1;
  for (const Call& bad :
       {digest, prefix, mode, long_key, long_label, long_output, extract_size, long_salt}) {
    CHECK(Derive("provider=postern", bad).empty());
  }
}

TEST_CASE("What else asks for the KDF gets the system's", "[tls][kdf]") {
  REQUIRE(UseOwnKdf() != nullptr);
  const KdfPtr ours(EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, UseOwnKdf()));
  REQUIRE(ours != nullptr);
  CHECK(std::string(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(ours.get()))) == "postern");
  // And the query keeps nothing else away.
  const KdfPtr other(EVP_KDF_fetch(nullptr, "TLS1-PRF", UseOwnKdf()));
  REQUIRE(other != nullptr);
  CHECK(std::string(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(other.get()))) == "default");
}

TEST_CASE("A handshake tells its traffic secrets to the scope that it runs in", "[tls][kdf]") {
  // That they are the right ones every test shows that talks through the small record engine.
  struct Sink final : TrafficSecretSink {
    void OnTrafficSecret(bool client, Bytes secret) override {
      (client ? clients : servers).emplace_back(secret.begin(), secret.end());
    }
    std::vector<std::vector<std::byte>> clients;
    std::vector<std::vector<std::byte>> servers;
  };
  const Call client = {
      .key = std::string(32, 's'), .label = "c ap traffic", .data = "h", .size = 32};
  Call server = client;
  server.label = "s ap traffic";
  Call other = client;
  other.label = "c hs traffic";
  Sink sink;
  {
    const SinkScope scope(sink);
    for (const Call& call : {client, server, other}) Derive("provider=postern", call);
  }
  Derive("provider=postern", client);  // nobody listens any more
  CHECK(sink.clients.size() == 1);
  CHECK(sink.servers.size() == 1);
  CHECK(sink.clients != sink.servers);
}

TEST_CASE("Either hash of TLS 1.3 gives the small engine its secrets", "[tls][kdf]") {
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  for (const char* suite : {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"}) {
    auto connection = Connect(*contexts, kPolicy, {}, [suite](SSL_CTX* context) {
      OnlyVersion(TLS1_3_VERSION)(context);
      SSL_CTX_set_ciphersuites(context, suite);
    });
    CHECK(connection.facts.cipher == suite);
    // The small engine took over, so the secrets were there.
    CHECK(connection.record->MemoryUsed() < 1024);
  }
}

}  // namespace postern::tls
