// ListenerSet: the listening sockets of one generation, one per address and worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/generation/compile.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

// InheritedSocket is a listening socket that somebody else made: the process whose place this one
// takes, or a service manager.
struct InheritedSocket {
  os::SocketAddress wanted;  // as a configuration names it (see ListenerSet::bound)
  bool v6_only = true;
  os::SocketAddress bound;
  bool reuse_port = true;  // more can be bound beside it
  os::UniqueFd fd;
  std::string name = {};  // a service manager's word for it
};

// Two sets share the sockets of the addresses that both have: whoever keeps a set keeps its
// sockets, and a socket is closed with the last set that has it. So a reload that fails just drops
// its new set, and one that succeeds drops the old.
class ListenerSet {
 public:
  ListenerSet() = default;

  // Inherit makes a set of what others made, to be `current` for Make.
  static ListenerSet Inherit(std::vector<InheritedSocket> sockets);

  // Make takes over what `current` has, and binds the rest (they do not listen yet). Every address
  // that cannot be had is reported.
  static std::expected<ListenerSet, std::vector<Error>> Make(
      const std::vector<generation::ListenSocket>& wanted, uint32_t workers,
      const ListenerSet& current);

  // StartListening lets clients in on the sockets that are new.
  Status StartListening();

  size_t size() const { return addresses_.size(); }
  // The sockets of `worker` for the address at place `index` (as in Generation::sockets). Every
  // socket has a worker and every worker a socket: with more sockets than workers, as after an
  // upgrade that lowered the number of workers, some have several, so that nobody waits in vain in
  // the queue of one that was left over; with fewer, workers share.
  std::vector<int> fds(size_t index, uint32_t worker) const;
  int fd(size_t index, uint32_t worker) const { return fds(index, worker).front(); }
  // All sockets, to pass on. The descriptors stay ours.
  struct Held {
    os::SocketAddress wanted;
    bool v6_only = true;
    int fd = -1;
    std::string name;
  };
  std::vector<Held> List() const;
  // Those of `other`'s that this set does not have.
  std::vector<Held> Unused(const ListenerSet& other) const;
  // What is bound, which is 0.0.0.0 for a dual-stack "[::]" on a machine without IPv6.
  const os::SocketAddress& bound(size_t index) const { return addresses_[index]->bound; }

 private:
  struct Address {
    os::SocketAddress wanted;
    bool v6_only = true;
    os::SocketAddress bound;
    std::vector<os::UniqueFd> fds;  // the first of them by worker
    bool reuse_port = true;         // more can be bound
    std::string name;
    bool listening = false;
  };
  using AddressPtr = std::shared_ptr<Address>;

  static Result<AddressPtr> Bind(const generation::ListenSocket& wanted, uint32_t workers);
  // Binds what an inherited address lacks. When that cannot be, the workers share what there is.
  static void Complete(Address& address, uint32_t workers);
  AddressPtr Find(const generation::ListenSocket& wanted) const;

  std::vector<AddressPtr> addresses_;
  uint32_t workers_ = 1;
};

}  // namespace postern::master
