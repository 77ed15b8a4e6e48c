// The small engine against a peer that says what no decent client would.
#include "tls/record_aead.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using test::SealText;

constexpr uint8_t kAlert = 21;
constexpr uint8_t kHandshake = 22;
constexpr uint8_t kData = 23;

constexpr AeadSuite kSuite = {AeadKind::kAes128Gcm, HashKind::kSha256};

std::vector<std::byte> Octets(std::initializer_list<unsigned> values) {
  std::vector<std::byte> octets;
  for (const unsigned value : values) octets.push_back(static_cast<std::byte>(value));
  return octets;
}
std::vector<std::byte> Octets(std::string_view text) {
  return {AsBytes(text).begin(), AsBytes(text).end()};
}

Protection Direction(bool tls13, unsigned seed, uint64_t sequence = 0) {
  const std::vector<std::byte> secret(32, static_cast<std::byte>(seed));
  if (tls13) return Protection::Tls13(kSuite, secret, sequence).value();
  return Protection::Tls12(kSuite, Bytes(secret).first(16), Bytes(secret).first(4), 77, sequence);
}

// Pair is the engine and the other end of its two directions, which is free to say anything.
struct Pair {
  explicit Pair(bool tls13, uint64_t records_per_key = kRecordsPerKey, uint64_t write_sequence = 0)
      : to_engine(Direction(tls13, 1)),
        from_engine(Direction(tls13, 2, write_sequence)),
        record(MakeAeadRecord({.read = Direction(tls13, 1),
                               .write = Direction(tls13, 2, write_sequence),
                               .records_per_key = records_per_key})) {}

  // A record as the peer would send it. TLS 1.3 content may be followed by `padding` zeros.
  std::vector<std::byte> Make(uint8_t type, const std::vector<std::byte>& content) {
    const size_t head = to_engine.head();
    std::vector<std::byte> made(head + content.size() + to_engine.tail());
    std::ranges::copy(content, made.begin() + static_cast<ptrdiff_t>(head));
    REQUIRE(to_engine.Seal(type, MutableBytes(made).subspan(head, content.size())));
    return made;
  }
  // The type of an inner plaintext is its last octet that is not zero; what is sealed with type
  // zero therefore is padded content.
  std::vector<std::byte> MakePadded(uint8_t type, std::vector<std::byte> content, size_t padding) {
    content.push_back(static_cast<std::byte>(type));
    content.resize(content.size() + padding);
    return Make(0, content);
  }

  Opened Tell(uint8_t type, const std::vector<std::byte>& content) {
    kept = Make(type, content);
    return record->Open(kept);
  }
  Opened Tell(uint8_t type, std::initializer_list<unsigned> content) {
    return Tell(type, Octets(content));
  }

  // What the engine wants to say: type and content of one record, in hex-free numbers.
  struct Said {
    uint8_t type = 0;
    std::vector<std::byte> content;
    bool operator==(const Said&) const = default;
  };
  std::vector<Said> Listen(std::vector<std::byte> wire) {
    std::vector<Said> all;
    MutableBytes rest(wire);
    while (!rest.empty()) {
      const RecordLength length = PeekRecord(rest);
      REQUIRE(length.kind == RecordLength::Kind::kRecord);
      const Protection::Opened opened = from_engine.Open(rest.first(length.total));
      REQUIRE(opened.kind == Protection::Opened::Kind::kOk);
      all.push_back({opened.type, {opened.content.begin(), opened.content.end()}});
      if (opened.type == kHandshake) REQUIRE(from_engine.Update());
      rest = rest.subspan(length.total);
    }
    return all;
  }
  std::vector<Said> Listen() {
    std::vector<std::byte> out;
    record->TakeOutput(out);
    return Listen(out);
  }

  // The next record has to end the connection with this alert.
  void CheckRefused(std::vector<std::byte> wire, unsigned alert) {
    const Opened opened = record->Open(wire);
    CHECK(opened.kind == OpenKind::kFailed);
    CHECK(opened.failure != nullptr);
    CHECK(Listen() == std::vector<Said>{{kAlert, Octets({2, alert})}});
    CheckDead();
  }
  void CheckDead() {
    CHECK(SealText(*record, "more").empty());
    std::vector<std::byte> out;
    record->CloseNotify(out);
    CHECK(out.empty());
    std::vector<std::byte> next = Make(kData, Octets("late"));
    CHECK(record->Open(next).kind == OpenKind::kFailed);
  }
  void CheckAlive() {
    const Opened opened = Tell(kData, Octets("ping"));
    CHECK(opened.kind == OpenKind::kData);
    CHECK(AsText(opened.plain) == "ping");
    CHECK(Listen(SealText(*record, "pong")) == std::vector<Said>{{kData, Octets("pong")}});
  }

  Protection to_engine;
  Protection from_engine;
  std::unique_ptr<Record> record;
  std::vector<std::byte> kept;
};

const std::vector<std::byte> kKeyUpdate = Octets({24, 0, 0, 1, 0});
const std::vector<std::byte> kKeyUpdateAsks = Octets({24, 0, 0, 1, 1});

}  // namespace

TEST_CASE("The two ends of a pair understand each other", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  for (int i = 0; i < 3; ++i) pair.CheckAlive();
}

TEST_CASE("A connection is small while it idles", "[tls][record_aead]") {
  Pair pair(true);
  pair.CheckAlive();
  CHECK(pair.record->MemoryUsed() < 400);
}

TEST_CASE("Alerts of the peer", "[tls][record_aead]") {
  struct Case {
    bool tls13;
    std::vector<std::byte> content;
    OpenKind kind;
    std::string failure;
  };
  const std::vector<Case> cases = {
      {true, Octets({1, 0}), OpenKind::kCloseNotify, ""},
      {true, Octets({2, 0}), OpenKind::kCloseNotify, ""},
      {true, Octets({1, 90}), OpenKind::kHandled, ""},
      {true, Octets({1, 48}), OpenKind::kFailed, "the client sent alert unknown_ca"},
      {true, Octets({2, 20}), OpenKind::kFailed, "the client sent alert bad_record_mac"},
      {true, Octets({2, 233}), OpenKind::kFailed, "the client sent alert 233"},
      {false, Octets({1, 0}), OpenKind::kCloseNotify, ""},
      {false, Octets({1, 90}), OpenKind::kHandled, ""},
      {false, Octets({1, 100}), OpenKind::kHandled, ""},
      {false, Octets({2, 40}), OpenKind::kFailed, "the client sent alert handshake_failure"},
  };
  for (const Case& c : cases) {
    Pair pair(c.tls13);
    const Opened opened = pair.Tell(kAlert, c.content);
    CHECK(opened.kind == c.kind);
    CHECK((opened.failure == nullptr ? "" : std::string(opened.failure)) == c.failure);
    CHECK(pair.Listen().empty());  // an alert is not answered
    if (c.kind == OpenKind::kFailed) pair.CheckDead();
    if (c.kind == OpenKind::kHandled) pair.CheckAlive();
  }
}

TEST_CASE("Malformed alerts", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  for (const auto& content : {Octets({}), Octets({1}), Octets({1, 0, 0}), Octets({2, 40, 2, 40})}) {
    Pair pair(tls13);
    pair.CheckRefused(pair.Make(kAlert, content), SSL_AD_DECODE_ERROR);
  }
  Pair pair(false);
  pair.CheckRefused(pair.Make(kAlert, Octets({3, 40})), SSL_AD_ILLEGAL_PARAMETER);
}

TEST_CASE("Warnings without end", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  for (unsigned round = 0; round < 3; ++round) {
    // Data in between makes them forgiven.
    for (unsigned i = 0; i < kMaxWarnings; ++i) {
      CHECK(pair.Tell(kAlert, {1, 90}).kind == OpenKind::kHandled);
    }
    pair.CheckAlive();
  }
  for (unsigned i = 0; i < kMaxWarnings; ++i) pair.Tell(kAlert, {1, 90});
  pair.CheckRefused(pair.Make(kAlert, Octets({1, 90})), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("What comes after close_notify is ignored", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  CHECK(pair.Tell(kAlert, {1, 0}).kind == OpenKind::kCloseNotify);
  const Opened late = pair.Tell(kData, Octets("late"));
  CHECK(late.kind == OpenKind::kCloseNotify);
  CHECK(late.plain.empty());
  CHECK(pair.Listen(SealText(*pair.record, "bye")) ==
        std::vector<Pair::Said>{{kData, Octets("bye")}});
}

TEST_CASE("KeyUpdate in one piece and in many", "[tls][record_aead]") {
  // RFC 8446 section 5.1: a message may be cut into records at any octet.
  for (size_t cut = 0; cut <= kKeyUpdateAsks.size(); ++cut) {
    Pair pair(true);
    const std::vector<std::byte> head(kKeyUpdateAsks.begin(),
                                      kKeyUpdateAsks.begin() + static_cast<ptrdiff_t>(cut));
    const std::vector<std::byte> rest(kKeyUpdateAsks.begin() + static_cast<ptrdiff_t>(cut),
                                      kKeyUpdateAsks.end());
    if (!head.empty()) CHECK(pair.Tell(kHandshake, head).kind == OpenKind::kHandled);
    if (!rest.empty()) CHECK(pair.Tell(kHandshake, rest).kind == OpenKind::kHandled);
    REQUIRE(pair.to_engine.Update());
    CHECK(pair.Listen() == std::vector<Pair::Said>{{kHandshake, kKeyUpdate}});
    pair.CheckAlive();
  }
}

TEST_CASE("KeyUpdate is answered when it asks, and once", "[tls][record_aead]") {
  Pair pair(true);
  CHECK(pair.Tell(kHandshake, kKeyUpdate).kind == OpenKind::kHandled);
  REQUIRE(pair.to_engine.Update());
  CHECK(pair.Listen().empty());
  pair.CheckAlive();
  for (int i = 0; i < 5; ++i) {
    CHECK(pair.Tell(kHandshake, kKeyUpdateAsks).kind == OpenKind::kHandled);
    REQUIRE(pair.to_engine.Update());
  }
  CHECK(pair.Listen() == std::vector<Pair::Said>{{kHandshake, kKeyUpdate}});
  pair.CheckAlive();
  CHECK(pair.Tell(kHandshake, kKeyUpdateAsks).kind == OpenKind::kHandled);
  REQUIRE(pair.to_engine.Update());
  CHECK(pair.Listen() == std::vector<Pair::Said>{{kHandshake, kKeyUpdate}});
}

TEST_CASE("KeyUpdate is not answered once we have closed", "[tls][record_aead]") {
  Pair pair(true);
  std::vector<std::byte> out;
  pair.record->CloseNotify(out);
  CHECK(pair.Listen(out) == std::vector<Pair::Said>{{kAlert, Octets({1, 0})}});
  CHECK(pair.Tell(kHandshake, kKeyUpdateAsks).kind == OpenKind::kHandled);
  REQUIRE(pair.to_engine.Update());
  CHECK(pair.Listen().empty());
  CHECK(AsText(pair.Tell(kData, Octets("late")).plain) == "late");
}

TEST_CASE("The answer to a KeyUpdate goes out before close_notify", "[tls][record_aead]") {
  Pair pair(true);
  CHECK(pair.Tell(kHandshake, kKeyUpdateAsks).kind == OpenKind::kHandled);
  std::vector<std::byte> out;
  pair.record->CloseNotify(out);
  CHECK(pair.Listen(out) ==
        std::vector<Pair::Said>{{kHandshake, kKeyUpdate}, {kAlert, Octets({1, 0})}});
}

TEST_CASE("KeyUpdates without end", "[tls][record_aead]") {
  Pair pair(true);
  for (unsigned i = 0; i < kMaxKeyUpdates; ++i) {
    CHECK(pair.Tell(kHandshake, kKeyUpdate).kind == OpenKind::kHandled);
    REQUIRE(pair.to_engine.Update());
  }
  pair.CheckRefused(pair.Make(kHandshake, kKeyUpdate), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("KeyUpdates without end, with data between them", "[tls][record_aead]") {
  Pair pair(true);
  const auto update = [&] {
    CHECK(pair.Tell(kHandshake, kKeyUpdate).kind == OpenKind::kHandled);
    REQUIRE(pair.to_engine.Update());
  };
  const auto data = [&] { CHECK(pair.Tell(kData, Octets("x")).kind == OpenKind::kData); };
  for (unsigned i = 0; i < kMaxKeyUpdatesEver; ++i) {
    if (i % kMaxKeyUpdates == 0) data();
    update();
  }
  data();
  // So far 129 records of data; the rest of what gives one KeyUpdate more.
  for (unsigned i = kMaxKeyUpdatesEver / kMaxKeyUpdates + 1; i < kRecordsPerKeyUpdate; ++i) data();
  update();
  data();
  pair.CheckRefused(pair.Make(kHandshake, kKeyUpdate), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("Illegal handshake messages in TLS 1.3", "[tls][record_aead]") {
  struct Case {
    const char* what;
    std::vector<std::byte> content;
    unsigned alert;
  };
  const std::vector<Case> cases = {
      {"empty record", Octets({}), SSL_AD_UNEXPECTED_MESSAGE},
      {"ClientHello", Octets({1, 0, 0, 5, 3, 3, 0, 0, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"Finished", Octets({20, 0, 0, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"NewSessionTicket", Octets({4, 0, 0, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"Certificate", Octets({11}), SSL_AD_UNEXPECTED_MESSAGE},
      {"KeyUpdate of no octets", Octets({24, 0, 0, 0}), SSL_AD_DECODE_ERROR},
      {"KeyUpdate of two octets", Octets({24, 0, 0, 2, 0, 0}), SSL_AD_DECODE_ERROR},
      {"KeyUpdate of 2^16 octets", Octets({24, 1, 0, 1}), SSL_AD_DECODE_ERROR},
      {"KeyUpdate with another value", Octets({24, 0, 0, 1, 2}), SSL_AD_ILLEGAL_PARAMETER},
      {"two KeyUpdates", Octets({24, 0, 0, 1, 0, 24, 0, 0, 1, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"KeyUpdate and an octet", Octets({24, 0, 0, 1, 1, 24}), SSL_AD_UNEXPECTED_MESSAGE},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    Pair pair(true);
    pair.CheckRefused(pair.Make(kHandshake, c.content), c.alert);
  }
}

TEST_CASE("Data may not come between the parts of a message", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  CHECK(pair.Tell(kHandshake, {tls13 ? 24U : 1U, 0}).kind == OpenKind::kHandled);
  pair.CheckRefused(pair.Make(kData, Octets("text")), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("Renegotiation is declined", "[tls][record_aead]") {
  const Pair::Said no_renegotiation = {kAlert, Octets({1, 100})};
  std::vector<std::byte> hello = Octets({1, 0, 1, 44});
  hello.resize(4 + 300);
  // Whole, and cut at any place.
  for (const size_t cut : {0, 1, 3, 4, 5, 100, 303}) {
    Pair pair(false);
    const std::vector<std::byte> head(hello.begin(), hello.begin() + static_cast<ptrdiff_t>(cut));
    const std::vector<std::byte> rest(hello.begin() + static_cast<ptrdiff_t>(cut), hello.end());
    if (!head.empty()) {
      CHECK(pair.Tell(kHandshake, head).kind == OpenKind::kHandled);
      CHECK(pair.Listen().empty());
    }
    CHECK(pair.Tell(kHandshake, rest).kind == OpenKind::kHandled);
    CHECK(pair.Listen() == std::vector{no_renegotiation});
    pair.CheckAlive();
  }
  // Two in one record, and then too many.
  Pair pair(false);
  std::vector<std::byte> two = Octets({1, 0, 0, 0, 1, 0, 0, 0});
  CHECK(pair.Tell(kHandshake, two).kind == OpenKind::kHandled);
  CHECK(pair.Listen() == std::vector{no_renegotiation, no_renegotiation});
  pair.CheckAlive();
  for (unsigned i = 2; i < kMaxRenegotiations; ++i) {
    CHECK(pair.Tell(kHandshake, {1, 0, 0, 0}).kind == OpenKind::kHandled);
    pair.Listen();
  }
  pair.CheckRefused(pair.Make(kHandshake, Octets({1, 0, 0, 0})), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("Illegal handshake messages in TLS 1.2", "[tls][record_aead]") {
  struct Case {
    const char* what;
    std::vector<std::byte> content;
    unsigned alert;
  };
  const std::vector<Case> cases = {
      {"empty record", Octets({}), SSL_AD_UNEXPECTED_MESSAGE},
      {"HelloRequest", Octets({0, 0, 0, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"Finished", Octets({20, 0, 0, 12}), SSL_AD_UNEXPECTED_MESSAGE},
      {"KeyUpdate", Octets({24, 0, 0, 1, 0}), SSL_AD_UNEXPECTED_MESSAGE},
      {"huge ClientHello", Octets({1, 1, 0, 0}), SSL_AD_ILLEGAL_PARAMETER},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    Pair pair(false);
    pair.CheckRefused(pair.Make(kHandshake, c.content), c.alert);
  }
}

TEST_CASE("What a server may say when the handshake is over", "[tls][record_aead]") {
  const auto server = [](bool tls13) {
    Pair pair(tls13);
    pair.record = MakeAeadRecord(
        {.read = Direction(tls13, 1), .write = Direction(tls13, 2), .peer = Peer::kServer});
    return pair;
  };
  // The least that a NewSessionTicket can be: 14 octets, with a ticket of one.
  const std::vector<std::byte> ticket =
      Octets({4, 0, 0, 14, 0, 0, 14, 16, 1, 2, 3, 4, 0, 0, 1, 9, 0, 0});
  {
    Pair pair = server(true);
    CHECK(pair.Tell(kHandshake, ticket).kind == OpenKind::kHandled);
    // Two in a record, and one in many.
    std::vector<std::byte> two = ticket;
    two.insert(two.end(), ticket.begin(), ticket.end());
    CHECK(pair.Tell(kHandshake, two).kind == OpenKind::kHandled);
    for (const std::byte octet : ticket) {
      CHECK(pair.Tell(kHandshake, {octet}).kind == OpenKind::kHandled);
    }
    // Nothing may come between its parts.
    CHECK(pair.Tell(kHandshake, {ticket.begin(), ticket.begin() + 6}).kind == OpenKind::kHandled);
    CHECK(pair.Tell(kHandshake, {ticket.begin() + 6, ticket.end()}).kind == OpenKind::kHandled);
    pair.CheckAlive();
  }
  {
    Pair pair = server(true);
    for (unsigned i = 0; i < kMaxTickets; ++i) {
      REQUIRE(pair.Tell(kHandshake, ticket).kind == OpenKind::kHandled);
    }
    pair.CheckAlive();  // data begin the count anew
    for (unsigned i = 0; i < kMaxTickets; ++i) {
      REQUIRE(pair.Tell(kHandshake, ticket).kind == OpenKind::kHandled);
    }
    pair.CheckRefused(pair.Make(kHandshake, ticket), 10);
  }
  struct Case {
    bool tls13;
    std::vector<std::byte> message;
    unsigned alert;
  };
  const Case cases[] = {
      {true, Octets({4, 0, 0, 13}), 50},           // too short
      {true, Octets({4, 2, 1, 10}), 50},           // longer than any can be
      {true, Octets({13, 0, 0, 3, 0, 0, 0}), 10},  // CertificateRequest: we have not offered that
      {true, Octets({0, 0, 0, 0}), 10},            // HelloRequest is of TLS 1.2
      {true, Octets({1, 0, 0, 0}), 10},           {false, Octets({0, 0, 0, 1, 0}), 50},
      {false, Octets({4, 0, 0, 14}), 10},         {false, Octets({1, 0, 0, 0}), 10},
  };
  for (const Case& test : cases) {
    Pair pair = server(test.tls13);
    pair.CheckRefused(pair.Make(kHandshake, test.message), test.alert);
  }
  {
    // A HelloRequest is declined.
    Pair pair = server(false);
    CHECK(pair.Tell(kHandshake, {0, 0, 0, 0}).kind == OpenKind::kHandled);
    CHECK(pair.Listen() == std::vector<Pair::Said>{{kAlert, Octets({1, 100})}});
    pair.CheckAlive();
  }
  {
    Pair pair = server(true);
    const Opened opened = pair.Tell(kAlert, {2, 80});
    CHECK(std::string(opened.failure) == "the server sent alert internal_error");
  }
  // A client has no tickets to give.
  Pair client(true);
  client.CheckRefused(client.Make(kHandshake, ticket), 10);
}

TEST_CASE("Records of other types", "[tls][record_aead]") {
  {
    // RFC 8446 section 5: change_cipher_spec is tolerated during the handshake alone.
    Pair pair(true);
    pair.CheckRefused(Octets({20, 3, 3, 0, 1, 1}), SSL_AD_UNEXPECTED_MESSAGE);
  }
  {
    Pair pair(true);  // an alert that is not encrypted
    pair.CheckRefused(Octets({21, 3, 3, 0, 2, 1, 0}), SSL_AD_UNEXPECTED_MESSAGE);
  }
  for (const bool tls13 : {false, true}) {
    for (const uint8_t type : {uint8_t{20}, uint8_t{24}, uint8_t{1}}) {
      Pair pair(tls13);
      pair.CheckRefused(pair.Make(type, Octets({1})), SSL_AD_UNEXPECTED_MESSAGE);
    }
  }
}

TEST_CASE("Illegal headers", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  const std::vector<std::pair<std::vector<std::byte>, unsigned>> cases = {
      {Octets({23, 3, 3, 255, 255}), SSL_AD_RECORD_OVERFLOW},
      {Octets({24, 3, 3, 0, 5}), SSL_AD_UNEXPECTED_MESSAGE},
      {Octets({23, 2, 0, 0, 5}), SSL_AD_PROTOCOL_VERSION},
      {Octets("GET /"), SSL_AD_UNEXPECTED_MESSAGE},
  };
  for (const auto& [header, alert] : cases) {
    Pair pair(tls13);
    pair.CheckRefused(header, alert);
  }
}

TEST_CASE("Padding is taken off", "[tls][record_aead]") {
  for (const size_t padding : {size_t{1}, size_t{255}, size_t{16'000}}) {
    Pair pair(true);
    std::vector<std::byte> record = pair.MakePadded(kData, Octets("text"), padding);
    // MakePadded seals with type zero, so one zero more is there.
    const Opened opened = pair.record->Open(record);
    CHECK(opened.kind == OpenKind::kData);
    CHECK(AsText(opened.plain) == "text");
    pair.CheckAlive();
  }
  Pair pair(true);
  pair.CheckRefused(pair.Make(0, Octets({0, 0, 0})), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("Empty records are allowed, to a bound", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  for (unsigned i = 0; i < kMaxEmptyRecords; ++i) {
    const Opened opened = pair.Tell(kData, Octets({}));
    CHECK(opened.kind == OpenKind::kData);
    CHECK(opened.plain.empty());
  }
  pair.CheckAlive();
  for (unsigned i = 0; i < kMaxEmptyRecords; ++i) pair.Tell(kData, Octets({}));
  pair.CheckRefused(pair.Make(kData, Octets({})), SSL_AD_UNEXPECTED_MESSAGE);
}

TEST_CASE("Records that are too long overflow", "[tls][record_aead]") {
  for (const bool tls13 : {false, true}) {
    Pair pair(tls13);
    const std::vector<std::byte> most(limits::kMaxPlaintext, std::byte{'x'});
    CHECK(pair.Tell(kData, most).plain.size() == most.size());
    const std::vector<std::byte> more(limits::kMaxPlaintext + 1, std::byte{'x'});
    pair.CheckRefused(pair.Make(kData, more), SSL_AD_RECORD_OVERFLOW);
  }
  // RFC 8446 section 5.4: content, type and padding are 2^14 + 1 octets at most.
  Pair pair(true);
  pair.CheckRefused(pair.MakePadded(kData, Octets("text"), limits::kMaxPlaintext),
                    SSL_AD_RECORD_OVERFLOW);
}

TEST_CASE("Records longer than agreed overflow", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  Pair pair(tls13);
  pair.record = MakeAeadRecord(
      {.read = Direction(tls13, 1), .write = Direction(tls13, 2), .max_fragment = 512});
  CHECK(pair.Tell(kData, std::vector<std::byte>(512)).plain.size() == 512);
  pair.CheckRefused(pair.Make(kData, std::vector<std::byte>(513)), SSL_AD_RECORD_OVERFLOW);
}

TEST_CASE("Records too short for a tag have a bad MAC", "[tls][record_aead]") {
  const bool tls13 = GENERATE(false, true);
  for (unsigned size = 0; size < 16; ++size) {
    Pair pair(tls13);
    std::vector<std::byte> record = Octets({23, 3, 3, 0, size});
    record.resize(5 + size);
    pair.CheckRefused(record, SSL_AD_BAD_RECORD_MAC);
  }
}

TEST_CASE("Our key is changed before it wears out", "[tls][record_aead]") {
  // RFC 8446 section 5.5. The KeyUpdate goes in front of the record, in its slot.
  Pair pair(true, 3);
  std::vector<uint8_t> types;
  for (int i = 0; i < 8; ++i) {
    for (const Pair::Said& said : pair.Listen(SealText(*pair.record, "text"))) {
      types.push_back(said.type);
      if (said.type == kHandshake) CHECK(said.content == kKeyUpdate);
    }
  }
  CHECK(types == std::vector<uint8_t>{kData, kData, kData, kHandshake, kData, kData, kData,
                                      kHandshake, kData, kData});
}

TEST_CASE("A KeyUpdate of ours and many small records fit a slot", "[tls][record_aead]") {
  Pair pair(true);
  pair.record = MakeAeadRecord({.read = Direction(true, 1),
                                .write = Direction(true, 2),
                                .max_fragment = 512,
                                .records_per_key = 1});
  const std::string text(limits::kMaxPlaintext, 'x');
  std::string heard;
  for (int i = 0; i < 2; ++i) {
    for (const Pair::Said& said : pair.Listen(SealText(*pair.record, text))) {
      if (said.type == kData) heard += AsText(said.content);
    }
  }
  CHECK(heard == text + text);
}

TEST_CASE("Sequence numbers never wrap", "[tls][record_aead]") {
  // RFC 5246 section 6.1, RFC 8446 section 5.3.
  Pair pair(false, kRecordsPerKey, UINT64_MAX - 1);
  CHECK(pair.Listen(SealText(*pair.record, "last")) ==
        std::vector<Pair::Said>{{kData, Octets("last")}});
  CHECK(SealText(*pair.record, "more").empty());
  CHECK(SealText(*pair.record, "more").empty());

  Protection read = Direction(true, 1, UINT64_MAX);
  std::vector<std::byte> record(64);
  CHECK(read.Open(record).kind == Protection::Opened::Kind::kUsedUp);
}

TEST_CASE("Keys follow from secrets as RFC 8448 has them", "[tls][record_aead]") {
  // RFC 8448 section 3: server_application_traffic_secret_0 and its key and IV.
  const std::vector<std::byte> secret =
      Octets({0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11,
              0x6b, 0x45, 0xa9, 0x50, 0x32, 0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb,
              0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43});
  std::vector<std::byte> key(16);
  REQUIRE(ExpandLabel(HashKind::kSha256, secret, "key", {}, key));
  CHECK(key == Octets({0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef, 0xc2, 0x6b, 0xb9, 0xf2, 0xac,
                       0x92, 0xe3, 0x56}));
  std::vector<std::byte> iv(12);
  REQUIRE(ExpandLabel(HashKind::kSha256, secret, "iv", {}, iv));
  CHECK(iv == Octets({0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84}));
}

TEST_CASE("TLS 1.2 nonces go on where the handshake stopped", "[tls][record_aead]") {
  // The Finished was sealed by libssl under the same key with an explicit nonce of its choice. A
  // nonce of ours must never be that one again.
  const auto contexts = test::MakeContexts({test::MakePair(1, "mail.example")});
  for (const bool resumed : {false, true}) {
    test::TestClient first({}, test::OnlyVersion(TLS1_2_VERSION));
    test::Complete(*contexts->Begin(test::kPolicy), first);
    test::TestClient client({}, test::OnlyVersion(TLS1_2_VERSION),
                            resumed ? first.session() : nullptr);
    const auto handshake = contexts->Begin(test::kPolicy);
    // All that the server sends.
    std::vector<std::byte> sent;
    std::vector<std::byte> out;
    HandshakeState state = HandshakeState::kNeedMore;
    while (state == HandshakeState::kNeedMore) {
      const std::vector<std::byte> wire = client.Handshake(out);
      out.clear();
      state = handshake->Advance(wire, out).state;
      sent.insert(sent.end(), out.begin(), out.end());
    }
    REQUIRE(state == HandshakeState::kEstablished);
    // Our Finished is the last record of the handshake: 5 octets header, 8 nonce, 16 content, 16
    // tag.
    REQUIRE(sent.size() > 45);
    const auto nonce = [](Bytes record) {
      uint64_t value = 0;
      for (const std::byte octet : record.subspan(5, 8)) {
        value = value << 8 | std::to_integer<uint64_t>(octet);
      }
      return value;
    };
    const uint64_t finished = nonce(Bytes(sent).last(45));
    const auto record = handshake->TakeRecord();
    for (uint64_t i = 1; i < 4; ++i) CHECK(nonce(SealText(*record, "x")) == finished + i);
  }
}

TEST_CASE("aead record: sealing stays within the room that it asks for") {
  for (const bool tls13 : {true, false}) {
    for (const uint64_t records_per_key : {uint64_t{1} << 20, uint64_t{0}}) {
      for (const size_t size : {size_t{1}, size_t{512}, size_t{513}, limits::kMaxPlaintext}) {
        for (const size_t fragment : {size_t{512}, limits::kMaxPlaintext}) {
          CAPTURE(tls13, records_per_key, size, fragment);
          const auto record = MakeAeadRecord({.read = Direction(tls13, 1),
                                              .write = Direction(tls13, 2),
                                              .max_fragment = fragment,
                                              .records_per_key = records_per_key});
          const SealRoom room = record->RoomFor(size);
          CHECK(room.front <= limits::kSlotHeadroom);
          CHECK(room.behind <= limits::kSlotTailroom);
          constexpr size_t kFence = 64;
          constexpr std::byte kUntouched{0xA7};
          std::vector<std::byte> memory(kFence + room.front + size + room.behind + kFence,
                                        kUntouched);
          const MutableBytes plain = MutableBytes(memory).subspan(kFence + room.front, size);
          const MutableBytes sealed = record->Seal(plain);
          CHECK(sealed.data() == memory.data() + kFence);
          CHECK(sealed.size() == room.front + size + room.behind);
          const auto untouched = [&](Bytes part) {
            return std::ranges::all_of(part, [&](std::byte b) { return b == kUntouched; });
          };
          CHECK(untouched(Bytes(memory).first(kFence)));
          CHECK(untouched(Bytes(memory).last(kFence)));
        }
      }
    }
  }
}

}  // namespace postern::tls
