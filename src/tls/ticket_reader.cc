#include "tls/ticket_reader.h"

#include <openssl/err.h>

#include <utility>

namespace postern::tls {
namespace {

// Tickets are 200 octets, and some kilobytes where they hold a client's certificate.
constexpr size_t kMaxRecord = 8 * 1024;
// Servers send two, the most generous eight; each may stand in a record of its own.
constexpr unsigned kMaxRecords = 8;

}  // namespace

TicketReader::TicketReader(SslPtr ssl, std::unique_ptr<WireWindow> window)
    : window_(std::move(window)), ssl_(std::move(ssl)) {}

TicketReader::~TicketReader() { KeepSession(ssl_.get()); }

std::vector<std::byte> TicketReader::Copy(Bytes record) {
  if (record.size() > kMaxRecord) return {};
  return {record.begin(), record.end()};
}

bool TicketReader::Take(Bytes record) {
  if (record.empty()) return false;
  std::vector<std::byte> ignored;
  *window_ = WireWindow{.in = record, .out = &ignored};
  ERR_clear_error();
  // There is no data in it, so that libssl takes the messages and asks for more.
  char data = 0;
  const int result = SSL_read(ssl_.get(), &data, 1);
  const bool good = SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
  *window_ = WireWindow{};
  ERR_clear_error();
  return good && ++taken_ < kMaxRecords;
}

void KeepSession(SSL* ssl) { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

}  // namespace postern::tls
