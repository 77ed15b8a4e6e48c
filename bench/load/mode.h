// Mode: what connections do once they are open, and what is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "bench/load/options.h"
#include "bench/load/tls_client.h"
#include "postern/base/bytes.h"

namespace postern::bench {

class Connection;
class LoadLoop;

// Calls come from the loop, one after another. In each the mode may send on, close or fail the
// connection; it hears no more of it then but OnClosed. A connection's index() is its place for
// what the mode keeps of it.
class Mode {
 public:
  virtual ~Mode() = default;

  // Whether a connection may be opened now. Asked before each.
  virtual bool WantsMore() { return true; }
  // What the handshake of `connection` is to resume; null for a full one.
  virtual SessionPtr SessionFor(Connection&) { return nullptr; }
  // About to connect: the place for what belongs to one connection is to be reset.
  virtual void OnBegin(Connection&) {}
  // Connected, and TLS (if any) established.
  virtual void OnOpen(Connection& connection) = 0;
  // `text` is valid during the call.
  virtual void OnText(Connection& connection, Bytes text) = 0;
  // The server has given sessions to resume: they are in the loop's sessions().
  virtual void OnTicket(Connection&) {}
  // All that was sent is with the kernel; called for what is open.
  virtual void OnFlushed(Connection&) {}
  // The server ended first. The mode closes or fails the connection.
  virtual void OnServerEnd(Connection& connection);
  // It is gone. `clean`: it was not failed.
  virtual void OnClosed(Connection&, bool clean) = 0;

  // Once per turn of the loop, with the time on the monotonic clock.
  virtual void OnTurn(uint64_t /*now_us*/) {}
  // The loop does not sleep longer than this before it calls OnTurn.
  virtual uint64_t LongestWaitMs() const { return UINT64_MAX; }
  // Until it is true nothing is counted: sessions are gathered, connections opened.
  virtual bool prepared() const { return true; }
  // All processes are prepared; the load begins.
  virtual void OnGo() {}
  // What happens when the time is over, before everything is closed: the last checks. The loop goes
  // on until finished().
  virtual void OnTimeOver() {}
  virtual bool finished() const { return true; }
  // The run is over or was given up: what the mode has running beside the connections ends.
  virtual void OnEnd() {}
};

std::unique_ptr<Mode> MakeHandshakeMode(LoadLoop& loop, const LoadOptions& options);
std::unique_ptr<Mode> MakeEchoMode(LoadLoop& loop, const LoadOptions& options);
std::unique_ptr<Mode> MakeBulkMode(LoadLoop& loop, const LoadOptions& options);
std::unique_ptr<Mode> MakeIdleMode(LoadLoop& loop, const LoadOptions& options);
std::unique_ptr<Mode> MakeMixMode(LoadLoop& loop, const LoadOptions& options);
std::unique_ptr<Mode> MakeChurnMode(LoadLoop& loop, const LoadOptions& options);
// The one that options.mode names.
std::unique_ptr<Mode> MakeMode(LoadLoop& loop, const LoadOptions& options);

}  // namespace postern::bench
