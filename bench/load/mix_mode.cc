// Mix: mail sessions as users have them, again and again: log in, look, wait for news, fetch, log
// out. What is counted are sessions that went as they should from the greeting to the goodbye.
#include <fmt/format.h>

#include <deque>
#include <optional>
#include <vector>

#include "bench/load/load_loop.h"
#include "bench/load/mail_script.h"
#include "bench/load/mode.h"

namespace postern::bench {
namespace {

class MixMode final : public Mode {
 public:
  MixMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop),
        service_(options.service),
        login_(options.login),
        think_us_(static_cast<uint64_t>(options.think_s * 1e6)),
        places_(loop.connections().size()) {
    loop.AddSpecific("messages", 0);
  }

  bool WantsMore() override { return going_; }
  void OnGo() override { going_ = true; }
  void OnTimeOver() override { going_ = false; }
  void OnBegin(Connection& connection) override;
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnServerEnd(Connection& connection) override;
  void OnClosed(Connection& connection, bool clean) override;
  void OnTurn(uint64_t now_us) override;
  uint64_t LongestWaitMs() const override;

 private:
  struct Place {
    std::optional<MailScript> script;
    uint64_t session = 0;  // which one this is
    uint64_t done_us = 0;
  };
  // Everybody rests for the same time, so those who began first are up first.
  struct Resting {
    uint64_t until_us;
    uint32_t index;
    uint64_t session;
  };

  LoadLoop& loop_;
  Service service_;
  Login login_;
  uint64_t think_us_;
  std::vector<Place> places_;
  std::deque<Resting> resting_;
  uint64_t sessions_ = 0;
  uint64_t now_us_ = 0;
  bool going_ = false;
};

void MixMode::OnBegin(Connection& connection) {
  Place& place = places_[connection.index()];
  place.script.emplace(service_, login_);
  place.session = ++sessions_;
  place.done_us = 0;
}

void MixMode::OnOpen(Connection& connection) {
  if (!loop_.options().starttls) return;
  connection.Send(AsBytes(places_[connection.index()].script->Begin()));
}

void MixMode::OnText(Connection& connection, Bytes text) {
  Place& place = places_[connection.index()];
  if (place.done_us != 0) return;
  const MailScript::Outcome outcome = place.script->Take(AsText(text));
  if (!outcome.failed.empty()) {
    connection.Fail(outcome.failed);
    return;
  }
  if (!outcome.send.empty()) connection.Send(AsBytes(outcome.send));
  if (outcome.rest) {
    resting_.push_back({NowUs() + think_us_, connection.index(), place.session});
  }
  if (outcome.done) {
    place.done_us = NowUs();
    connection.Close();
  }
}

void MixMode::OnServerEnd(Connection& connection) {
  if (places_[connection.index()].done_us == 0) Mode::OnServerEnd(connection);
}

void MixMode::OnClosed(Connection& connection, bool clean) {
  const Place& place = places_[connection.index()];
  if (!clean || place.done_us == 0) return;
  loop_.Count(1);
  loop_.AddLatency(place.done_us - connection.begun_us());
  loop_.AddSpecific("messages", place.script->messages());
}

void MixMode::OnTurn(uint64_t now_us) {
  now_us_ = now_us;
  while (!resting_.empty() && resting_.front().until_us <= now_us) {
    const Resting next = resting_.front();
    resting_.pop_front();
    Connection& connection = *loop_.connections()[next.index];
    Place& place = places_[next.index];
    // The place may have been given to another session since.
    if (place.session != next.session || !connection.is_open()) continue;
    connection.Send(AsBytes(place.script->Rested()));
  }
}

uint64_t MixMode::LongestWaitMs() const {
  if (resting_.empty()) return UINT64_MAX;
  const uint64_t until = resting_.front().until_us;
  return until <= now_us_ ? 0 : (until - now_us_) / 1000 + 1;
}

}  // namespace

std::unique_ptr<Mode> MakeMixMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<MixMode>(loop, options);
}

}  // namespace postern::bench
