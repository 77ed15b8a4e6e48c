// Both record engines against libssl's client: what one says the other must read, whatever the
// version, suite, size and order.
#include "postern/tls/record.h"

#include <openssl/err.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using test::Connect;
using test::Connection;
using test::EngineGuard;
using test::kPolicy;
using test::kSuites;
using test::MakeContexts;
using test::MakePair;
using test::OnlySuite;
using test::OnlyVersion;
using test::OpenAll;
using test::SealText;
using test::Suite;
using test::TestClient;

ServerContexts& OneHost() {
  static const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  return *contexts;
}

Connection ConnectWith(const TestClient::Configure& configure, SSL_SESSION* resume = nullptr) {
  return Connect(OneHost(), kPolicy, {}, configure, resume);
}

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 256);
  return text;
}

// Both directions work.
void CheckTalk(Connection& connection) {
  CHECK(OpenAll(*connection.record, connection.client->Write("a1 NOOP\r\n")) == "a1 NOOP\r\n");
  CHECK(connection.client->Read(SealText(*connection.record, "a1 OK\r\n")) == "a1 OK\r\n");
}

// Octets of the records in `wire`, header and all.
std::vector<size_t> RecordSizes(Bytes wire) {
  std::vector<size_t> sizes;
  while (!wire.empty()) {
    const RecordLength length = PeekRecord(wire);
    REQUIRE(length.kind == RecordLength::Kind::kRecord);
    REQUIRE(length.total <= wire.size());
    sizes.push_back(length.total);
    wire = wire.subspan(length.total);
  }
  return sizes;
}

}  // namespace

TEST_CASE("PeekRecord measures a record from its header", "[tls][record]") {
  struct Case {
    std::string wire;
    RecordLength::Kind kind;
    size_t total;
  };
  using std::string_literals::operator""s;
  constexpr auto kNeedMore = RecordLength::Kind::kNeedMore;
  constexpr auto kRecord = RecordLength::Kind::kRecord;
  constexpr auto kIllegal = RecordLength::Kind::kIllegal;
  const std::vector<Case> cases = {
      {"", kNeedMore, 0},
      {"\x17\x03\x03\x00"s, kNeedMore, 0},
      {"\x17\x03\x03\x00\x00"s, kRecord, 5},
      {"\x16\x03\x01\x01\x02 and more"s, kRecord, 263},
      {"\x14\x03\x03\x00\x01"s, kRecord, 6},
      {"\x15\x03\x03\x00\x02"s, kRecord, 7},
      {"\x17\x03\x03\x48\x00"s, kRecord, 5 + 18432},
      {"\x17\x03\x03\x48\x01"s, kIllegal, 0},
      {"\x13\x03\x03\x00\x01"s, kIllegal, 0},
      {"\x18\x03\x03\x00\x01"s, kIllegal, 0},
      {"\x17\x02\x03\x00\x01"s, kIllegal, 0},
  };
  for (const Case& c : cases) {
    const RecordLength length = PeekRecord(AsBytes(c.wire));
    CHECK(length.kind == c.kind);
    CHECK(length.total == c.total);
  }
}

TEST_CASE("Data of every size goes both ways", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  INFO(suite.name << (engine == EngineChoice::kBest ? "" : ", libssl"));
  const EngineGuard guard(engine);
  Connection connection = ConnectWith(OnlySuite(suite));
  CHECK(connection.facts.cipher == suite.name);
  for (const size_t size : {1, 2, 15, 16, 17, 31, 255, 256, 257, 1000, 4096, 16'383, 16'384}) {
    INFO("size " << size);
    const std::string text = Pattern(size);
    CHECK(OpenAll(*connection.record, connection.client->Write(text)) == text);
    const std::vector<std::byte> sealed = SealText(*connection.record, text);
    CHECK(RecordSizes(sealed).size() == 1);
    CHECK(connection.client->Read(sealed) == text);
  }
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("The small engine is the one in use, and it is small", "[tls][record]") {
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  Connection connection = ConnectWith(OnlySuite(suite));
  CheckTalk(connection);
  CHECK(connection.record->MemoryUsed() < 512);
  const EngineGuard guard(EngineChoice::kLibssl);
  CHECK(ConnectWith(OnlySuite(suite)).record->MemoryUsed() > 4096);
}

TEST_CASE("RSA suites of TLS 1.2 are served by the small engine too", "[tls][record]") {
  static const auto rsa = MakeContexts({MakePair(1, "rsa.example", test::KeyKind::kRsa)});
  const char* name = GENERATE("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                              "ECDHE-RSA-CHACHA20-POLY1305");
  Connection connection = Connect(*rsa, kPolicy, {}, OnlySuite({TLS1_2_VERSION, name}));
  CHECK(connection.facts.cipher == name);
  CHECK(connection.record->MemoryUsed() < 512);
  CheckTalk(connection);
}

TEST_CASE("Many connections share the ciphers without mixing them up", "[tls][record]") {
  std::vector<Connection> connections;
  for (int i = 0; i < 3; ++i) {
    for (const Suite& suite : kSuites) connections.push_back(ConnectWith(OnlySuite(suite)));
  }
  for (int round = 0; round < 5; ++round) {
    for (Connection& connection : connections) CheckTalk(connection);
    std::ranges::rotate(connections, connections.begin() + 5);
    connections.pop_back();  // a connection that goes takes no other's key along
  }
}

TEST_CASE("Resumed connections talk", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  const EngineGuard guard(engine);
  Connection first = ConnectWith(OnlySuite(suite));
  CheckTalk(first);
  Connection second = ConnectWith(OnlySuite(suite), first.client->session());
  CHECK(second.facts.resumed);
  CheckTalk(second);
}

TEST_CASE("The number of tickets does not disturb the sequence", "[tls][record]") {
  // The small engine counts the records that libssl has sent under the application key. Without
  // tickets there are none, after a resumption there is one.
  for (const bool tickets : {false, true}) {
    ListenerPolicy policy = kPolicy;
    policy.tickets = tickets;
    Connection connection = Connect(OneHost(), policy, {}, OnlyVersion(TLS1_3_VERSION));
    CheckTalk(connection);
  }
}

TEST_CASE("A HelloRetryRequest changes nothing for the record layer", "[tls][record]") {
  Connection connection = ConnectWith([](SSL_CTX* context) {
    OnlyVersion(TLS1_3_VERSION)(context);
    // The key share sent is for the first group, which the server does not know.
    SSL_CTX_set1_groups_list(context, "P-521:P-384");
  });
  CHECK(connection.facts.group == "P-384");
  CheckTalk(connection);
}

TEST_CASE("close_notify from the client ends its direction only", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const EngineGuard guard(engine);
  Connection connection = ConnectWith(OnlyVersion(version));
  std::vector<std::byte> wire = connection.client->Write("a1 LOGOUT\r\n");
  SSL_shutdown(connection.client->ssl());
  const std::vector<std::byte> goodbye = connection.client->TakeSent();
  wire.insert(wire.end(), goodbye.begin(), goodbye.end());
  Opened last;
  CHECK(OpenAll(*connection.record, wire, &last) == "a1 LOGOUT\r\n");
  CHECK(last.kind == OpenKind::kCloseNotify);
  // We may still talk to a client that has closed its direction (RFC 8446 section 6.1).
  std::vector<std::byte> out;
  CHECK_FALSE(connection.record->TakeOutput(out));
  const std::vector<std::byte> bye = SealText(*connection.record, "* BYE\r\n");
  CHECK(RecordSizes(bye).size() == 1);
}

TEST_CASE("Our close_notify reaches the client, and nothing is sealed after it", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const EngineGuard guard(engine);
  Connection connection = ConnectWith(OnlyVersion(version));
  std::vector<std::byte> wire = SealText(*connection.record, "* BYE\r\n");
  connection.record->CloseNotify(wire);
  CHECK(connection.client->Read(wire) == "* BYE\r\n");
  CHECK(connection.client->close_notify_seen());
  CHECK_FALSE(connection.client->failed());
  CHECK(SealText(*connection.record, "more").empty());
  std::vector<std::byte> again;
  connection.record->CloseNotify(again);
  CHECK(again.empty());
  // What the client had on its way is still read.
  if (version == TLS1_3_VERSION) {
    CHECK(OpenAll(*connection.record, connection.client->Write("late")) == "late");
  }
}

TEST_CASE("KeyUpdates of the client are followed and answered", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int asked = GENERATE(SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED);
  const char* suite =
      GENERATE("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256");
  const EngineGuard guard(engine);
  Connection connection = ConnectWith(OnlySuite({TLS1_3_VERSION, suite}));
  CheckTalk(connection);
  for (int round = 0; round < 5; ++round) {
    REQUIRE(SSL_key_update(connection.client->ssl(), asked) == 1);
    REQUIRE(SSL_do_handshake(connection.client->ssl()) == 1);
    Opened last;
    CHECK(OpenAll(*connection.record, connection.client->TakeSent(), &last).empty());
    CHECK(last.kind == OpenKind::kHandled);
    std::vector<std::byte> answer;
    connection.record->TakeOutput(answer);
    CHECK(connection.client->Read(answer).empty());
    CheckTalk(connection);
  }
  CHECK_FALSE(connection.client->failed());
}

TEST_CASE("A record with any octet changed is refused with an alert", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  INFO(suite.name << (engine == EngineChoice::kBest ? "" : ", libssl"));
  const EngineGuard guard(engine);
  const size_t size = ConnectWith(OnlySuite(suite)).client->Write("a1 NOOP\r\n").size();
  for (size_t at = 0; at < size; ++at) {
    INFO("octet " << at);
    Connection connection = ConnectWith(OnlySuite(suite));
    std::vector<std::byte> record = connection.client->Write("a1 NOOP\r\n");
    record[at] ^= std::byte{0x01};
    const Opened opened = connection.record->Open(record);
    CHECK(opened.kind == OpenKind::kFailed);
    CHECK(opened.failure != nullptr);
    CHECK(opened.plain.empty());
    // The alert reaches the client, and that was all.
    std::vector<std::byte> alert;
    const bool said = connection.record->TakeOutput(alert);
    connection.client->Read(alert);
    CHECK(connection.client->failed() == said);
    // With a longer length libssl waits for the rest.
    CHECK((said || (engine == EngineChoice::kLibssl && (at == 3 || at == 4))));
    CHECK(SealText(*connection.record, "more").empty());
    CHECK(OpenAll(*connection.record, connection.client->TakeSent()).empty());
  }
  ERR_clear_error();
}

TEST_CASE("Records out of order, twice or cut short are refused", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  const EngineGuard guard(engine);
  {
    Connection connection = ConnectWith(OnlySuite(suite));
    const std::vector<std::byte> first = connection.client->Write("1");
    CHECK(OpenAll(*connection.record, first) == "1");
    Opened last;
    CHECK(OpenAll(*connection.record, first, &last).empty());
    CHECK(last.kind == OpenKind::kFailed);
  }
  {
    Connection connection = ConnectWith(OnlySuite(suite));
    connection.client->Write("1");
    Opened last;
    CHECK(OpenAll(*connection.record, connection.client->Write("2"), &last).empty());
    CHECK(last.kind == OpenKind::kFailed);
  }
  {
    // A whole record whose content was cut: every length down to none.
    const size_t size = ConnectWith(OnlySuite(suite)).client->Write("12").size();
    for (size_t cut = 1; cut <= size - 5; ++cut) {
      Connection connection = ConnectWith(OnlySuite(suite));
      std::vector<std::byte> record = connection.client->Write("12");
      record.resize(size - cut);
      record[3] = std::byte{0};
      record[4] = static_cast<std::byte>(record.size() - 5);
      CHECK(connection.record->Open(record).kind == OpenKind::kFailed);
    }
  }
  ERR_clear_error();
}

TEST_CASE("A header that is illegal fails alone", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const EngineGuard guard(engine);
  for (const std::string_view header :
       {std::string_view("\x17\x03\x03\xff\xff", 5), std::string_view("\x13\x03\x03\x00\x01", 5),
        std::string_view("HTTP/", 5), std::string_view("\x17\x02\x03\x00\x01", 5)}) {
    Connection connection = ConnectWith(OnlyVersion(version));
    std::vector<std::byte> wire(AsBytes(header).begin(), AsBytes(header).end());
    REQUIRE(PeekRecord(wire).kind == RecordLength::Kind::kIllegal);
    CHECK(connection.record->Open(wire).kind == OpenKind::kFailed);
    CHECK(SealText(*connection.record, "more").empty());
  }
  ERR_clear_error();
}

TEST_CASE("Records are no longer than the client asked for", "[tls][record]") {
  // RFC 6066 section 4, for clients with little memory.
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const Suite suite = GENERATE(from_range(std::begin(kSuites), std::end(kSuites)));
  const auto mode = GENERATE(as<uint8_t>(), 1, 2, 3, 4);
  INFO(suite.name << (engine == EngineChoice::kBest ? "" : ", libssl") << ", mode " << +mode);
  const EngineGuard guard(engine);
  Connection connection = ConnectWith([&](SSL_CTX* context) {
    OnlySuite(suite)(context);
    SSL_CTX_set_tlsext_max_fragment_length(context, mode);
  });
  const size_t fragment = size_t{256} << mode;
  for (const size_t size : {size_t{1}, fragment, fragment + 1, size_t{16'384}}) {
    const std::string text = Pattern(size);
    const std::vector<std::byte> sealed = SealText(*connection.record, text);
    const std::vector<size_t> sizes = RecordSizes(sealed);
    CHECK(sizes.size() == (size + fragment - 1) / fragment);
    CHECK(std::ranges::max(sizes) <= fragment + 29);
    CHECK(connection.client->Read(sealed) == text);
    CHECK(OpenAll(*connection.record, connection.client->Write(text)) == text);
  }
  CHECK_FALSE(connection.client->failed());
}

TEST_CASE("A fatal alert of the client is named", "[tls][record]") {
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const EngineGuard guard(engine);
  Connection connection = ConnectWith(OnlyVersion(version));
  // A spoiled record makes the client send one.
  std::vector<std::byte> sealed = SealText(*connection.record, "text");
  sealed.back() ^= std::byte{1};
  connection.client->Read(sealed);
  REQUIRE(connection.client->failed());
  Opened last;
  OpenAll(*connection.record, connection.client->TakeSent(), &last);
  CHECK(last.kind == OpenKind::kFailed);
  CHECK(std::string(last.failure) == "the client sent alert bad_record_mac");
  CHECK(SealText(*connection.record, "more").empty());
  ERR_clear_error();
}

namespace {

// Every EVP_PKEY of the process that was made since the index below was.
std::set<const EVP_PKEY*>& LivingKeys() {
  static std::set<const EVP_PKEY*> keys;
  return keys;
}
void OnNewKey(void* key, void*, CRYPTO_EX_DATA*, int, long, void*) {
  LivingKeys().insert(static_cast<const EVP_PKEY*>(key));
}
void OnFreeKey(void* key, void*, CRYPTO_EX_DATA*, int, long, void*) {
  LivingKeys().erase(static_cast<const EVP_PKEY*>(key));
}

// How many of them are P-256 keys, as the certificate's is. libssl itself keeps the X25519 keys of
// the key exchange.
size_t CertificateKeys() {
  return static_cast<size_t>(std::ranges::count_if(
      LivingKeys(), [](const EVP_PKEY* key) { return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC; }));
}

}  // namespace

TEST_CASE("A connection keeps no private key alive", "[tls][record]") {
  // A generation's keys are wiped when its last handshake is over, not when the last connection
  // that it let in ends, days later.
  static const int index = EVP_PKEY_get_ex_new_index(0, nullptr, OnNewKey, nullptr, OnFreeKey);
  REQUIRE(index >= 0);
  const auto engine = GENERATE(EngineChoice::kBest, EngineChoice::kLibssl);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const EngineGuard guard(engine);
  const test::TestPair pair = MakePair(1, "mail.example");
  const size_t before = CertificateKeys();
  auto contexts = MakeContexts({pair});
  CHECK(CertificateKeys() > before);
  Connection connection = Connect(*contexts, kPolicy, {}, [&](SSL_CTX* context) {
    OnlyVersion(version)(context);
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
  });
  contexts.reset();
  const std::vector<std::byte> request = connection.client->Write("a1 NOOP\r\n");
  connection.client.reset();  // it has the server's certificate
  CHECK(CertificateKeys() == before);
  CHECK(OpenAll(*connection.record, request) == "a1 NOOP\r\n");
}

TEST_CASE("A flood of KeyUpdates ends the connection, whichever the engine", "[tls][record]") {
  const test::EngineGuard guard(GENERATE(EngineChoice::kBest, EngineChoice::kLibssl));
  static const auto contexts = MakeContexts({MakePair(51, "mail.example")});
  test::Connection connection =
      test::Connect(*contexts, kPolicy, {}, test::OnlyVersion(TLS1_3_VERSION));
  SSL* client = connection.client->ssl();
  const auto update = [&] {
    REQUIRE(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    REQUIRE(SSL_do_handshake(client) == 1);
    std::vector<std::byte> record = connection.client->TakeSent();
    return connection.record->Open(record);
  };
  for (int i = 0; i < 32; ++i) REQUIRE(update().kind == OpenKind::kHandled);
  // Data in between shows that somebody is at work.
  CHECK(test::OpenAll(*connection.record, connection.client->Write("a\r\n")) == "a\r\n");
  for (int i = 0; i < 32; ++i) REQUIRE(update().kind == OpenKind::kHandled);
  const Opened last = update();
  CHECK(last.kind == OpenKind::kFailed);
  CHECK(std::string_view(last.failure).starts_with("too many "));
}

}  // namespace postern::tls
