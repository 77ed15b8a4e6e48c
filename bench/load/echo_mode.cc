// Echo: every connection has one message on its way; the next follows when it is back, whole and
// right. All are open before the first is sent.
#include <algorithm>
#include <cstring>
#include <vector>

#include "bench/load/load_loop.h"
#include "bench/load/mode.h"
#include "bench/load/pattern.h"

namespace postern::bench {
namespace {

class EchoMode final : public Mode {
 public:
  EchoMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop),
        message_(options.size),
        places_(loop.connections().size()),
        rate_(options.rate / options.processes) {
    for (size_t done = 0; done < message_.size(); done += kPatternPiece) {
      const Bytes piece = PatternAt(done, std::min(kPatternPiece, message_.size() - done));
      std::copy(piece.begin(), piece.end(), message_.begin() + static_cast<ptrdiff_t>(done));
    }
  }

  bool prepared() const override { return open_ + failed_ >= places_.size(); }
  void OnGo() override {
    going_ = true;
    for (const auto& connection : loop_.connections()) {
      if (connection->is_open()) Next(*connection);
    }
  }
  void OnBegin(Connection& connection) override {
    places_[connection.index()] = {.back = message_.size()};
  }
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnClosed(Connection& connection, bool clean) override;
  void OnTurn(uint64_t now_us) override;
  uint64_t LongestWaitMs() const override { return waiting_.empty() ? UINT64_MAX : 1; }

 private:
  struct Place {
    uint64_t sent_us = 0;
    size_t back = 0;  // octets of the message that have come back
    bool open = false;
  };

  void Next(Connection& connection);
  void Send(Connection& connection);

  LoadLoop& loop_;
  std::vector<std::byte> message_;
  std::vector<Place> places_;
  Rate rate_;
  std::vector<uint32_t> waiting_;  // for their turn, with --rate
  size_t open_ = 0;
  size_t failed_ = 0;
  bool going_ = false;
};

void EchoMode::OnOpen(Connection& connection) {
  places_[connection.index()].open = true;
  ++open_;
  connection.Send(AsBytes("ECHO\n"));
  if (going_ && connection.is_open()) Next(connection);
}

void EchoMode::Next(Connection& connection) {
  if (rate_.limited()) {
    connection.WatchProgress(false);  // it may have to wait for long
    waiting_.push_back(connection.index());
  } else {
    Send(connection);
  }
}

void EchoMode::Send(Connection& connection) {
  Place& place = places_[connection.index()];
  place.back = 0;
  place.sent_us = NowUs();
  connection.Send(message_);
}

void EchoMode::OnText(Connection& connection, Bytes text) {
  Place& place = places_[connection.index()];
  const size_t size = std::min(text.size(), message_.size() - place.back);
  loop_.tally().bytes_checked = true;
  if (size < text.size() || std::memcmp(text.data(), message_.data() + place.back, size) != 0) {
    loop_.tally().bytes_right = false;
    connection.Fail("echo: other octets came back than were sent");
    return;
  }
  place.back += size;
  if (place.back < message_.size()) return;
  loop_.Count(1);
  loop_.AddLatency(NowUs() - place.sent_us);
  Next(connection);
}

void EchoMode::OnTurn(uint64_t now_us) {
  size_t served = 0;
  while (served < waiting_.size() && rate_.Take(now_us)) {
    Connection& connection = *loop_.connections()[waiting_[served++]];
    if (!connection.is_open()) continue;
    connection.WatchProgress(true);
    Send(connection);
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(served));
}

void EchoMode::OnClosed(Connection& connection, bool) {
  if (places_[connection.index()].open) --open_;
  ++failed_;
}

}  // namespace

std::unique_ptr<Mode> MakeEchoMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<EchoMode>(loop, options);
}

}  // namespace postern::bench
