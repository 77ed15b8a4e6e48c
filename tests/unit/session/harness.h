// A worker in miniature for session tests: real sockets and a real ring, a clock that the test
// moves, and a toy in place of TLS (records are framed as in TLS and their content is XORed), so
// that what is tested is the session alone.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "generation/settings_image.h"
#include "postern/os/clock.h"
#include "postern/os/sealed_memory.h"
#include "postern/os/socket.h"
#include "postern/session/session.h"
#include "tests/unit/catch.h"

namespace postern::session::test {

inline constexpr std::byte kMask{0x5a};

// One toy record: type 23 (data) or 21 (alert; any content is a close_notify).
inline std::string ToyRecord(std::string_view plain, char type = 23) {
  std::string record{type, 3, 3, static_cast<char>(plain.size() >> 8),
                     static_cast<char>(plain.size() & 0xff)};
  for (const char c : plain) record += static_cast<char>(c ^ static_cast<char>(kMask));
  return record;
}

class ToyRecordLayer final : public tls::Record {
 public:
  tls::Opened Open(MutableBytes record) override {
    if (record.size() < limits::kRecordHeader) return {tls::OpenKind::kFailed, {}, "bad record"};
    const MutableBytes body = record.subspan(limits::kRecordHeader);
    for (std::byte& b : body) b ^= kMask;
    if (record[0] == std::byte{21}) return {tls::OpenKind::kCloseNotify, {}, nullptr};
    if (record[0] == std::byte{22}) {
      output_ = ToyRecord("updated", 22);
      return {tls::OpenKind::kHandled, {}, nullptr};
    }
    if (record[0] != std::byte{23}) return {tls::OpenKind::kFailed, {}, "bad record"};
    return {tls::OpenKind::kData, body, nullptr};
  }
  MutableBytes Seal(MutableBytes plain) override {
    const std::string header = ToyRecord(AsText(plain)).substr(0, limits::kRecordHeader);
    for (std::byte& b : plain) b ^= kMask;
    std::byte* start = plain.data() - limits::kRecordHeader;
    std::copy(header.begin(), header.end(), reinterpret_cast<char*>(start));
    return {start, plain.size() + limits::kRecordHeader};
  }
  tls::SealRoom RoomFor(size_t) const override { return {limits::kRecordHeader, 0}; }
  void CloseNotify(std::vector<std::byte>& out) override {
    const std::string alert = ToyRecord("bye", 21);
    const Bytes bytes = AsBytes(alert);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  bool TakeOutput(std::vector<std::byte>& out) override {
    const Bytes bytes = AsBytes(output_);
    out.insert(out.end(), bytes.begin(), bytes.end());
    const bool any = !output_.empty();
    output_.clear();
    return any;
  }
  size_t MemoryUsed() const override { return sizeof *this; }

 private:
  std::string output_;
};

// The toy handshake: "HELLO\n", with or without the type of a handshake record ("\x16") in front,
// is answered with "WELCOME\n" and establishes; "BAD..." fails with
// "ALERT\n".
class ToyHandshake final : public tls::Handshake {
 public:
  Progress Advance(Bytes wire, std::vector<std::byte>& out) override {
    const std::string_view text = AsText(wire);
    const auto say = [&](std::string_view words) {
      const Bytes bytes = AsBytes(words);
      out.insert(out.end(), bytes.begin(), bytes.end());
    };
    if (text.starts_with("BAD")) {
      say("ALERT\n");
      return {tls::HandshakeState::kFailed, wire.size()};
    }
    if (text.starts_with("GET ")) {
      failure_ = tls::HandshakeFailure::kPlainHttp;
      return {tls::HandshakeState::kFailed, wire.size()};
    }
    const size_t size = text.starts_with('\x16') ? 7 : 6;
    if (text.size() < size) return {tls::HandshakeState::kNeedMore, 0};
    if (text.substr(size - 6, 6) != "HELLO\n") {
      failure_ = tls::HandshakeFailure::kPlainText;
      return {tls::HandshakeState::kFailed, wire.size()};
    }
    say("WELCOME\n");
    return {tls::HandshakeState::kEstablished, size};
  }
  tls::HandshakeFailure failure() const override { return failure_; }
  const std::string& failure_detail() const override { return detail_; }
  tls::HandshakeFacts& facts() override { return facts_; }
  std::unique_ptr<tls::Record> TakeRecord() override { return std::make_unique<ToyRecordLayer>(); }

 private:
  std::string detail_ = "toy";
  tls::HandshakeFailure failure_ = tls::HandshakeFailure::kProtocol;
  tls::HandshakeFacts facts_;
};

class ToyContexts final : public tls::ServerContexts {
 public:
  std::unique_ptr<tls::Handshake> Begin(const tls::ListenerPolicy&) override {
    return std::make_unique<ToyHandshake>();
  }
  size_t contexts() const override { return 0; }
};

// The toy handshake as the side that begins it: says "HELLO\n" and takes "WELCOME\n", or says
// "ALERT\n" and fails.
class ToyClientHandshake final : public tls::Handshake {
 public:
  Progress Advance(Bytes wire, std::vector<std::byte>& out) override {
    if (!began_) {
      const Bytes hello = AsBytes("HELLO\n");
      out.insert(out.end(), hello.begin(), hello.end());
      began_ = true;
    }
    const std::string_view welcome = "WELCOME\n";
    const std::string_view text = AsText(wire);
    if (!welcome.starts_with(text.substr(0, welcome.size()))) {
      const Bytes alert = AsBytes("ALERT\n");
      out.insert(out.end(), alert.begin(), alert.end());
      return {tls::HandshakeState::kFailed, wire.size()};
    }
    if (text.size() < welcome.size()) return {tls::HandshakeState::kNeedMore, 0};
    return {tls::HandshakeState::kEstablished, welcome.size()};
  }
  tls::HandshakeFailure failure() const override { return tls::HandshakeFailure::kProtocol; }
  const std::string& failure_detail() const override { return detail_; }
  tls::HandshakeFacts& facts() override { return facts_; }
  std::unique_ptr<tls::Record> TakeRecord() override { return std::make_unique<ToyRecordLayer>(); }

 private:
  bool began_ = false;
  std::string detail_ = "the server speaks no toy";
  tls::HandshakeFacts facts_;
};

class ToyClientContexts final : public tls::ClientContexts {
 public:
  std::unique_ptr<tls::Handshake> Begin(uint32_t, std::string_view) override {
    return std::make_unique<ToyClientHandshake>();
  }
};

inline os::SocketAddress BoundAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0);
  return {reinterpret_cast<sockaddr*>(&storage), size};
}

// Lines of the log, kept.
class LogKeeper final : public LogSink {
 public:
  LogKeeper() { GlobalLogging().sink = this; }
  ~LogKeeper() { GlobalLogging().sink = nullptr; }
  void Write(LogLevel, std::string_view line) override { text += line; }
  bool Has(std::string_view part) const { return text.find(part) != std::string::npos; }
  std::string text;
};

// For streams that no session owns.
class Nobody final : public relay::StreamOwner {
 public:
  void OnConnected(relay::Stream&, int) override {}
  void OnReceived(relay::Stream&, const ring::Slot&, MutableBytes) override {}
  void OnStreamSettled(relay::Stream&) override {}
};

struct HarnessOptions {
  config::Service service = config::Service::kImap;
  std::vector<os::SocketAddress> servers;  // empty: the harness's own back end
  uint32_t slots = 64;
  config::ProxyAcceptance proxy_in;
  config::ProxyOut proxy_out = config::ProxyOut::kOff;
  config::TlsMode tls = config::TlsMode::kImplicit;
  bool require_tls = true;
  uint64_t greeting_delay_ms = 0;
  KeywordCache* keywords = nullptr;
  config::BackendTlsMode backend_tls = config::BackendTlsMode::kOff;
  bool identify_clients = false;
  uint64_t first_byte_ms = 0;
  config::ListenerAccess access = {};
  bool ehlo_probe = true;
};

class Harness {
 public:
  using Options = HarnessOptions;

  explicit Harness(Options options = {}) {
    auto made =
        ring::Ring::Create({.entries = 256, .completions = 1024, .direct_descriptors = 512});
    if (!made) FAIL(made.error().ToString());
    ring = std::move(*made);
    client_pool = MakePool(0, options.slots, 0, limits::kFullRecord);
    backend_pool = MakePool(1, options.slots, limits::kSlotHeadroom, limits::kMaxPlaintext);
    client_io = std::make_unique<relay::StreamIo>(*ring, *client_pool, starved_clients, true);
    plain_client_io =
        std::make_unique<relay::StreamIo>(*ring, *backend_pool, starved_backends, true);
    backend_io = std::make_unique<relay::StreamIo>(*ring, *backend_pool, starved_backends, false);
    tls_backend_io = std::make_unique<relay::StreamIo>(*ring, *client_pool, starved_clients, false);
    io = std::make_unique<SessionIo>(*client_io, *plain_client_io, *backend_io, *tls_backend_io,
                                     timers, picker, counters, table, now_ms, scratch,
                                     options.keywords);
    auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
    REQUIRE(listener);
    backend_listener = std::move(*listener);
    if (options.servers.empty()) options.servers = {BoundAddress(backend_listener.get())};
    MakeSettings(options);
  }
  ~Harness() {
    table.EndAll(mail::Occasion::kShutdown, How::kDrained);
    TurnUntil([&] {
      now_ms += 1'000;
      return table.empty();
    });
  }

  // Turns the ring until `done`, at most 20 seconds of real time.
  template <typename Done>
  void TurnUntil(Done done) {
    const uint64_t deadline = os::MonotonicMs() + 20'000;
    bool over = done();
    while (!over && os::MonotonicMs() < deadline) {
      Turn();
      over = done();
    }
    REQUIRE(over);
  }
  void Turn(uint64_t wait_ms = 5) {
    ring->Wait(wait_ms);
    timers.Advance(now_ms);
    ring->Dispatch();
    starved_clients.Revive(*client_pool);
    starved_backends.Revive(*backend_pool);
  }

  // A fresh client whose session has begun; the far end is non-blocking.
  os::UniqueFd Connect() {
    auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
    REQUIRE(listener);
    const os::SocketAddress address = BoundAddress(listener->get());
    os::UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(::connect(client.get(), address.get(), address.size()) == 0);
    const int on = SOCK_NONBLOCK;
    REQUIRE(::fcntl(client.get(), F_SETFL, O_NONBLOCK) == 0);
    pollfd wait{listener->get(), POLLIN, 0};
    REQUIRE(::poll(&wait, 1, 10'000) == 1);
    os::UniqueFd accepted(::accept4(listener->get(), nullptr, nullptr, on));
    const os::SocketAddress peer = os::PeerAddress(accepted.get());
    REQUIRE(table.Add(*io, {std::move(accepted), peer, settings, 0, contexts, nullptr,
                            std::make_shared<ToyClientContexts>()}));
    return client;
  }
  // The back end's end of the next session that connects.
  os::UniqueFd AcceptBackend() {
    os::UniqueFd fd;
    TurnUntil([&] {
      fd.Reset(::accept4(backend_listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
      return fd.valid();
    });
    return fd;
  }
  // A client past its handshake, with its back end.
  struct Pair {
    os::UniqueFd client;
    os::UniqueFd backend;
  };
  Pair Established() {
    Pair pair;
    pair.client = Connect();
    Write(pair.client, "HELLO\n");
    CHECK(Read(pair.client, 8) == "WELCOME\n");
    pair.backend = AcceptBackend();
    return pair;
  }

  void Write(const os::UniqueFd& fd, std::string_view text) {
    TurnUntil([&] {
      const ssize_t written = ::write(fd.get(), text.data(), text.size());
      if (written > 0) text.remove_prefix(static_cast<size_t>(written));
      return text.empty();
    });
  }
  // Exactly `size` octets, or what came before the stream ended.
  std::string Read(const os::UniqueFd& fd, size_t size) {
    std::string got;
    // No turn more than it takes: many tests read octet by octet.
    TurnUntil([&] {
      const bool open = got.size() == size || ReadSome(fd, got, size - got.size());
      return !open || got.size() == size;
    });
    return got;
  }
  // Everything up to the end; `error` is 0 for a clean end.
  std::string ReadAll(const os::UniqueFd& fd, int& error) {
    std::string got;
    TurnUntil([&] { return !ReadSome(fd, got, 65536); });
    error = last_error;
    return got;
  }
  // The content of the client's records and whether a close_notify came.
  static std::string Opened(std::string_view wire, bool& close_notify) {
    std::string plain;
    close_notify = false;
    while (wire.size() >= limits::kRecordHeader) {
      const size_t size = static_cast<size_t>(static_cast<unsigned char>(wire[3])) << 8 |
                          static_cast<unsigned char>(wire[4]);
      if (wire.size() < limits::kRecordHeader + size) break;
      if (wire[0] == 21) close_notify = true;
      for (const char c : wire.substr(limits::kRecordHeader, size)) {
        if (wire[0] == 23) plain += static_cast<char>(c ^ static_cast<char>(kMask));
      }
      wire.remove_prefix(limits::kRecordHeader + size);
    }
    return plain;
  }

  uint64_t now_ms = 1'000'000;
  std::unique_ptr<ring::Ring> ring;
  std::unique_ptr<ring::BufferPool> client_pool;
  std::unique_ptr<ring::BufferPool> backend_pool;
  relay::StarvedStreams starved_clients;
  relay::StarvedStreams starved_backends;
  std::unique_ptr<relay::StreamIo> client_io;
  std::unique_ptr<relay::StreamIo> plain_client_io;
  std::unique_ptr<relay::StreamIo> backend_io;
  std::unique_ptr<relay::StreamIo> tls_backend_io;
  ring::TimerWheel timers{now_ms};
  relay::BackendPicker picker;
  shm::WorkerCounters counters;
  std::vector<std::byte> scratch;
  SessionTable table;
  std::unique_ptr<SessionIo> io;
  os::UniqueFd backend_listener;
  generation::SettingsPtr settings;
  std::shared_ptr<tls::ServerContexts> contexts = std::make_shared<ToyContexts>();
  LogKeeper log;
  Nobody nobody;

 private:
  std::unique_ptr<ring::BufferPool> MakePool(uint16_t group, uint32_t slots, size_t offset,
                                             size_t length) {
    auto pool = ring::BufferPool::Create(
        ring->native(), {.group = group, .count = slots, .offset = offset, .length = length});
    if (!pool) FAIL(pool.error().ToString());
    return std::move(*pool);
  }
  void MakeSettings(const Options& options) {
    config::Config config;
    config.backends.push_back(
        {.name = "mail", .servers = {}, .connect_timeout_ms = 2'000, .proxy = options.proxy_out});
    config.backends[0].tls.mode = options.backend_tls;
    config.backends[0].identify_clients = options.identify_clients;
    config.backends[0].ehlo_probe = options.ehlo_probe;
    std::vector<generation::ResolvedServer> resolved;
    for (const os::SocketAddress& server : options.servers) {
      config.backends[0].servers.push_back({.text = server.ToString()});
      resolved.push_back({{server}, {}});
    }
    config::Listener listener;
    listener.name = "test";
    listener.service = options.service;
    listener.backend = "mail";
    listener.proxy = options.proxy_in;
    listener.timeouts = {.handshake_ms = 10'000, .dialog_ms = 60'000, .idle_ms = 300'000};
    listener.timeouts.first_byte_ms = options.first_byte_ms;
    listener.timeouts.unread_ms = 60'000;
    listener.access = options.access;
    listener.tls = options.tls;
    listener.require_tls = options.require_tls;
    listener.greeting_delay_ms = options.greeting_delay_ms;
    listener.host_name = "mx.test";
    config.listeners.push_back(listener);
    const auto image = generation::BuildSettings(config, 7, {}, resolved);
    auto memory = os::MakeSealed("settings", image);
    REQUIRE(memory);
    auto mapped = generation::Settings::Map(memory->get());
    if (!mapped) FAIL(mapped.error().ToString());
    settings = *mapped;
  }
  bool ReadSome(const os::UniqueFd& fd, std::string& got, size_t most) {
    std::string buffer(most, '\0');
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    last_error = size < 0 ? errno : 0;
    if (size > 0) got.append(buffer, 0, static_cast<size_t>(size));
    return size > 0 || (size < 0 && errno == EAGAIN);
  }
  int last_error = 0;
};

}  // namespace postern::session::test
