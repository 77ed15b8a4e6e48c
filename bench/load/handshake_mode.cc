// Handshakes: connect, shake hands, read the greeting if asked to, end cleanly. A handshake counts
// once the server has ended as well: so it is one that the server, too, has seen through. After
// STARTTLS, which the greeting comes before, the answer to NOOP takes its place.
//
// With --resume the first sessions come from full handshakes before measuring, one for each
// connection; from then on every resumed handshake brings the ticket for another one.
//
// Once close_notify is sent, libssl drops the tickets that still come (ssl3_read_bytes), so with
// TLS 1.3 the ticket is waited for first; not for long, since a server need not give one.
#include <algorithm>
#include <deque>

#include "bench/load/alive.h"
#include "bench/load/load_loop.h"
#include "bench/load/mode.h"

namespace postern::bench {
namespace {

constexpr size_t kMaxGreeting = 4096;
constexpr uint64_t kTicketWaitUs = 1'000'000;

class HandshakeMode final : public Mode {
 public:
  HandshakeMode(LoadLoop& loop, const LoadOptions& options)
      : loop_(loop), options_(options), places_(loop.connections().size()) {}

  bool prepared() const override { return !options_.resume || primed_ >= places_.size(); }
  bool WantsMore() override;
  void OnGo() override { going_ = true; }
  SessionPtr SessionFor(Connection& connection) override;
  void OnBegin(Connection& connection) override;
  void OnOpen(Connection& connection) override;
  void OnText(Connection& connection, Bytes text) override;
  void OnTicket(Connection& connection) override;
  void OnServerEnd(Connection& connection) override;
  void OnTurn(uint64_t now_us) override;
  void OnClosed(Connection& connection, bool clean) override;

 private:
  struct Place {
    bool resumes = false;
    bool only_fetches = false;  // a full handshake that is to bring a ticket and is not counted
    uint64_t done_us = 0;
    std::string text;     // of the greeting, or the answer to NOOP, so far
    bool ticket = false;  // a new one has come
  };

  bool priming() const { return options_.resume && primed_ < places_.size(); }
  struct Waiting {
    uint64_t until_us;
    uint32_t index;
    uint64_t begun_us;  // of the connection that waits: it may be gone meanwhile
  };

  void Done(Connection& connection);
  void OnPrimed();

  LoadLoop& loop_;
  const LoadOptions& options_;
  std::vector<Place> places_;
  std::deque<Waiting> waiting_;  // for a ticket
  size_t begun_ = 0;             // of the priming ones
  size_t primed_ = 0;
  bool going_ = false;
};

bool HandshakeMode::WantsMore() {
  if (priming()) return begun_ < places_.size();
  if (!going_ || !options_.resume) return going_;
  // Without a ticket left, one full handshake fetches new ones.
  return loop_.sessions().size() > 0 || loop_.active() == 0;
}

// What primes is known from the beginning and not from the handshake on: until then, and STARTTLS
// comes before it, others may be through, and one too many would begin.
void HandshakeMode::OnBegin(Connection& connection) {
  places_[connection.index()] = {};
  places_[connection.index()].only_fetches = priming();
  if (priming()) ++begun_;
}

SessionPtr HandshakeMode::SessionFor(Connection& connection) {
  if (!options_.resume) return nullptr;
  Place& place = places_[connection.index()];
  if (place.only_fetches) return nullptr;
  SessionPtr session = loop_.sessions().Take();
  place.resumes = session != nullptr;
  place.only_fetches = !place.resumes;
  if (place.only_fetches && loop_.counting()) loop_.AddSpecific("full_to_get_tickets");
  return session;
}

void HandshakeMode::OnOpen(Connection& connection) {
  const Place& place = places_[connection.index()];
  if (place.resumes && SSL_session_reused(connection.ssl()) != 1) {
    connection.Fail("resume: the server made a full handshake instead of resuming");
    return;
  }
  if (!options_.greeting) {
    Done(connection);
  } else if (options_.starttls) {
    connection.Send(AsBytes(AliveQuestion(*options_.starttls)));
  }
}

void HandshakeMode::OnText(Connection& connection, Bytes text) {
  if (!options_.greeting) return;
  Place& place = places_[connection.index()];
  if (place.done_us != 0) return;  // only its ticket is still waited for
  place.text += AsText(text);
  if (options_.starttls) {
    const AliveAnswer answer = ReadAliveAnswer(*options_.starttls, place.text);
    if (answer == AliveAnswer::kRight) Done(connection);
    if (answer == AliveAnswer::kWrong) connection.Fail("NOOP: a wrong answer after STARTTLS");
  } else if (place.text.find('\n') != std::string::npos) {
    Done(connection);
  }
  if (connection.is_open() && place.done_us == 0 && place.text.size() > kMaxGreeting) {
    connection.Fail("greeting: the first line does not end");
  }
}

void HandshakeMode::OnServerEnd(Connection& connection) {
  // POP3's QUIT ends the connection at the server's side while a ticket may still be waited for.
  if (places_[connection.index()].done_us != 0) {
    connection.Close();
  } else {
    Mode::OnServerEnd(connection);
  }
}

void HandshakeMode::Done(Connection& connection) {
  Place& place = places_[connection.index()];
  place.done_us = NowUs();
  const bool ticket_follows = options_.resume && SSL_version(connection.ssl()) == TLS1_3_VERSION;
  if (place.ticket || !ticket_follows) {
    connection.Close();
  } else {
    waiting_.push_back({place.done_us + kTicketWaitUs, connection.index(), connection.begun_us()});
  }
}

void HandshakeMode::OnTicket(Connection& connection) {
  Place& place = places_[connection.index()];
  place.ticket = true;
  if (place.done_us != 0) connection.Close();
}

void HandshakeMode::OnTurn(uint64_t now_us) {
  while (!waiting_.empty() && waiting_.front().until_us <= now_us) {
    const Waiting waiting = waiting_.front();
    waiting_.pop_front();
    Connection& connection = *loop_.connections()[waiting.index];
    if (!connection.is_open() || connection.begun_us() != waiting.begun_us) continue;
    loop_.AddSpecific("without_a_new_ticket");
    connection.Close();
  }
}

void HandshakeMode::OnClosed(Connection& connection, bool clean) {
  const Place& place = places_[connection.index()];
  if (place.only_fetches) {
    if (priming() && (++primed_, !priming())) OnPrimed();
    return;
  }
  if (!clean || place.done_us == 0) return;
  loop_.Count(1);
  loop_.AddLatency(place.done_us - connection.begun_us());
}

void HandshakeMode::OnPrimed() {
  if (loop_.sessions().size() > 0) return;
  loop_.tally().Fail("resume: the server gave no session to resume");
  loop_.GiveUp();
}

}  // namespace

std::unique_ptr<Mode> MakeHandshakeMode(LoadLoop& loop, const LoadOptions& options) {
  return std::make_unique<HandshakeMode>(loop, options);
}

}  // namespace postern::bench
