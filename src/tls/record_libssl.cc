// Records by libssl. It copies each octet twice and keeps some 14 KB for an idle connection, and
// it knows everything: it is what serves when record_aead cannot.
#include "tls/record_libssl.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "postern/base/check.h"
#include "tls/names.h"
#include "tls/ticket_reader.h"

namespace postern::tls {
namespace {

// As many as record_aead takes of the most harmless of them.
constexpr unsigned kMaxWithoutData = 32;

// OpenSSL's reasons are static texts.
const char* TakeReason(const SSL* ssl) {
  const unsigned long code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  const int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
  ERR_clear_error();
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && alert >= 0 && alert <= 255) {
    return AlertPhrase(SSL_is_server(ssl) == 1 ? Peer::kClient : Peer::kServer, alert);
  }
  return reason == nullptr ? "the record layer failed" : reason;
}

class LibsslRecord final : public Record {
 public:
  LibsslRecord(SslPtr ssl, std::unique_ptr<WireWindow> window)
      : window_(std::move(window)), ssl_(std::move(ssl)) {}
  ~LibsslRecord() override {
    if (!open_failed_ && ssl_ != nullptr) KeepSession(ssl_.get());
  }

  Opened Open(MutableBytes record) override;
  MutableBytes Seal(MutableBytes plain) override;
  SealRoom RoomFor(size_t) const override { return {limits::kSlotHeadroom, limits::kSlotTailroom}; }
  void CloseNotify(std::vector<std::byte>& out) override;
  bool TakeOutput(std::vector<std::byte>& out) override;
  size_t MemoryUsed() const override;

 private:
  Opened Judge(int result, MutableBytes record);

  std::unique_ptr<WireWindow> window_;
  SslPtr ssl_;
  std::vector<std::byte> output_;
  unsigned without_data_ = 0;  // records in a row that carried none
  bool open_failed_ = false;
  bool seal_failed_ = false;
};

Opened LibsslRecord::Open(MutableBytes record) {
  if (open_failed_) return {.failure = "the record layer failed before"};
  *window_ = WireWindow{.in = record, .out = &output_};
  ERR_clear_error();
  // libssl has read the whole record into memory of its own before it writes plaintext back here.
  const bool whole = PeekRecord(record).total == record.size();
  const int result = SSL_read(ssl_.get(), record.data(), static_cast<int>(record.size()));
  Opened opened = Judge(result, record);
  *window_ = WireWindow{};
  ERR_clear_error();
  if (!whole && opened.kind != OpenKind::kFailed) {
    // libssl waits for the rest of a record that is not to be.
    open_failed_ = seal_failed_ = true;
    opened = {.failure = "an illegal record"};
  }
  return opened;
}

Opened LibsslRecord::Judge(int result, MutableBytes record) {
  if (result > 0) {
    without_data_ = 0;
    return {OpenKind::kData, record.first(static_cast<size_t>(result)), nullptr};
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      // libssl bounds warnings and empty records, but neither KeyUpdates nor attempts to
      // renegotiate.
      if (++without_data_ > kMaxWithoutData) {
        open_failed_ = seal_failed_ = true;
        return {OpenKind::kFailed, {}, "too many records without data"};
      }
      return {OpenKind::kHandled, {}, nullptr};
    case SSL_ERROR_ZERO_RETURN:
      return {OpenKind::kCloseNotify, {}, nullptr};
    default:
      open_failed_ = seal_failed_ = true;
      return {OpenKind::kFailed, {}, TakeReason(ssl_.get())};
  }
}

MutableBytes LibsslRecord::Seal(MutableBytes plain) {
  POSTERN_CHECK(!plain.empty() && plain.size() <= limits::kMaxPlaintext);
  if (seal_failed_) return {};
  const MutableBytes room(plain.data() - limits::kSlotHeadroom,
                          limits::kSlotHeadroom + plain.size() + limits::kSlotTailroom);
  // The plaintext is where the records go; with more than one record (RFC 6066 section 4) the first
  // would overwrite what the next is made of.
  static thread_local std::array<std::byte, limits::kMaxPlaintext> copy;
  std::ranges::copy(plain, copy.begin());
  *window_ = WireWindow{.slot = room, .out = &output_};
  ERR_clear_error();
  const int result = SSL_write(ssl_.get(), copy.data(), static_cast<int>(plain.size()));
  const size_t written = window_->written;
  *window_ = WireWindow{};
  ERR_clear_error();
  if (result != static_cast<int>(plain.size())) {
    seal_failed_ = true;
    return {};
  }
  return room.first(written);
}

void LibsslRecord::CloseNotify(std::vector<std::byte>& out) {
  TakeOutput(out);
  if (seal_failed_) return;
  seal_failed_ = true;
  *window_ = WireWindow{.out = &out};
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  *window_ = WireWindow{};
}

bool LibsslRecord::TakeOutput(std::vector<std::byte>& out) {
  if (output_.empty()) return false;
  out.insert(out.end(), output_.begin(), output_.end());
  output_ = {};
  return true;
}

size_t LibsslRecord::MemoryUsed() const {
  // libssl does not tell; measured on OpenSSL 3.0 with its buffers released.
  constexpr size_t kIdleSsl = 14 * 1024;
  return sizeof(*this) + sizeof(WireWindow) + output_.capacity() + kIdleSsl;
}

}  // namespace

std::unique_ptr<Record> MakeLibsslRecord(SslPtr ssl, std::unique_ptr<WireWindow> window) {
  return std::make_unique<LibsslRecord>(std::move(ssl), std::move(window));
}

}  // namespace postern::tls
