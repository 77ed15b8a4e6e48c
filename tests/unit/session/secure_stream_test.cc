#include "postern/session/secure_stream.h"

#include <sys/socket.h>

#include <array>
#include <random>

#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

// A toy record layer whose records, when it seals, have a longer header than what it opens.
class WideRecordLayer final : public tls::Record {
 public:
  tls::Opened Open(MutableBytes record) override { return toy_.Open(record); }
  MutableBytes Seal(MutableBytes plain) override {
    std::byte* front = plain.data() - 8;
    std::fill(front, plain.data(), std::byte{'='});
    const MutableBytes sealed = toy_.Seal({front, plain.size() + 8});
    return sealed;
  }
  tls::SealRoom RoomFor(size_t) const override { return {13, 0}; }
  void CloseNotify(std::vector<std::byte>& out) override { toy_.CloseNotify(out); }
  bool TakeOutput(std::vector<std::byte>& out) override { return toy_.TakeOutput(out); }
  size_t MemoryUsed() const override { return 0; }

 private:
  test::ToyRecordLayer toy_;
};

std::array<os::UniqueFd, 2> SocketPair() {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  return {os::UniqueFd(ends[0]), os::UniqueFd(ends[1])};
}

// What is received by one stream is sent by another one, as sessions do.
class Pump final : public relay::StreamOwner {
 public:
  Pump(Harness& harness, relay::StreamIo& from_io)
      : harness_(harness), from(from_io, *this), to(*harness.backend_io, *this) {
    auto near = SocketPair();
    auto far = SocketPair();
    source = std::move(near[1]);
    sink = std::move(far[1]);
    REQUIRE(from.Open(std::move(near[0])));
    REQUIRE(to.Open(std::move(far[0])));
    from.WantReceive(true);
    from.Pump();
  }
  ~Pump() {
    from.Close(false);
    to.Close(false);
    harness_.TurnUntil([&] {
      from.Pump();
      to.Pump();
      return from.closed() && to.closed();
    });
  }

  void OnConnected(relay::Stream&, int) override {}
  void OnReceived(relay::Stream&, const ring::Slot& slot, MutableBytes bytes) override {
    Plaintext plain;
    while ((last = from.Take(slot, bytes, plain)) == SecureStream::Taken::kData) {
      CHECK(to.Send(plain));
      in_slots += plain.slot != nullptr;
      ++pieces;
    }
    if (last == SecureStream::Taken::kEnd) to.End();
    if (last == SecureStream::Taken::kFailed) failure = plain.failure;
  }
  void OnStreamSettled(relay::Stream&) override {
    to.Pump();
    from.Pump();
  }

 private:
  Harness& harness_;

 public:
  SecureStream from;
  SecureStream to;
  os::UniqueFd source;
  os::UniqueFd sink;
  SecureStream::Taken last = SecureStream::Taken::kNothing;
  std::string failure;
  size_t pieces = 0;
  size_t in_slots = 0;
};

std::string Letters(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size) text += static_cast<char>('a' + random() % 26);
  return text;
}

}  // namespace

TEST_CASE("secure stream: records of one slot are opened and sealed again beside each other") {
  Harness harness;
  Pump pump(harness, *harness.client_io);
  pump.from.Secure(std::make_unique<test::ToyRecordLayer>());
  pump.to.Secure(std::make_unique<test::ToyRecordLayer>());
  std::string wire;
  for (unsigned i = 0; i < 20; ++i) wire += ToyRecord(Letters(1 + 37 * i, i));
  wire += ToyRecord("bye", 21);
  harness.Write(pump.source, wire);
  CHECK(harness.Read(pump.sink, wire.size()) == wire);
  CHECK(pump.pieces == 20);
  CHECK(pump.in_slots >= 19);  // but for one that two receives may have split
  CHECK(pump.from.ended());
  CHECK(pump.to.end_sent());
}

TEST_CASE("secure stream: a record with a longer header does not reach into what is beside it") {
  Harness harness;
  Pump pump(harness, *harness.client_io);
  pump.from.Secure(std::make_unique<test::ToyRecordLayer>());
  pump.to.Secure(std::make_unique<WideRecordLayer>());
  std::string wire;
  std::string expected;
  for (unsigned i = 0; i < 50; ++i) {
    const std::string text = Letters(1 + 91 * i, i);
    wire += ToyRecord(text);
    expected += ToyRecord("========" + text);
  }
  harness.Write(pump.source, wire);
  CHECK(harness.Read(pump.sink, expected.size()) == expected);
}

TEST_CASE("secure stream: plain text is sealed, wherever its slot has room or none") {
  for (const bool room : {true, false}) {
    CAPTURE(room);
    Harness harness;
    Pump pump(harness, room ? *harness.plain_client_io : *harness.client_io);
    pump.to.Secure(std::make_unique<WideRecordLayer>());
    // More than a record can hold, in one receive where the slot is that large.
    const std::string text = Letters(200'000, 1);
    size_t sent = 0;
    std::string got;
    harness.TurnUntil([&] {
      const ssize_t written = ::write(pump.source.get(), text.data() + sent, text.size() - sent);
      if (written > 0) sent += static_cast<size_t>(written);
      std::array<char, 65536> buffer;
      const ssize_t size = ::read(pump.sink.get(), buffer.data(), buffer.size());
      if (size > 0) got.append(buffer.data(), static_cast<size_t>(size));
      bool close_notify = false;
      std::string plain = Harness::Opened(got, close_notify);
      for (size_t at; (at = plain.find("========")) != std::string::npos;) plain.erase(at, 8);
      return plain.size() >= text.size() && plain == text;
    });
  }
}

TEST_CASE("secure stream: a piece behind octets that were taken before stays within its slot") {
  Harness harness;
  SecureStream stream(*harness.backend_io, harness.nobody);
  const ring::Slot slot = harness.backend_pool->Acquire();
  const MutableBytes whole = harness.backend_pool->Whole(slot);
  const MutableBytes filled = harness.backend_pool->Filled(slot, limits::kMaxPlaintext);
  MutableBytes rest = filled.subspan(1000);
  Plaintext plain;
  CHECK(stream.Take(slot, rest, plain) == SecureStream::Taken::kData);
  CHECK(plain.bytes.data() == filled.data() + 1000);
  CHECK(plain.front == limits::kSlotHeadroom + 1000);
  CHECK(plain.bytes.data() + plain.bytes.size() + plain.behind == whole.data() + whole.size());
  CHECK(rest.empty());
  CHECK(stream.Take(slot, rest, plain) == SecureStream::Taken::kNothing);
}

TEST_CASE("secure stream: in plain text the end is a FIN, in records a close_notify") {
  for (const bool secure : {true, false}) {
    CAPTURE(secure);
    Harness harness;
    Pump pump(harness, *harness.client_io);
    if (secure) pump.to.Secure(std::make_unique<test::ToyRecordLayer>());
    CHECK(pump.to.Say("250 fine\r\n"));
    CHECK_FALSE(pump.to.mid_line());
    CHECK(pump.to.Say("250-half a"));
    CHECK(pump.to.mid_line());
    pump.to.End();
    pump.to.Pump();
    if (secure) {
      const std::string expected =
          ToyRecord("250 fine\r\n") + ToyRecord("250-half a") + ToyRecord("bye", 21);
      CHECK(harness.Read(pump.sink, expected.size()) == expected);
    } else {
      int error = 0;
      CHECK(harness.ReadAll(pump.sink, error) == "250 fine\r\n250-half a");
      CHECK(error == 0);
    }
  }
}

TEST_CASE("secure stream: an end in plain text is whole, one of records needs close_notify") {
  for (const bool secure : {true, false}) {
    CAPTURE(secure);
    Harness harness;
    Pump pump(harness, *harness.client_io);
    if (secure) pump.from.Secure(std::make_unique<test::ToyRecordLayer>());
    pump.source.Reset();
    harness.TurnUntil([&] { return pump.from.at_eof(); });
    CHECK(pump.from.ended() != secure);
    CHECK(pump.from.cut_off() == secure);
  }
}

TEST_CASE("secure stream: an illegal header fails with a reason, also when it comes in parts") {
  for (const size_t cut : {3U, 5U, 9U}) {
    CAPTURE(cut);
    Harness harness;
    Pump pump(harness, *harness.client_io);
    pump.from.Secure(std::make_unique<test::ToyRecordLayer>());
    const std::string_view wire = "GET / HTT";
    harness.Write(pump.source, wire.substr(0, cut));
    harness.Turn();
    if (cut < wire.size()) harness.Write(pump.source, wire.substr(cut));
    harness.TurnUntil([&] { return pump.last == SecureStream::Taken::kFailed; });
    CHECK(pump.failure == "bad record");
  }
}

}  // namespace postern::session
