// One ring per process; all processes listen at the same port (SO_REUSEPORT), and their sockets are
// made before they are forked, so that every one is there when "listening" is said.
#include "bench/load/server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bench/load/server_peer.h"
#include "postern/os/process.h"
#include "postern/os/socket.h"

namespace postern::bench {
namespace {

constexpr uint32_t kPoolSlots = 1024;
constexpr uint64_t kMostDescriptors = 1 << 16;
constexpr uint64_t kTurnMs = 1000;

class Server {
 public:
  Server(const ServerOptions& options, os::UniqueFd listener)
      : options_(options),
        listener_(std::move(listener)),
        accept_(this, ring::Calls<&Server::OnAccept>),
        signal_(this, ring::Calls<&Server::OnSignal>) {}

  Status SetUp();
  void Run();
  int listener() const { return listener_.get(); }

 private:
  void OnAccept(ring::Completion completion);
  void OnSignal(ring::Completion) { stopped_ = true; }
  std::unique_ptr<ServerPeer> MakePeer();

  const ServerOptions& options_;
  os::UniqueFd listener_;
  os::UniqueFd signals_;
  std::unique_ptr<ring::Ring> ring_;
  std::unique_ptr<ring::BufferPool> pool_;
  relay::StarvedStreams starved_;
  std::unique_ptr<relay::StreamIo> io_;
  ring::Operation accept_;
  ring::Operation signal_;
  std::unordered_map<ServerPeer*, std::unique_ptr<ServerPeer>> peers_;
  std::vector<ServerPeer*> gone_;
  bool stopped_ = false;
};

Status Server::SetUp() {
  const auto places = static_cast<uint32_t>(std::min(os::RaiseDescriptorLimit(), kMostDescriptors));
  auto ring = ring::Ring::Create({.direct_descriptors = places});
  if (!ring) return std::unexpected(ring.error());
  ring_ = std::move(*ring);
  auto pool = ring::BufferPool::Create(ring_->native(), {.count = kPoolSlots});
  if (!pool) return std::unexpected(pool.error());
  pool_ = std::move(*pool);
  io_.reset(new relay::StreamIo{*ring_, *pool_, starved_, true});
  auto signals = os::MakeSignalFd({SIGINT, SIGTERM});
  if (!signals) return std::unexpected(signals.error());
  signals_ = std::move(*signals);
  ring_->PollMultishot(signal_, signals_.get(), POLLIN);
  return {};
}

void Server::Run() {
  while (!stopped_) {
    if (!accept_.in_flight()) ring_->AcceptMultishot(accept_, listener_.get());
    ring_->Wait(kTurnMs);
    ring_->Dispatch();
    starved_.Revive(*pool_);
    for (ServerPeer* peer : gone_) peers_.erase(peer);
    gone_.clear();
  }
}

void Server::OnAccept(ring::Completion completion) {
  if (completion.result < 0) return;  // that client is gone, or descriptors ran out: the next turn
  std::unique_ptr<ServerPeer> peer = MakePeer();
  ServerPeer* const borrowed = peer.get();
  peers_.emplace(borrowed, std::move(peer));
  borrowed->Begin(os::UniqueFd(completion.result));
}

std::unique_ptr<ServerPeer> Server::MakePeer() {
  const auto gone = [this](ServerPeer& peer) { gone_.push_back(&peer); };
  if (options_.behaviour == Behaviour::kWire) return std::make_unique<WirePeer>(*io_, gone);
  return std::make_unique<GreetingPeer>(*io_, gone, options_.service);
}

os::SocketAddress BoundAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  return {reinterpret_cast<const sockaddr*>(&storage), size};
}

// With SO_REUSEPORT a port that somebody else serves with it, too, would be shared, and connections
// go to either. Bound without it, the port is ours alone or refused. (Between this and the
// listeners another may still come: that is a race among those who start at the same time.)
Status CheckFree(const os::SocketAddress& address) {
  const os::UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return FailErrno("cannot make a socket", errno);
  }
  if (address.family() == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);  // as MakeListener does
  }
  if (::bind(fd.get(), address.get(), address.size()) == 0) return {};
  const int number = errno;
  return FailErrno(
      "cannot listen on " + address.ToString(), number,
      number == EADDRINUSE ? "see who serves there (ss -ltnp), or take another port" : "");
}

// The listeners of all processes, at one port.
Result<std::vector<os::UniqueFd>> MakeListeners(const ServerOptions& options) {
  const auto addresses = os::ResolveHost(options.host, options.port);
  if (!addresses) return std::unexpected(addresses.error());
  os::SocketAddress address = addresses->front();
  if (Status is_free = CheckFree(address); !is_free) return std::unexpected(is_free.error());
  std::vector<os::UniqueFd> listeners;
  for (uint32_t i = 0; i < options.processes; ++i) {
    auto listener = os::MakeListener(address, {});
    if (!listener) return std::unexpected(listener.error());
    address = BoundAddress(listener->get());
    listeners.push_back(std::move(*listener));
  }
  return listeners;
}

Status Serve(const ServerOptions& options, uint32_t index, os::UniqueFd listener) {
  if (!options.cpus.empty()) {
    if (Status pinned = os::PinToCpu(options.cpus[index % options.cpus.size()]); !pinned) {
      return pinned;
    }
  }
  // Never destroyed: clients may still be connected, and the exit ends them. Static, so that it is
  // not taken for a leak.
  static Server* const server = new Server(options, std::move(listener));
  if (Status set = server->SetUp(); !set) return set;
  if (index == 0) {
    fmt::print("listening {}\n", BoundAddress(server->listener()).ToString());
    std::fflush(stdout);
  }
  server->Run();
  return {};
}

}  // namespace

Status RunServer(const ServerOptions& options) {
  auto listeners = MakeListeners(options);
  if (!listeners) return std::unexpected(listeners.error());
  const pid_t self = ::getpid();
  for (uint32_t i = 1; i < options.processes; ++i) {
    const pid_t pid = ::fork();
    if (pid < 0) return FailErrno("cannot start a process", errno);
    if (pid == 0) {
      // They end with the first one.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != self) ::_exit(kExitFailed);
      const Status served = Serve(options, i, std::move((*listeners)[i]));
      if (!served) fmt::print(stderr, "postern-bench: {}\n", served.error().ToString());
      ::_exit(served ? kExitDone : kExitFailed);
    }
  }
  return Serve(options, 0, std::move(listeners->front()));
}

}  // namespace postern::bench
