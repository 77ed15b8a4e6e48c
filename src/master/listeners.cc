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
#include <utility>

#include "postern/base/check.h"
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

ListenerSet::AddressPtr ListenerSet::Find(const generation::ListenSocket& wanted) const {
  const auto found = std::find_if(addresses_.begin(), addresses_.end(), [&](const AddressPtr& a) {
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

std::expected<ListenerSet, std::vector<Error>> ListenerSet::Make(
    const std::vector<generation::ListenSocket>& wanted, uint32_t workers,
    const ListenerSet& current) {
  ListenerSet set;
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

int ListenerSet::fd(size_t index, uint32_t worker) const {
  POSTERN_CHECK(index < addresses_.size() && worker < addresses_[index]->fds.size());
  return addresses_[index]->fds[worker].get();
}

}  // namespace postern::master
