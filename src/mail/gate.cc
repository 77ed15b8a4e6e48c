// The gates of the protocols in which nothing can be done without a login: IMAP, POP3, ManageSieve.
//
// Servers tell what they can do whenever they are asked, and what the gate keeps from them is no
// longer to be offered: TLS, which a client would begin inside TLS, and XCLIENT. Lines that say so
// are edited; the others go on as they come, without waiting for their end.
#include "postern/mail/gate.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mail/field_filter.h"
#include "mail/gates.h"
#include "mail/verb_filter.h"
#include "mail/words.h"
#include "postern/base/limits.h"
#include "postern/mail/login_watch.h"

namespace postern::mail {
namespace {

// Whether text that is not whole may become one that begins with `start`, or does already.
bool MayBegin(std::string_view text, std::string_view start) {
  return EqualsIgnoringCase(text.substr(0, start.size()), start.substr(0, text.size()));
}

bool Begins(std::string_view text, std::string_view start) {
  return text.size() >= start.size() && MayBegin(text, start);
}

std::string_view WithoutEnd(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

class LoginGate : public Gate {
 public:
  size_t TakeClient(MutableBytes octets, std::string& before) override {
    watch_->TakeClient(octets);
    return filter_.Take(octets, before);
  }
  unsigned TakeServer(Bytes octets, std::string& to_client) final {
    unsigned failed = 0;
    std::string_view rest = AsText(octets);
    while (!rest.empty() && !preauth_ && !over()) {
      const size_t end = rest.find('\n');
      const std::string_view piece = end == std::string_view::npos ? rest : rest.substr(0, end + 1);
      rest.remove_prefix(piece.size());
      TakePiece(piece, to_client);
      failed += watch_->TakeServer(AsBytes(piece));
    }
    if (!preauth_) to_client += rest;
    return failed;
  }
  std::string LastOfClient() override { return filter_.LetGo(); }
  std::string LastOfServer() final { return std::exchange(held_, {}); }
  bool over() const final { return watch_->over(); }
  bool preauth() const final { return preauth_; }

 protected:
  LoginGate(const GateRules& rules, VerbFilter::Place place,
            std::span<const std::string_view> verbs)
      : filter_(place, verbs),
        watch_(WatchLogins(rules.protocol, rules.greeted)),
        greeted_(rules.greeted) {}

  // Whether a line that begins so may be one to be edited.
  virtual bool MayMatter(std::string_view begun) const = 0;
  // Edit appends what is left of a line that may matter, which is given with its end.
  virtual void Edit(std::string_view line, std::string& to_client) = 0;

  bool greeted() const { return greeted_; }
  void RefusePreauth() { preauth_ = true; }

 private:
  void TakePiece(std::string_view piece, std::string& to_client) {
    const bool ended = piece.ends_with('\n');
    if (passing_) {
      to_client += piece;
    } else {
      held_ += piece;
      passing_ = held_.size() > limits::kMaxDialogLine || !MayMatter(held_);
      if (passing_) to_client += held_;
      if (!passing_ && ended) Edit(held_, to_client);
      if (passing_ || ended) held_.clear();
    }
    if (!ended) return;
    passing_ = false;
    greeted_ = true;
  }

  VerbFilter filter_;
  const std::unique_ptr<LoginWatch> watch_;
  std::string held_;      // of a line of the server's that may matter
  bool passing_ = false;  // the line that has begun does not
  bool greeted_;          // the server has said a line
  bool preauth_ = false;
};

// --- IMAP ---

class ImapGate final : public LoginGate {
 public:
  explicit ImapGate(const GateRules& rules)
      : LoginGate(rules, VerbFilter::Place::kBehindTag, kVerbs) {}

  // Through one filter and then through the other.
  size_t TakeClient(MutableBytes octets, std::string& before) override {
    std::string ahead;
    const size_t size = LoginGate::TakeClient(octets, ahead);
    const size_t may_go = fields_.Take(std::as_writable_bytes(std::span(ahead)), before);
    before.append(ahead, 0, may_go);
    return fields_.Take(octets.first(size), before);
  }
  std::string LastOfClient() override { return fields_.LetGo() + LoginGate::LastOfClient(); }

 private:
  // By ID Dovecot is told who the client is. Its other fields are a client's to say.
  static constexpr std::array<std::string_view, 5> kFields = {
      "X-ORIGINATING-", "X-CONNECTED-", "X-SESSION-", "X-PROXY-TTL", "X-FORWARD-"};
  static constexpr std::array<std::string_view, 1> kVerbs = {"STARTTLS"};
  static constexpr std::string_view kCapability = "CAPABILITY ";
  static constexpr std::string_view kCode = "[CAPABILITY ";
  static constexpr size_t kMaxTag = 64;

  bool MayMatter(std::string_view begun) const override {
    std::string_view rest = begun;
    const std::string_view tag = TakeWord(rest);
    if (tag.size() > kMaxTag || tag.starts_with('+')) return false;
    if (rest.empty()) return true;
    if (MayBegin(rest, kCapability)) return true;
    const bool whole = rest.find(' ') != std::string_view::npos;
    const std::string_view status = TakeWord(rest);
    constexpr std::array<std::string_view, 5> kStatuses = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    return std::ranges::any_of(kStatuses, [&](std::string_view name) {
      if (!whole) return MayBegin(name, status);
      return EqualsIgnoringCase(name, status) &&
             (MayBegin(rest, kCode) || (!greeted() && name == "PREAUTH"));
    });
  }

  void Edit(std::string_view line, std::string& to_client) override {
    std::string_view rest = WithoutEnd(line);
    const std::string_view tag = TakeWord(rest);
    if (!greeted() && tag == "*" && EqualsIgnoringCase(rest.substr(0, rest.find(' ')), "PREAUTH")) {
      RefusePreauth();
      return;
    }
    if (tag == "*" && Begins(rest, kCapability)) {
      EditCapabilities(line, rest, to_client);
      return;
    }
    TakeWord(rest);
    if (Begins(rest, kCode))
      rest = rest.substr(0, rest.find(']'));
    else
      rest = {};
    EditCapabilities(line, rest, to_client);
  }

  // `names` lies in `line`.
  static void EditCapabilities(std::string_view line, std::string_view names,
                               std::string& to_client) {
    const char* copied = line.data();
    while (!names.empty()) {
      const char* const word_start = names.data();
      const std::string_view word = TakeWord(names);
      if (!EqualsIgnoringCase(word, "STARTTLS")) continue;
      to_client.append(copied, word_start - 1);  // and the space in front
      copied = word.data() + word.size();
    }
    to_client.append(copied, line.data() + line.size());
  }

  FieldFilter fields_{kFields};
};

// --- POP3 and ManageSieve: an offer has a line of its own ---

class OfferGate : public LoginGate {
 protected:
  OfferGate(const GateRules& rules, std::span<const std::string_view> verbs,
            std::span<const std::string_view> offers)
      : LoginGate(rules, VerbFilter::Place::kFirst, verbs), offers_(offers) {}

  bool MayMatter(std::string_view begun) const override {
    return std::ranges::any_of(offers_, [begun](std::string_view offer) {
      return MayBegin(begun, offer) &&
             (begun.size() <= offer.size() || kWordEnds.contains(begun[offer.size()]));
    });
  }
  void Edit(std::string_view line, std::string& to_client) override {
    std::string_view rest = WithoutEnd(line);
    const std::string_view word = TakeWord(rest);
    const bool ours = std::ranges::any_of(
        offers_, [word](std::string_view offer) { return EqualsIgnoringCase(offer, word); });
    if (!ours) to_client += line;
  }

 private:
  static constexpr std::string_view kWordEnds = " \r\n";

  const std::span<const std::string_view> offers_;
};

class Pop3Gate final : public OfferGate {
 public:
  explicit Pop3Gate(const GateRules& rules) : OfferGate(rules, kVerbs, kVerbs) {}

 private:
  static constexpr std::array<std::string_view, 2> kVerbs = {"STLS", "XCLIENT"};
  // Dovecot offers it in the greeting, to those that it would believe.
  static constexpr std::string_view kGreetingOffer = "+OK [XCLIENT]";

  bool MayMatter(std::string_view begun) const override {
    return greeted() ? OfferGate::MayMatter(begun) : MayBegin(begun, kGreetingOffer);
  }
  void Edit(std::string_view line, std::string& to_client) override {
    if (greeted()) {
      OfferGate::Edit(line, to_client);
    } else if (Begins(line, kGreetingOffer)) {
      to_client.append("+OK").append(line.substr(kGreetingOffer.size()));
    } else {
      to_client += line;
    }
  }
};

class SieveGate final : public OfferGate {
 public:
  explicit SieveGate(const GateRules& rules) : OfferGate(rules, kVerbs, kOffers) {}

 private:
  static constexpr std::array<std::string_view, 2> kVerbs = {"STARTTLS", "XCLIENT"};
  static constexpr std::array<std::string_view, 2> kOffers = {"\"STARTTLS\"", "\"XCLIENT\""};
};

}  // namespace

std::unique_ptr<Gate> MakeImapGate(const GateRules& rules) {
  return std::make_unique<ImapGate>(rules);
}
std::unique_ptr<Gate> MakePop3Gate(const GateRules& rules) {
  return std::make_unique<Pop3Gate>(rules);
}
std::unique_ptr<Gate> MakeSieveGate(const GateRules& rules) {
  return std::make_unique<SieveGate>(rules);
}

std::unique_ptr<Gate> MakeGate(const GateRules& rules) {
  switch (rules.protocol) {
    case DialogProtocol::kImap:
      return MakeImapGate(rules);
    case DialogProtocol::kPop3:
      return MakePop3Gate(rules);
    case DialogProtocol::kSmtp:
    case DialogProtocol::kLmtp:
      return MakeSmtpGate(rules);
    case DialogProtocol::kSieve:
      return MakeSieveGate(rules);
  }
  return nullptr;
}

}  // namespace postern::mail
