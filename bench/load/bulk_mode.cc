// Bulk: each connection moves so many octets one way or both, every one of them checked, by us or
// by the wire server, and makes room for the next. What is under way when the time is over counts
// as far as it came.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "bench/load/load_loop.h"
#include "bench/load/mode.h"
#include "bench/load/pattern.h"

namespace postern::bench {
namespace {

constexpr size_t kMostUnsent = 256 * 1024;

class BulkMode final : public Mode {
 public:
  BulkMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop), options_(options), places_(loop.connections().size()) {}

  bool WantsMore() override { return going_; }
  void OnGo() override { going_ = true; }
  void OnTimeOver() override { going_ = false; }
  void OnBegin(Connection& connection) override { places_[connection.index()] = {}; }
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnFlushed(Connection& connection) override { Fill(connection); }
  void OnClosed(Connection&, bool) override {}

 private:
  struct Place {
    uint64_t up_left = 0;
    uint64_t down_left = 0;
    uint64_t opened_us = 0;
    std::string answer;  // the server's word on what it got
  };

  bool goes_up() const { return options_.direction != Direction::kDown; }
  bool goes_down() const { return options_.direction != Direction::kUp; }
  std::string_view Word() const;
  void Fill(Connection& connection);
  void TakeAnswer(Connection& connection, Place& place, Bytes text);
  void Done(Connection& connection);
  void Wrong(Connection& connection, std::string_view what);

  LoadLoop& loop_;
  const LoadOptions& options_;
  std::vector<Place> places_;
  bool going_ = false;
};

std::string_view BulkMode::Word() const {
  switch (options_.direction) {
    case Direction::kUp:
      return "SINK";
    case Direction::kDown:
      return "SOURCE";
    case Direction::kBoth:
      return "BOTH";
  }
  return "";
}

void BulkMode::OnOpen(Connection& connection) {
  Place& place = places_[connection.index()];
  place.opened_us = NowUs();
  place.up_left = goes_up() ? options_.bytes : 0;
  place.down_left = goes_down() ? options_.bytes : 0;
  loop_.tally().bytes_checked = true;
  connection.Send(AsBytes(fmt::format("{} {}\n", Word(), options_.bytes)));
  if (connection.is_open()) Fill(connection);
}

void BulkMode::Fill(Connection& connection) {
  Place& place = places_[connection.index()];
  while (place.up_left > 0 && connection.is_open() && connection.unsent() < kMostUnsent) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(kPatternPiece, place.up_left));
    connection.Send(PatternAt(options_.bytes - place.up_left, size));
    place.up_left -= size;
    loop_.Count(size);
  }
}

void BulkMode::OnText(Connection& connection, Bytes text) {
  Place& place = places_[connection.index()];
  const auto size = static_cast<size_t>(std::min<uint64_t>(text.size(), place.down_left));
  if (!MatchesPattern(options_.bytes - place.down_left, text.first(size))) {
    Wrong(connection, "bulk: the octets that came are not those that were sent");
    return;
  }
  place.down_left -= size;
  loop_.Count(size);
  text = text.subspan(size);
  if (!text.empty()) {
    TakeAnswer(connection, place, text);
  } else if (place.down_left == 0 && !goes_up()) {
    Done(connection);
  }
}

void BulkMode::TakeAnswer(Connection& connection, Place& place, Bytes text) {
  place.answer += AsText(text);
  if (place.answer == "OK\n" && goes_up() && place.up_left == 0) {
    Done(connection);
  } else if (!std::string_view("OK\n").starts_with(place.answer) &&
             !std::string_view("WRONG\n").starts_with(place.answer)) {
    Wrong(connection, "bulk: more octets came than were asked for");
  } else if (place.answer == "WRONG\n") {
    Wrong(connection, "bulk: the server got other octets than were sent");
  }
}

void BulkMode::Done(Connection& connection) {
  loop_.AddSpecific("transfers");
  loop_.AddLatency(NowUs() - places_[connection.index()].opened_us);
  connection.Close();
}

void BulkMode::Wrong(Connection& connection, std::string_view what) {
  loop_.tally().bytes_right = false;
  connection.Fail(what);
}

}  // namespace

std::unique_ptr<Mode> MakeBulkMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<BulkMode>(loop, options);
}

}  // namespace postern::bench
