// What a round trip through the worker's ring costs: the bare entry into the kernel, and two ends
// of a connection that answer each other through sends and multishot receives.
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "postern/base/check.h"
#include "postern/os/socket.h"
#include "postern/ring/ring.h"
#include "verify.h"

namespace postern::bench {
namespace {

std::unique_ptr<ring::Ring> MakeRing() {
  auto made = ring::Ring::Create({.entries = 64, .completions = 256, .direct_descriptors = 16});
  POSTERN_CHECK(made.has_value());
  return std::move(*made);
}

// The floor: one request that does nothing, submitted, waited for and taken, past Ring.
void RingNop(benchmark::State& state) {
  const auto ring = MakeRing();
  io_uring* native = ring->native();
  for (auto _ : state) {
    io_uring_sqe* request = io_uring_get_sqe(native);
    io_uring_prep_nop(request);
    io_uring_sqe_set_data64(request, 42);
    io_uring_submit_and_wait(native, 1);
    io_uring_cqe* completion = nullptr;
    if (io_uring_peek_cqe(native, &completion) != 0 || completion->user_data != 42) {
      return Wrong(state, "the completion did not come");
    }
    io_uring_cqe_seen(native, completion);
  }
  PerCore(state);
}
BENCHMARK(RingNop);

enum class Transport { kUnix, kTcp };

struct Ends {
  os::UniqueFd one;
  os::UniqueFd other;
};

Ends Connect(Transport transport) {
  if (transport == Transport::kUnix) {
    int fds[2];
    POSTERN_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    return {os::UniqueFd(fds[0]), os::UniqueFd(fds[1])};
  }
  const auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  POSTERN_CHECK(listener.has_value());
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  POSTERN_CHECK(::getsockname(listener->get(), address, &size) == 0);
  os::UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
  POSTERN_CHECK(::connect(client.get(), address, size) == 0);
  // The listener does not block; loopback has the connection queued once connect is through.
  os::UniqueFd server(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK));
  POSTERN_CHECK(server.valid());
  return {std::move(client), std::move(server)};
}

// End sends back what it receives, or stops there.
class End {
 public:
  End(ring::Ring& ring, ring::BufferPool& pool, os::UniqueFd fd, bool echoes)
      : ring_(ring),
        pool_(pool),
        fd_(ring.Adopt(std::move(fd))),
        echoes_(echoes),
        receive_(this, ring::Calls<&End::OnReceived>),
        send_(this, ring::Calls<&End::OnSent>) {
    POSTERN_CHECK(fd_ != ring::DirectFd::kNone);
    ring_.ReceiveMultishot(receive_, fd_, pool_);
  }

  void Send(Bytes bytes) {
    const iovec piece = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    ring_.Send(send_, fd_, {&piece, 1}, true);
  }
  size_t received() const { return received_; }
  Bytes last() const { return Bytes(last_).first(last_size_); }
  void Stop() { ring_.Cancel(receive_); }
  bool stopped() const { return !receive_.in_flight() && !send_.in_flight(); }
  void Close() { ring_.Close(fd_); }

 private:
  void OnReceived(ring::Completion completion) {
    if (!completion.has_buffer() || completion.result <= 0) return;
    const ring::Slot slot = pool_.Take(completion.buffer_id());
    const auto filled = pool_.Filled(slot, static_cast<size_t>(completion.result));
    last_size_ = std::min(filled.size(), last_.size());
    std::memcpy(last_.data(), filled.data(), last_size_);
    received_ += filled.size();
    if (echoes_) Send(last());
  }
  void OnSent(ring::Completion completion) { POSTERN_CHECK(completion.result > 0); }

  ring::Ring& ring_;
  ring::BufferPool& pool_;
  ring::DirectFd fd_;
  bool echoes_;
  ring::Operation receive_;
  ring::Operation send_;
  std::array<std::byte, 4096> last_{};
  size_t last_size_ = 0;
  size_t received_ = 0;
};

void RingRoundTrip(benchmark::State& state, Transport transport) {
  const auto ring = MakeRing();
  auto pool = ring::BufferPool::Create(ring->native(), {.group = 1, .count = 16});
  POSTERN_CHECK(pool.has_value());
  Ends fds = Connect(transport);
  End asks(*ring, **pool, std::move(fds.one), false);
  End answers(*ring, **pool, std::move(fds.other), true);
  const auto turn_until = [&](auto done) {
    while (!done()) {
      ring->Wait(1000);
      ring->Dispatch();
    }
  };
  std::array<std::byte, 64> message{};
  for (auto _ : state) {
    message[0] = static_cast<std::byte>(asks.received() >> 6);
    const size_t expected = asks.received() + message.size();
    asks.Send(message);
    turn_until([&] { return asks.received() >= expected; });
    if (!std::ranges::equal(asks.last(), message)) {
      Wrong(state, "other octets came back");
      break;
    }
  }
  PerCore(state);
  asks.Stop();
  answers.Stop();
  turn_until([&] { return asks.stopped() && answers.stopped(); });
  asks.Close();
  answers.Close();
  turn_until([&] { return ring->direct_free() == 16; });
}
BENCHMARK_CAPTURE(RingRoundTrip, unix, Transport::kUnix);
BENCHMARK_CAPTURE(RingRoundTrip, tcp, Transport::kTcp);

}  // namespace
}  // namespace postern::bench
