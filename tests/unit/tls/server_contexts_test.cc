// Contexts over a real generation: from files to a client's handshake.
#include "postern/tls/server_contexts.h"

#include <memory>
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/generation/site.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

// A generation of a site with a default pair and one with a wildcard. It is the master's: with it
// go the keys.
generation::GenerationPtr MakeGeneration() {
  generation::Site site;
  site.Pair("default", "mail.example.com");
  site.Pair("wild", "*.example.org");
  return site.Compile();
}

std::shared_ptr<ServerContexts> Create(generation::CertificateIndexPtr index) {
  auto made = ServerContexts::Create(std::move(index), test::SharedKeys().view);
  if (!made) FAIL(made.error().ToString());
  return *made;
}

}  // namespace

TEST_CASE("A generation's certificates are served by name", "[tls][server_contexts]") {
  const generation::GenerationPtr generation = MakeGeneration();
  const auto contexts = Create(generation::MapGeneration(*generation).index);
  const std::pair<std::string, std::string> cases[] = {
      {"mail.example.com", "default"}, {"imap.example.org", "wild"}, {"IMAP.Example.ORG", "wild"},
      {"a.b.example.org", "default"},  {"example.net", "default"},   {"", "default"},
  };
  for (const auto& [sni, name] : cases) {
    INFO("sni " << sni);
    const test::Connection connection = test::Connect(*contexts, test::kPolicy, sni);
    CHECK(connection.facts.certificate == name);
    CHECK_FALSE(connection.facts.resumed);
  }
  CHECK(contexts->contexts() == 2);
}

TEST_CASE("A handshake holds the index, a connection does not", "[tls][server_contexts]") {
  const generation::GenerationPtr generation = MakeGeneration();
  generation::CertificateIndexPtr index = generation::MapGeneration(*generation).index;
  const std::weak_ptr<const generation::CertificateIndex> watched = index;
  auto contexts = Create(std::move(index));
  test::TestClient client("imap.example.org");
  std::unique_ptr<Handshake> handshake = contexts->Begin(test::kPolicy);
  contexts.reset();
  CHECK_FALSE(watched.expired());
  REQUIRE(test::Complete(*handshake, client).state == HandshakeState::kEstablished);
  const std::unique_ptr<Record> record = handshake->TakeRecord();
  handshake.reset();
  CHECK(watched.expired());
  CHECK(test::OpenAll(*record, client.Write("a1 NOOP\r\n")) == "a1 NOOP\r\n");
}

TEST_CASE("A new index takes over what was parsed of certificates that it has, too",
          "[tls][server_contexts]") {
  generation::Site site;
  site.Pair("default", "mail.example.com");
  site.Pair("kept", "imap.example.com");
  site.Pair("renewed", "pop.example.com");
  site.Pair("gone", "old.example.com");
  const generation::GenerationPtr first = site.Compile();
  const auto before = Create(generation::MapGeneration(*first).index);
  for (const char* sni : {"imap.example.com", "pop.example.com", "old.example.com"}) {
    test::Connect(*before, test::kPolicy, sni);
  }
  REQUIRE(before->contexts() == 4);

  site.Pair("renewed", "pop.example.com");
  site.Remove("gone.crt");
  site.Remove("gone.key");
  const generation::GenerationPtr second = site.Compile(first);
  const auto after = ServerContexts::Create(generation::MapGeneration(*second).index,
                                            test::SharedKeys().view, before.get());
  REQUIRE(after);
  // The default and the kept one: nothing of what is retired.
  CHECK((*after)->contexts() == 2);
  for (const auto& [sni, name] : {std::pair("imap.example.com", "kept"),
                                  {"pop.example.com", "renewed"},
                                  {"old.example.com", "default"}}) {
    CHECK(test::Connect(**after, test::kPolicy, sni).facts.certificate == name);
  }
  CHECK((*after)->contexts() == 3);
}

TEST_CASE("Contexts of wiped keys are refused", "[tls][server_contexts]") {
  generation::GenerationPtr generation = MakeGeneration();
  generation::CertificateIndexPtr index = generation::MapGeneration(*generation).index;
  generation.reset();
  const auto made = ServerContexts::Create(std::move(index), test::SharedKeys().view);
  REQUIRE_FALSE(made);
  CHECK(made.error().what.starts_with("certificate default: the key cannot be parsed"));
}

}  // namespace postern::tls
