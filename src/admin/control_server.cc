// The serving side of the control socket. It lives in the master's poll loop, so it must not wait
// for anybody; a thread of its own was rejected, since every answer needs the master's state.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>

#include "postern/admin/control.h"
#include "postern/base/limits.h"
#include "postern/os/clock.h"
#include "postern/os/socket.h"

namespace postern::admin {
namespace {

enum class Stage : uint8_t { kAsking, kWaiting, kAnswering };

struct Client {
  uint64_t id = 0;
  os::UniqueFd fd;
  Stage stage = Stage::kAsking;
  std::string in;
  std::string out;
  uint64_t deadline = 0;  // for kAsking and kAnswering
};

class Server : public ControlServer {
 public:
  Server(std::string path, os::UniqueFd listener, Handler handler)
      : path_(std::move(path)), listener_(std::move(listener)), handler_(std::move(handler)) {}
  ~Server() override {
    if (!handed_over_) ::unlink(path_.c_str());
  }

  void Answer(uint64_t client, const Reply& reply) override;
  void AddPollFds(std::vector<pollfd>& fds) const override;
  std::optional<uint64_t> NextDeadlineMs() const override;
  void Run(uint64_t now_ms) override;
  void Flush(uint64_t deadline_ms) override;
  int listener() const override { return listener_.get(); }
  void HandOver() override {
    handed_over_ = true;
    listener_.Reset();
  }

 private:
  void Accept(uint64_t now_ms);
  // Each does what it can without waiting; false when the client is done with.
  bool Progress(Client& client, uint64_t now_ms);
  bool Read(Client& client);
  bool Write(Client& client);
  static bool StillThere(const Client& client);
  void Handle(Client& client);

  std::string path_;
  os::UniqueFd listener_;
  Handler handler_;
  std::list<Client> clients_;
  uint64_t next_id_ = 1;
  bool handed_over_ = false;
};

void Server::Answer(uint64_t client, const Reply& reply) {
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&](const Client& c) { return c.id == client; });
  if (found == clients_.end() || found->stage == Stage::kAnswering) return;
  found->out = reply.text;
  if (!found->out.empty() && !found->out.ends_with('\n')) found->out += '\n';
  found->out += reply.ok ? "ok\n" : "error\n";
  found->stage = Stage::kAnswering;
  found->deadline = os::MonotonicMs() + limits::kControlTimeoutMs;
}

void Server::AddPollFds(std::vector<pollfd>& fds) const {
  // While every place is taken, new clients wait in the socket's queue.
  if (listener_.valid() && clients_.size() < limits::kMaxControlClients)
    fds.push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_) {
    short events = 0;  // hang-ups are reported without asking
    if (client.stage == Stage::kAsking) events = POLLIN;
    if (client.stage == Stage::kAnswering) events = POLLOUT;
    fds.push_back({client.fd.get(), events, 0});
  }
}

std::optional<uint64_t> Server::NextDeadlineMs() const {
  std::optional<uint64_t> next;
  for (const Client& client : clients_) {
    if (client.stage == Stage::kWaiting) continue;
    next = std::min(next.value_or(client.deadline), client.deadline);
  }
  return next;
}

void Server::Run(uint64_t now_ms) {
  Accept(now_ms);
  for (auto client = clients_.begin(); client != clients_.end();) {
    client = Progress(*client, now_ms) ? std::next(client) : clients_.erase(client);
  }
}

void Server::Flush(uint64_t deadline_ms) {
  listener_.Reset();
  std::erase_if(clients_, [](const Client& c) { return c.stage != Stage::kAnswering; });
  for (;;) {
    const uint64_t now = os::MonotonicMs();
    std::erase_if(clients_, [&](Client& c) { return !Progress(c, now); });
    if (clients_.empty() || now >= deadline_ms) return;
    std::vector<pollfd> fds;
    for (const Client& client : clients_) fds.push_back({client.fd.get(), POLLOUT, 0});
    ::poll(fds.data(), fds.size(), static_cast<int>(deadline_ms - now));
  }
}

void Server::Accept(uint64_t now_ms) {
  while (listener_.valid() && clients_.size() < limits::kMaxControlClients) {
    os::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    Client& client = clients_.emplace_back();
    client.id = next_id_++;
    client.fd = std::move(fd);
    client.deadline = now_ms + limits::kControlTimeoutMs;
  }
}

bool Server::Progress(Client& client, uint64_t now_ms) {
  if (client.stage == Stage::kAsking && !Read(client)) return false;
  if (client.stage == Stage::kWaiting && !StillThere(client)) return false;
  if (client.stage == Stage::kAnswering && !Write(client)) return false;
  return client.stage == Stage::kWaiting || now_ms < client.deadline;
}

bool Server::Read(Client& client) {
  char buffer[limits::kMaxControlRequest];
  for (;;) {
    const ssize_t got = ::recv(client.fd.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;  // gone without a whole line
    client.in.append(buffer, static_cast<size_t>(got));
    const bool whole = client.in.find('\n') != std::string::npos;
    if (whole && client.in.find('\n') <= limits::kMaxControlRequest) break;
    if (client.in.size() > limits::kMaxControlRequest) {
      client.stage = Stage::kWaiting;
      Answer(client.id, {false, "the request is too long"});
      return true;
    }
  }
  Handle(client);
  return true;
}

void Server::Handle(Client& client) {
  Request request;
  request.client = client.id;
  request.line = client.in.substr(0, client.in.find('\n'));
  if (request.line.ends_with('\r')) request.line.pop_back();
  client.in.clear();
  client.stage = Stage::kWaiting;
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(client.fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
    request.pid = who.pid;
    request.uid = who.uid;
  }
  handler_(request);
}

bool Server::StillThere(const Client& client) {
  pollfd state{client.fd.get(), 0, 0};
  return ::poll(&state, 1, 0) == 0;
}

bool Server::Write(Client& client) {
  while (!client.out.empty()) {
    const ssize_t sent =
        ::send(client.fd.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN;
    client.out.erase(0, static_cast<size_t>(sent));
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Open(const std::string& path,
                                                           Handler handler) {
  Result<os::UniqueFd> listener = os::MakeUnixListener(path, 0600);
  if (!listener) return std::unexpected(listener.error());
  return std::make_unique<Server>(path, std::move(*listener), std::move(handler));
}

std::unique_ptr<ControlServer> ControlServer::Adopt(const std::string& path, os::UniqueFd listener,
                                                    Handler handler) {
  return std::make_unique<Server>(path, std::move(listener), std::move(handler));
}

}  // namespace postern::admin
