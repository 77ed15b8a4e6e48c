// Echoed octets go back from the slot that the kernel put them into. Of a source no more is queued
// than keeps the socket busy.
#include "bench/load/server_peer.h"

#include <algorithm>
#include <charconv>

#include "bench/load/pattern.h"
#include "postern/base/limits.h"

namespace postern::bench {
namespace {

constexpr size_t kMaxWireLine = 64;
constexpr size_t kMaxMailLine = 16 * 1024;
constexpr size_t kSourceQueue = 256 * 1024;

}  // namespace

void ServerPeer::Begin(os::UniqueFd fd) {
  if (stream_.Open(std::move(fd))) {
    stream_.WantReceive(true);
    OnBegin();
    stream_.Pump();
  } else {
    told_ = true;
    gone_(*this);
  }
}

void ServerPeer::OnReceived(relay::Stream&, const ring::Slot& slot, MutableBytes bytes) {
  if (!ending_) OnOctets(slot, bytes);
}

void ServerPeer::OnStreamSettled(relay::Stream&) { Settle(); }

void ServerPeer::Settle() {
  if (stream_.is_open() && !ending_ && stream_.send_error() == 0) OnRoom();
  const bool broken =
      stream_.receive_end() == relay::ReceiveEnd::kError || stream_.send_error() != 0;
  const bool over = ending_ || stream_.receive_end() == relay::ReceiveEnd::kEof;
  stream_.WantReceive(!over && TakesMore(stream_.out().size()));
  if (broken || (over && stream_.flushed())) stream_.Close(false);
  stream_.Pump();
  if (stream_.closed() && !told_) {
    told_ = true;
    gone_(*this);
  }
}

bool ServerPeer::TakesMore(size_t unsent) const { return unsent < limits::kQueueHighWater; }

// --- wire ---

void WirePeer::OnOctets(const ring::Slot& slot, MutableBytes bytes) {
  while (!bytes.empty() && !ending()) {
    if (echo_) {
      stream().Queue(slot, bytes);
      return;
    }
    bytes = sunk_ < sink_size_ ? TakeSink(bytes) : TakeLine(bytes);
  }
}

MutableBytes WirePeer::TakeLine(MutableBytes bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{'\n'});
  const auto size = static_cast<size_t>(end - bytes.begin());
  line_ += AsText(bytes.first(size));
  if (line_.size() > kMaxWireLine) {
    Say("BAD\n");
    End();
    return {};
  }
  if (end == bytes.end()) return {};
  Obey(std::exchange(line_, {}));
  return bytes.subspan(size + 1);
}

void WirePeer::Obey(std::string_view line) {
  if (line == "ECHO") {
    echo_ = true;
    return;
  }
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, space);
  const std::string_view digits = line.substr(std::min(space + 1, line.size()));
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool sinks = word == "SINK" || word == "BOTH";
  const bool sources = word == "SOURCE" || word == "BOTH";
  if ((!sinks && !sources) || error != std::errc() || end != digits.data() + digits.size()) {
    Say("BAD\n");
    End();
    return;
  }
  sink_size_ = sinks ? number : 0;
  source_size_ = sources ? number : 0;
  sunk_ = sourced_ = 0;
  sink_right_ = true;
  answers_ = sinks;
  OnRoom();
}

MutableBytes WirePeer::TakeSink(MutableBytes bytes) {
  const auto size = static_cast<size_t>(std::min<uint64_t>(bytes.size(), sink_size_ - sunk_));
  sink_right_ = sink_right_ && MatchesPattern(sunk_, bytes.first(size));
  sunk_ += size;
  Finish();
  return bytes.subspan(size);
}

void WirePeer::OnRoom() {
  while (sourced_ < source_size_ && stream().out().size() < kSourceQueue) {
    const auto size =
        static_cast<size_t>(std::min<uint64_t>(kPatternPiece, source_size_ - sourced_));
    stream().out().AppendCopy(PatternAt(sourced_, size));
    sourced_ += size;
  }
  Finish();
}

// What is sunk makes nothing to send; both ways at once, neither may stop the other.
bool WirePeer::TakesMore(size_t unsent) const { return !echo_ || ServerPeer::TakesMore(unsent); }

void WirePeer::Finish() {
  if (!answers_ || sunk_ < sink_size_ || sourced_ < source_size_) return;
  answers_ = false;
  Say(sink_right_ ? "OK\n" : "WRONG\n");
}

// --- greeting ---

void GreetingPeer::OnOctets(const ring::Slot&, MutableBytes bytes) {
  partial_ += AsText(bytes);
  size_t begin = 0;
  for (size_t end; (end = partial_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    std::string_view line(partial_.data() + begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const MailResponder::Answer answer = responder_.Take(line);
    Say(answer.text);
    if (answer.ends) {
      End();
      return;
    }
  }
  partial_.erase(0, begin);
  if (partial_.size() > kMaxMailLine) End();
}

}  // namespace postern::bench
