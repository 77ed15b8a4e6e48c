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

// Two sets share the sockets of the addresses that both have: whoever keeps a set keeps its
// sockets, and a socket is closed with the last set that has it. So a reload that fails just drops
// its new set, and one that succeeds drops the old.
class ListenerSet {
 public:
  ListenerSet() = default;

  // Make takes over what `current` has, and binds the rest (they do not listen yet). Every address
  // that cannot be had is reported.
  static std::expected<ListenerSet, std::vector<Error>> Make(
      const std::vector<generation::ListenSocket>& wanted, uint32_t workers,
      const ListenerSet& current);

  // StartListening lets clients in on the sockets that are new.
  Status StartListening();

  size_t size() const { return addresses_.size(); }
  // The socket of `worker` for the address at place `index` (as in Generation::sockets).
  int fd(size_t index, uint32_t worker) const;
  // What is bound, which is 0.0.0.0 for a dual-stack "[::]" on a machine without IPv6.
  const os::SocketAddress& bound(size_t index) const { return addresses_[index]->bound; }

 private:
  struct Address {
    os::SocketAddress wanted;
    bool v6_only = true;
    os::SocketAddress bound;
    std::vector<os::UniqueFd> fds;  // by worker
    bool listening = false;
  };
  using AddressPtr = std::shared_ptr<Address>;

  static Result<AddressPtr> Bind(const generation::ListenSocket& wanted, uint32_t workers);
  AddressPtr Find(const generation::ListenSocket& wanted) const;

  std::vector<AddressPtr> addresses_;
};

}  // namespace postern::master
