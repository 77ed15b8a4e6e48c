// Making sockets, and passing descriptors and messages between our own processes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"
#include "postern/base/result.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

// MakeListener makes a listening TCP socket: SO_REUSEADDR, SO_REUSEPORT, TCP_NODELAY and
// SO_KEEPALIVE (both inherited by what it accepts), non-blocking, close-on-exec. For IPv6,
// `v6_only` says whether IPv4 clients stay out. The error names the address and, for EACCES and
// EADDRINUSE, the remedy. With `listen` false the address is bound but nobody is let in yet, until
// StartListening: so that a reload can find out whether it may have an address before it is sure to
// serve there.
struct ListenerOptions {
  bool v6_only = true;
  bool listen = true;
  int backlog = limits::kAcceptQueue;
};
Result<UniqueFd> MakeListener(const SocketAddress& address, const ListenerOptions& options);
Status StartListening(int fd, const SocketAddress& address, int backlog = limits::kAcceptQueue);

// MakeStream makes an unconnected, non-blocking, close-on-exec stream socket for `family`; for IP
// with TCP_NODELAY and SO_KEEPALIVE. (Ring::Abort ends such a socket with a reset.)
Result<UniqueFd> MakeStream(int family);

// PeerAddress is getpeername; AF_UNSPEC when the peer is already gone.
SocketAddress PeerAddress(int fd);
// LocalAddress is getsockname: what the peer of an accepted socket connected to.
SocketAddress LocalAddress(int fd);

// MakeChannel makes a connected pair of SOCK_SEQPACKET UNIX sockets, non-blocking, close-on-exec.
Result<std::pair<UniqueFd, UniqueFd>> MakeChannel();

// A message of a channel with the descriptors that travel with it.
struct ChannelMessage {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};
enum class ChannelOutcome : uint8_t { kOk, kWouldBlock, kClosed };

// SendMessage sends one message with at most limits::kMaxPassedDescriptors descriptors; the
// descriptors stay the caller's. kClosed when the other end is gone.
ChannelOutcome SendMessage(int channel, Bytes bytes, const std::vector<int>& fds);
// ReceiveMessage receives one message of at most limits::kMaxControlMessage octets. Received
// descriptors are close-on-exec.
ChannelOutcome ReceiveMessage(int channel, ChannelMessage& message);

// A UNIX stream socket in the file system, for the control socket. MakeUnixListener replaces a
// stale socket file (one nobody answers on), sets `mode`, and fails when another process serves.
Result<UniqueFd> MakeUnixListener(const std::string& path, mode_t mode);
Result<UniqueFd> ConnectUnix(const std::string& path);

}  // namespace postern::os
