// Churn: short connections without a pause while the server reloads beside. Every one has to be
// served, so every failure counts; one process of all runs the reloads. That one is served shows
// its greeting, or an echo of the wire server; after STARTTLS, which no greeting follows and no
// wire server is behind, the answer to NOOP.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "bench/load/alive.h"
#include "bench/load/load_loop.h"
#include "bench/load/mode.h"
#include "bench/load/repeated_command.h"

namespace postern::bench {
namespace {

constexpr std::string_view kQuestion = "ECHO\nstill there?\n";
constexpr std::string_view kAnswer = "still there?\n";
constexpr size_t kMaxGreeting = 4096;

class ChurnMode final : public Mode {
 public:
  ChurnMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop),
        starttls_(options.starttls),
        greeting_(options.greeting && !options.starttls),
        places_(loop.connections().size()),
        reload_(loop.is_first() ? options.reload_command : std::string(),
                static_cast<uint64_t>(options.reload_every_s * 1e6),
                static_cast<uint64_t>(options.timeout_s * 1e6)) {
    if (loop.is_first() && !options.reload_command.empty()) loop.AddSpecific("reloads", 0);
  }

  bool WantsMore() override { return going_; }
  void OnGo() override { going_ = true; }
  void OnTimeOver() override { going_ = false; }
  bool finished() const override { return !reload_.running(); }
  void OnEnd() override { reload_.Kill(); }
  void OnTurn(uint64_t now_us) override;
  void OnBegin(Connection& connection) override { places_[connection.index()] = {}; }
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnClosed(Connection& connection, bool clean) override;

 private:
  struct Place {
    std::string text;
    uint64_t done_us = 0;
  };

  LoadLoop& loop_;
  std::optional<Service> starttls_;
  bool greeting_;
  std::vector<Place> places_;
  RepeatedCommand reload_;
  uint64_t reloads_ = 0;
  bool going_ = false;
};

void ChurnMode::OnTurn(uint64_t now_us) {
  reload_.Turn(now_us, going_);
  if (reload_.succeeded() != reloads_) loop_.AddSpecific("reloads");
  reloads_ = reload_.succeeded();
  const std::string failure = reload_.TakeFailure();
  if (!failure.empty()) loop_.tally().Fail("reload command: " + failure);
}

void ChurnMode::OnOpen(Connection& connection) {
  if (greeting_) return;
  connection.Send(AsBytes(starttls_ ? AliveQuestion(*starttls_) : kQuestion));
}

void ChurnMode::OnText(Connection& connection, Bytes text) {
  Place& place = places_[connection.index()];
  place.text += AsText(text);
  if (greeting_ || starttls_) {
    if (place.text.size() > kMaxGreeting) {
      connection.Fail("greeting: the first line does not end");
      return;
    }
    if (greeting_ && place.text.find('\n') == std::string::npos) return;
    const AliveAnswer answer =
        starttls_ ? ReadAliveAnswer(*starttls_, place.text) : AliveAnswer::kRight;
    if (answer == AliveAnswer::kWrong) connection.Fail("NOOP: a wrong answer after STARTTLS");
    if (answer != AliveAnswer::kRight) return;
  } else {
    loop_.tally().bytes_checked = true;
    if (!kAnswer.starts_with(place.text)) {
      loop_.tally().bytes_right = false;
      connection.Fail("echo: other octets came back than were sent");
      return;
    }
    if (place.text.size() < kAnswer.size()) return;
  }
  place.done_us = NowUs();
  connection.Close();
}

void ChurnMode::OnClosed(Connection& connection, bool clean) {
  const Place& place = places_[connection.index()];
  if (!clean || place.done_us == 0) return;
  loop_.Count(1);
  loop_.AddLatency(place.done_us - connection.begun_us());
}

}  // namespace

std::unique_ptr<Mode> MakeChurnMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<ChurnMode>(loop, options);
}

}  // namespace postern::bench
