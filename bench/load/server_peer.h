// ServerPeer: one client of `postern-bench server`, and the two ways to behave towards it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bench/load/mail_responder.h"
#include "bench/load/options.h"
#include "postern/relay/stream.h"

namespace postern::bench {

class ServerPeer : public relay::StreamOwner {
 public:
  // `gone` is told once the peer is closed; it may be destroyed after that turn.
  using Gone = std::function<void(ServerPeer&)>;
  ServerPeer(relay::StreamIo& io, Gone gone) : stream_(io, *this), gone_(std::move(gone)) {}
  virtual ~ServerPeer() = default;

  // Begin takes the accepted socket.
  void Begin(os::UniqueFd fd);

 protected:
  virtual void OnBegin() {}
  virtual void OnOctets(const ring::Slot& slot, MutableBytes bytes) = 0;
  // Whether to go on receiving while so much is still to be sent.
  virtual bool TakesMore(size_t unsent) const;
  // There is room for more to be sent.
  virtual void OnRoom() {}

  void Say(std::string_view text) { stream_.out().AppendCopy(AsBytes(text)); }
  // Ends the connection once all is sent.
  void End() { ending_ = true; }
  bool ending() const { return ending_; }
  relay::Stream& stream() { return stream_; }

 private:
  void OnConnected(relay::Stream&, int) override {}
  void OnReceived(relay::Stream& stream, const ring::Slot& slot, MutableBytes bytes) override;
  void OnStreamSettled(relay::Stream& stream) override;
  void Settle();

  relay::Stream stream_;
  Gone gone_;
  bool ending_ = false;
  bool told_ = false;
};

// "wire": the client's first line decides; see docs/benchmarks.md.
class WirePeer final : public ServerPeer {
 public:
  using ServerPeer::ServerPeer;

 private:
  void OnOctets(const ring::Slot& slot, MutableBytes bytes) override;
  void OnRoom() override;
  bool TakesMore(size_t unsent) const override;
  MutableBytes TakeLine(MutableBytes bytes);
  MutableBytes TakeSink(MutableBytes bytes);
  void Obey(std::string_view line);
  void Finish();

  std::string line_;
  uint64_t sink_size_ = 0, sunk_ = 0;
  uint64_t source_size_ = 0, sourced_ = 0;
  bool echo_ = false;
  bool sink_right_ = true;
  bool answers_ = false;  // an OK is due when all is through
};

// "greeting": speaks first, then answers line by line.
class GreetingPeer final : public ServerPeer {
 public:
  GreetingPeer(relay::StreamIo& io, Gone gone, Service service)
      : ServerPeer(io, std::move(gone)), responder_(service) {}

 private:
  void OnBegin() override { Say(responder_.Greeting()); }
  void OnOctets(const ring::Slot& slot, MutableBytes bytes) override;

  MailResponder responder_;
  std::string partial_;
};

}  // namespace postern::bench
