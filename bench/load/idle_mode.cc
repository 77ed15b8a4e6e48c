// Idle: open many, hold them without a word, and see in the end whether each is still alive: by an
// echo of the wire server, or by the service's NOOP. A connection is held from the server's
// greeting on, or from the handshake on where there is none to wait for: the greeting comes before
// STARTTLS.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bench/load/alive.h"
#include "bench/load/load_loop.h"
#include "bench/load/mode.h"

namespace postern::bench {
namespace {

class IdleMode final : public Mode {
 public:
  IdleMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop),
        service_(options.service),
        greeted_(service_ != Service::kRaw && !options.starttls),
        places_(loop.connections().size()) {}

  // Each is tried once; a server that refuses is not asked again and again.
  bool WantsMore() override { return begun_ < places_.size(); }
  bool prepared() const override { return settled_ == places_.size(); }
  void OnBegin(Connection& connection) override {
    ++begun_;
    places_[connection.index()] = {};
  }
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnServerEnd(Connection& connection) override;
  void OnClosed(Connection& connection, bool clean) override;
  void OnTimeOver() override;
  bool finished() const override { return checking_ == 0; }

 private:
  enum class State : uint8_t { kOpening, kHeld, kChecking, kGone };
  struct Place {
    State state = State::kOpening;
    std::string line;  // what has come of the greeting or of the answer
  };

  void Hold(Connection& connection);
  void Lose(Connection& connection, std::string_view reason);

  LoadLoop& loop_;
  Service service_;
  bool greeted_;  // the server speaks first once a connection is open
  std::vector<Place> places_;
  size_t begun_ = 0;
  size_t settled_ = 0;   // held, or failed to be
  size_t checking_ = 0;  // asked, and not answered yet
  bool over_ = false;
};

void IdleMode::OnOpen(Connection& connection) {
  if (!greeted_) Hold(connection);
}

void IdleMode::Hold(Connection& connection) {
  Place& place = places_[connection.index()];
  place.state = State::kHeld;
  place.line = {};
  ++settled_;
  loop_.Count(1);
  loop_.AddLatency(NowUs() - connection.begun_us());
  loop_.AddSpecific("held");
  connection.WatchProgress(false);
}

void IdleMode::OnText(Connection& connection, Bytes text) {
  Place& place = places_[connection.index()];
  if (place.state == State::kHeld) return;  // servers may say what is new
  place.line += AsText(text);
  if (place.state == State::kOpening) {
    if (place.line.find('\n') != std::string::npos) Hold(connection);
    return;
  }
  if (place.state != State::kChecking) return;
  switch (ReadAliveAnswer(service_, place.line)) {
    case AliveAnswer::kMore:
      break;
    case AliveAnswer::kRight:
      place.state = State::kGone;
      --checking_;
      loop_.AddSpecific("alive_at_the_end");
      connection.Close();
      break;
    case AliveAnswer::kWrong:
      Lose(connection, "idle: a wrong answer at the end");
      break;
  }
}

void IdleMode::Lose(Connection& connection, std::string_view reason) {
  if (over_ || places_[connection.index()].state == State::kHeld) connection.Fail(reason);
}

void IdleMode::OnServerEnd(Connection& connection) {
  if (places_[connection.index()].state == State::kOpening) {
    connection.Fail("connection: the server ended it");
  } else {
    Lose(connection, "idle: the server ended a connection that was held");
  }
}

void IdleMode::OnClosed(Connection& connection, bool) {
  Place& place = places_[connection.index()];
  if (place.state == State::kOpening) ++settled_;
  if (place.state == State::kHeld || place.state == State::kChecking) loop_.AddSpecific("lost");
  if (place.state == State::kChecking) --checking_;
  place.state = State::kGone;
}

void IdleMode::OnTimeOver() {
  over_ = true;
  loop_.AddSpecific("lost", 0);
  for (const auto& connection : loop_.connections()) {
    Place& place = places_[connection->index()];
    if (place.state != State::kHeld || !connection->is_open()) continue;
    place.state = State::kChecking;
    place.line = {};
    ++checking_;
    connection->WatchProgress(true);
    connection->Send(AsBytes(AliveQuestion(service_)));
  }
}

}  // namespace

std::unique_ptr<Mode> MakeIdleMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<IdleMode>(loop, options);
}

}  // namespace postern::bench
