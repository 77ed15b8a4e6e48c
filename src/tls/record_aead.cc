// What a TLS connection still is when its handshake is over: two directions, and the few messages
// that may come beside data (alerts, KeyUpdate, and in TLS 1.2 the wish to renegotiate, which is
// declined). libssl would keep 14 KB and more for that, for days; this keeps some 350 octets, and a
// small record takes 0.3 us to seal instead of 0.9 (OpenSSL 3.0).
//
// Whatever a peer may not do ends the connection with the alert that the RFCs name.
#include "tls/record_aead.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "postern/base/check.h"
#include "tls/names.h"
#include "tls/post_handshake.h"

namespace postern::tls {
namespace {

enum ContentType : uint8_t { kAlert = 21, kHandshake = 22, kApplicationData = 23 };
constexpr uint8_t kWarning = 1;
constexpr uint8_t kFatal = 2;

// The worst that Seal has to fit in: 512 octets per record (RFC 6066) in TLS 1.2 with GCM, and a
// KeyUpdate in front in TLS 1.3.
static_assert((limits::kMaxPlaintext / 512) * (13 + kAeadTag) <= limits::kSlotTailroom);
static_assert(5 + 5 + kAeadTag + 1 + 5 <= limits::kSlotHeadroom);

class AeadRecord final : public Record {
 public:
  explicit AeadRecord(AeadParameters parameters)
      : read_(std::move(parameters.read)),
        write_(std::move(parameters.write)),
        records_per_key_(parameters.records_per_key),
        messages_(parameters.peer),
        tickets_(std::move(parameters.tickets)),
        max_fragment_(static_cast<uint16_t>(parameters.max_fragment)),
        peer_(parameters.peer) {}

  Opened Open(MutableBytes record) override;
  MutableBytes Seal(MutableBytes plain) override;
  SealRoom RoomFor(size_t size) const override;
  void CloseNotify(std::vector<std::byte>& out) override;
  bool TakeOutput(std::vector<std::byte>& out) override;
  size_t MemoryUsed() const override {
    return sizeof(*this) + output_.capacity() + (tickets_ != nullptr ? TicketReader::kMemory : 0);
  }

 private:
  bool key_update_due() const { return write_.tls13() && write_.sequence() >= records_per_key_; }
  Opened OnIllegalHeader(Bytes record);
  Opened Dispatch(uint8_t type, MutableBytes content);
  Opened OnData(MutableBytes content);
  Opened OnAlert(Bytes content);
  Opened OnWarning();
  Opened OnHandshake(Bytes content);
  Opened OnKeyUpdate(bool answer);
  Opened OnRenegotiation();
  Opened OnTicket();
  Opened Fail(int alert, const char* why);
  void Say(uint8_t type, std::initializer_list<uint8_t> octets);
  bool SayKeyUpdate(MutableBytes content);

  Protection read_;
  Protection write_;
  uint64_t records_per_key_;
  std::vector<std::byte> output_;
  PostHandshake messages_;
  std::unique_ptr<TicketReader> tickets_;
  uint16_t max_fragment_;
  uint16_t key_updates_ever_ = 0;  // less those that data has made up for
  uint16_t data_records_ = 0;      // since it last did
  Peer peer_;
  uint8_t empty_records_ = 0;
  uint8_t warnings_ = 0;
  uint8_t key_updates_ = 0;
  uint8_t renegotiations_ = 0;
  uint8_t tickets_seen_ = 0;
  bool answered_ = false;     // our answer to a KeyUpdate still waits in output_
  bool peer_closed_ = false;  // close_notify has come
  bool open_ended_ = false;   // nothing more is opened
  bool seal_ended_ = false;   // nothing more is sent
};

Opened AeadRecord::Open(MutableBytes record) {
  POSTERN_CHECK(record.size() >= limits::kRecordHeader);
  if (open_ended_) return {OpenKind::kFailed, {}, "the connection has failed before"};
  // RFC 8446 section 6.1: what comes after close_notify MUST be ignored.
  if (peer_closed_) return {OpenKind::kCloseNotify, {}, nullptr};
  if (PeekRecord(record).total != record.size()) return OnIllegalHeader(record);
  // RFC 8446 section 5: after the handshake all is encrypted; a change_cipher_spec too is refused
  // with unexpected_message.
  if (read_.tls13() && std::to_integer<uint8_t>(record[0]) != kApplicationData) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record that is not encrypted");
  }
  // RFC 8446 section 5.2 and 5.4: at most 2^14 octets, in TLS 1.3 and their type and padding.
  const size_t most = read_.head() + limits::kMaxPlaintext + read_.tail();
  if (record.size() > most) return Fail(SSL_AD_RECORD_OVERFLOW, "a record that is too long");

  // Records are opened where they lie, so what libssl may want is put aside first.
  const std::vector<std::byte> as_it_came =
      tickets_ != nullptr ? TicketReader::Copy(record) : std::vector<std::byte>();
  const Protection::Opened opened = read_.Open(record);
  switch (opened.kind) {
    case Protection::Opened::Kind::kOk:
      break;
    case Protection::Opened::Kind::kBadMac:
      return Fail(SSL_AD_BAD_RECORD_MAC, "a record with a wrong MAC");
    case Protection::Opened::Kind::kNoType:
      return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record of nothing but padding");
    case Protection::Opened::Kind::kUsedUp:
      return Fail(SSL_AD_INTERNAL_ERROR, "the sequence numbers are used up");
  }
  if (opened.content.size() > max_fragment_) {
    return Fail(SSL_AD_RECORD_OVERFLOW, "a record longer than was agreed");
  }
  const Opened result = Dispatch(opened.type, opened.content);
  if (tickets_ != nullptr && (opened.type != kHandshake || result.kind != OpenKind::kHandled ||
                              !tickets_->Take(as_it_came))) {
    tickets_.reset();
  }
  return result;
}

Opened AeadRecord::OnIllegalHeader(Bytes record) {
  const auto type = std::to_integer<uint8_t>(record[0]);
  if (type < 20 || type > 23) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "octets that are not a TLS record");
  }
  if (record[1] != std::byte{3}) {
    return Fail(SSL_AD_PROTOCOL_VERSION, "a record of another protocol version");
  }
  return Fail(SSL_AD_RECORD_OVERFLOW, "a record that is too long");
}

Opened AeadRecord::Dispatch(uint8_t type, MutableBytes content) {
  // RFC 8446 section 5.1: nothing may come between the parts of a handshake message.
  if (type == kApplicationData && !messages_.partial()) return OnData(content);
  if (type == kAlert) return OnAlert(content);
  if (type == kHandshake) return OnHandshake(content);
  return Fail(SSL_AD_UNEXPECTED_MESSAGE, "a record of a type that may not come here");
}

Opened AeadRecord::OnData(MutableBytes content) {
  if (content.empty()) {
    if (++empty_records_ > kMaxEmptyRecords) {
      return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many empty records");
    }
  } else {
    empty_records_ = warnings_ = key_updates_ = tickets_seen_ = 0;
    if (++data_records_ == kRecordsPerKeyUpdate) {
      data_records_ = 0;
      if (key_updates_ever_ > 0) --key_updates_ever_;
    }
  }
  return {OpenKind::kData, content, nullptr};
}

Opened AeadRecord::OnAlert(Bytes content) {
  if (content.size() != 2) return Fail(SSL_AD_DECODE_ERROR, "a malformed alert");
  const auto level = std::to_integer<uint8_t>(content[0]);
  const auto alert = std::to_integer<uint8_t>(content[1]);
  if (alert == SSL_AD_CLOSE_NOTIFY) {
    peer_closed_ = true;
    return {OpenKind::kCloseNotify, {}, nullptr};
  }
  // RFC 8446 section 6: the level means nothing any more, all but these two alerts end the
  // connection.
  if (read_.tls13() ? alert == SSL_AD_USER_CANCELLED : level == kWarning) return OnWarning();
  if (!read_.tls13() && level != kFatal) {
    return Fail(SSL_AD_ILLEGAL_PARAMETER, "an alert of unknown level");
  }
  open_ended_ = seal_ended_ = true;
  return {OpenKind::kFailed, {}, AlertPhrase(peer_, alert)};
}

Opened AeadRecord::OnWarning() {
  if (++warnings_ > kMaxWarnings) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many warning alerts");
  }
  return {OpenKind::kHandled, {}, nullptr};
}

Opened AeadRecord::OnHandshake(Bytes content) {
  // RFC 8446 section 5.1: no empty fragments of handshake messages.
  if (content.empty()) return Fail(SSL_AD_UNEXPECTED_MESSAGE, "an empty handshake record");
  Opened result{OpenKind::kHandled, {}, nullptr};
  while (!content.empty() && result.kind == OpenKind::kHandled) {
    const PostHandshake::Event event = messages_.Feed(read_.tls13(), content);
    switch (event.kind) {
      case PostHandshake::Kind::kPartial:
        break;
      case PostHandshake::Kind::kKeyUpdate:
      case PostHandshake::Kind::kKeyUpdateAsks:
        result = OnKeyUpdate(event.kind == PostHandshake::Kind::kKeyUpdateAsks);
        break;
      case PostHandshake::Kind::kRenegotiate:
        result = OnRenegotiation();
        break;
      case PostHandshake::Kind::kTicket:
        result = OnTicket();
        break;
      case PostHandshake::Kind::kIllegal:
        result = Fail(event.alert, event.why);
        break;
    }
  }
  return result;
}

Opened AeadRecord::OnKeyUpdate(bool answer) {
  if (++key_updates_ > kMaxKeyUpdates || ++key_updates_ever_ > kMaxKeyUpdatesEver) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many KeyUpdates");
  }
  if (!read_.Update()) return Fail(SSL_AD_INTERNAL_ERROR, "no new key");
  tickets_.reset();
  // RFC 8446 section 4.6.3: one answer is enough for several requests.
  if (answer && !answered_ && !seal_ended_) {
    std::array<std::byte, 5 + 5 + kAeadTag + 1> record;
    if (!SayKeyUpdate(MutableBytes(record).subspan(5, 5))) {
      return Fail(SSL_AD_INTERNAL_ERROR, "no new key");
    }
    output_.insert(output_.end(), record.begin(), record.end());
    answered_ = true;
  }
  return {OpenKind::kHandled, {}, nullptr};
}

Opened AeadRecord::OnRenegotiation() {
  if (++renegotiations_ > kMaxRenegotiations) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many attempts to renegotiate");
  }
  // RFC 5246 section 7.2.2: the answer of one who does not want to, at warning level.
  Say(kAlert, {kWarning, SSL_AD_NO_RENEGOTIATION});
  return {OpenKind::kHandled, {}, nullptr};
}

Opened AeadRecord::OnTicket() {
  if (++tickets_seen_ > kMaxTickets) {
    return Fail(SSL_AD_UNEXPECTED_MESSAGE, "too many session tickets");
  }
  return {OpenKind::kHandled, {}, nullptr};
}

Opened AeadRecord::Fail(int alert, const char* why) {
  Say(kAlert, {kFatal, static_cast<uint8_t>(alert)});
  open_ended_ = seal_ended_ = true;
  return {OpenKind::kFailed, {}, why};
}

void AeadRecord::Say(uint8_t type, std::initializer_list<uint8_t> octets) {
  if (seal_ended_) return;
  std::array<std::byte, 64> room;
  POSTERN_CHECK(write_.head() + octets.size() + write_.tail() <= room.size());
  const MutableBytes content = MutableBytes(room).subspan(write_.head(), octets.size());
  std::memcpy(content.data(), octets.begin(), octets.size());
  if (!write_.Seal(type, content)) {
    seal_ended_ = true;
    return;
  }
  const size_t size = write_.head() + octets.size() + write_.tail();
  output_.insert(output_.end(), room.begin(), room.begin() + static_cast<ptrdiff_t>(size));
}

// SayKeyUpdate makes a record of a KeyUpdate around `content` (5 octets) and moves on to the next
// key.
bool AeadRecord::SayKeyUpdate(MutableBytes content) {
  constexpr std::array<uint8_t, 5> kMessage = {24, 0, 0, 1, 0};  // key_update, not requested
  std::memcpy(content.data(), kMessage.data(), kMessage.size());
  return write_.Seal(kHandshake, content) && write_.Update();
}

MutableBytes AeadRecord::Seal(MutableBytes plain) {
  POSTERN_CHECK(!plain.empty() && plain.size() <= limits::kMaxPlaintext);
  if (seal_ended_) return {};
  const size_t overhead = write_.head() + write_.tail();
  std::byte* begin = plain.data() - write_.head();
  if (key_update_due()) {
    begin -= 5 + overhead;
    if (!SayKeyUpdate(MutableBytes(begin + write_.head(), 5))) {
      seal_ended_ = true;
      return {};
    }
  }
  // With small records, make room between them, the last one first.
  const size_t records = (plain.size() + max_fragment_ - 1) / max_fragment_;
  const auto fragment = [&](size_t i) {
    return MutableBytes(plain.data() + i * (max_fragment_ + overhead),
                        std::min<size_t>(max_fragment_, plain.size() - i * max_fragment_));
  };
  for (size_t i = records - 1; i > 0; --i) {
    std::memmove(fragment(i).data(), plain.data() + i * max_fragment_, fragment(i).size());
  }
  for (size_t i = 0; i < records; ++i) {
    if (!write_.Seal(kApplicationData, fragment(i))) {
      seal_ended_ = true;
      return {};
    }
  }
  const MutableBytes last = fragment(records - 1);
  return {begin, last.data() + last.size() + write_.tail()};
}

SealRoom AeadRecord::RoomFor(size_t size) const {
  const size_t overhead = write_.head() + write_.tail();
  const size_t records = (size + max_fragment_ - 1) / max_fragment_;
  return {write_.head() + (key_update_due() ? 5 + overhead : 0),
          write_.tail() + (records - 1) * overhead};
}

void AeadRecord::CloseNotify(std::vector<std::byte>& out) {
  Say(kAlert, {kWarning, SSL_AD_CLOSE_NOTIFY});
  seal_ended_ = true;
  TakeOutput(out);
}

bool AeadRecord::TakeOutput(std::vector<std::byte>& out) {
  if (output_.empty()) return false;
  out.insert(out.end(), output_.begin(), output_.end());
  output_ = {};
  answered_ = false;
  return true;
}

}  // namespace

std::unique_ptr<Record> MakeAeadRecord(AeadParameters parameters) {
  return std::make_unique<AeadRecord>(std::move(parameters));
}

}  // namespace postern::tls
