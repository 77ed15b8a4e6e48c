// Listening sockets. Why one per worker: the kernel then spreads connections without a lock that
// workers share, and the queue of a worker that died waits for its successor, because the master
// keeps the socket open.
//
// A specific address beside a wildcard of the same port (before and after a reload, or at once) can
// be bound because every socket has SO_REUSEPORT and the same owner (socket(7)); the kernel prefers
// the specific one. So "*" can become "192.0.2.1" in a reload, and neither order of binding and
// closing refuses anybody.
#include "master/listeners.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/log.h"
#include "postern/os/socket.h"

namespace postern::master {
namespace {

bool MachineHasIpv6() {
  return os::UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid();
}

bool IsDualStackWildcard(const generation::ListenSocket& socket) {
  return !socket.v6_only && socket.address.family() == AF_INET6 &&
         socket.address.IpString() == "::";
}

}  // namespace

ListenerSet ListenerSet::Inherit(std::vector<InheritedSocket> sockets) {
  ListenerSet set;
  for (InheritedSocket& socket : sockets) {
    const auto same = std::ranges::find_if(set.addresses_, [&](const AddressPtr& a) {
      return a->wanted == socket.wanted && a->v6_only == socket.v6_only;
    });
    const bool known = same != set.addresses_.end();
    const AddressPtr address = known ? *same : std::make_shared<Address>();
    if (!known) {
      address->wanted = socket.wanted;
      address->v6_only = socket.v6_only;
      address->bound = socket.bound;
      address->name = socket.name;
      set.addresses_.push_back(address);
    }
    address->reuse_port = address->reuse_port && socket.reuse_port;
    address->fds.push_back(std::move(socket.fd));
  }
  return set;
}

ListenerSet::AddressPtr ListenerSet::Find(const generation::ListenSocket& wanted) const {
  const auto found = std::ranges::find_if(addresses_, [&](const AddressPtr& a) {
    return a->wanted == wanted.address && a->v6_only == wanted.v6_only;
  });
  return found == addresses_.end() ? nullptr : *found;
}

Result<ListenerSet::AddressPtr> ListenerSet::Bind(const generation::ListenSocket& wanted,
                                                  uint32_t workers) {
  auto address = std::make_shared<Address>();
  address->wanted = wanted.address;
  address->v6_only = wanted.v6_only;
  address->bound = wanted.address;
  if (IsDualStackWildcard(wanted) && !MachineHasIpv6()) {
    // "*" means every address of the machine, and there it has those of IPv4 alone.
    address->bound = *os::SocketAddress::FromIp("0.0.0.0", wanted.address.port());
  }
  for (uint32_t worker = 0; worker < workers; ++worker) {
    Result<os::UniqueFd> fd =
        os::MakeListener(address->bound, {.v6_only = wanted.v6_only, .listen = false});
    if (!fd) {
      Error error = fd.error();
      error.what = fmt::format("listener \"{}\": {}", wanted.listener, error.what);
      error.where = wanted.where;
      return std::unexpected(std::move(error));
    }
    address->fds.push_back(std::move(*fd));
  }
  return address;
}

void ListenerSet::Complete(Address& address, uint32_t workers) {
  while (address.reuse_port && address.fds.size() < workers) {
    Result<os::UniqueFd> fd =
        os::MakeListener(address.bound, {.v6_only = address.v6_only, .listen = false});
    if (!fd) {
      LogLine(LogLevel::kNotice, "workers share a listening socket")
          .Field("address", address.bound.ToString())
          .Field("reason", fd.error().what);
      address.reuse_port = false;
      return;
    }
    address.fds.push_back(std::move(*fd));
    address.listening = false;
  }
}

std::expected<ListenerSet, std::vector<Error>> ListenerSet::Make(
    const std::vector<generation::ListenSocket>& wanted, uint32_t workers,
    const ListenerSet& current) {
  ListenerSet set;
  set.workers_ = workers;
  std::vector<Error> faults;
  for (const generation::ListenSocket& socket : wanted) {
    AddressPtr address = current.Find(socket);
    if (address == nullptr) {
      Result<AddressPtr> bound = Bind(socket, workers);
      if (!bound) {
        faults.push_back(bound.error());
        continue;
      }
      address = std::move(*bound);
    } else {
      Complete(*address, workers);
    }
    set.addresses_.push_back(std::move(address));
  }
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return set;
}

Status ListenerSet::StartListening() {
  for (const AddressPtr& address : addresses_) {
    if (address->listening) continue;
    for (const os::UniqueFd& fd : address->fds) {
      if (Status begun = os::StartListening(fd.get(), address->bound); !begun) return begun;
    }
    address->listening = true;
  }
  return {};
}

std::vector<int> ListenerSet::fds(size_t index, uint32_t worker) const {
  POSTERN_CHECK(index < addresses_.size() && worker < workers_);
  const std::vector<os::UniqueFd>& all = addresses_[index]->fds;
  if (worker >= all.size()) return {all[worker % all.size()].get()};
  std::vector<int> fds;
  for (size_t i = worker; i < all.size(); i += workers_) fds.push_back(all[i].get());
  return fds;
}

std::vector<ListenerSet::Held> ListenerSet::List() const {
  std::vector<Held> held;
  for (const AddressPtr& address : addresses_) {
    for (const os::UniqueFd& fd : address->fds) {
      held.push_back({address->wanted, address->v6_only, fd.get(), address->name});
    }
  }
  return held;
}

std::vector<ListenerSet::Held> ListenerSet::Unused(const ListenerSet& other) const {
  std::vector<Held> unused = other.List();
  const std::vector<Held> used = List();
  std::erase_if(unused, [&](const Held& held) {
    return std::ranges::any_of(used, [&](const Held& mine) { return mine.fd == held.fd; });
  });
  return unused;
}

}  // namespace postern::master
