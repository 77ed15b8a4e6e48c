// The small record engine: two keys, two sequence numbers, and OpenSSL's AEAD on the caller's
// octets. TLS 1.3, and TLS 1.2 with AEAD suites.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "postern/base/limits.h"
#include "postern/tls/record.h"
#include "tls/names.h"
#include "tls/protection.h"
#include "tls/ticket_reader.h"

namespace postern::tls {

// RFC 8446 section 5.5 allows some 24 million full records under one AES-GCM key; we change it
// earlier, at a round number, whatever the suite.
inline constexpr uint64_t kRecordsPerKey = uint64_t{1} << 24;

// Bounds on what a peer may send without sending data, so that it cannot keep us busy for nothing.
// libssl has the same ones, but for KeyUpdate, which it does not bound.
inline constexpr unsigned kMaxEmptyRecords = 32;
inline constexpr unsigned kMaxWarnings = 5;
inline constexpr unsigned kMaxKeyUpdates = 32;
// And over the whole life of a connection, data between them or not: a KeyUpdate costs the peer 27
// octets, and us the derivation of a key and often an answer. Clients that change keys at all do so
// every some million records, or by the hour; these many are one a minute for three days, and so
// many records of data give one more.
inline constexpr unsigned kMaxKeyUpdatesEver = 4096;
inline constexpr unsigned kRecordsPerKeyUpdate = 1024;
inline constexpr unsigned kMaxRenegotiations = 5;
inline constexpr unsigned kMaxTickets = 32;

struct AeadParameters {
  Protection read;
  Protection write;
  // RFC 6066 section 4: the most plaintext in one record, either way.
  size_t max_fragment = limits::kMaxPlaintext;
  uint64_t records_per_key = kRecordsPerKey;
  Peer peer = Peer::kClient;
  // Of a server whose sessions are to be resumed, until its first data has come; may be null.
  std::unique_ptr<TicketReader> tickets = nullptr;
};

std::unique_ptr<Record> MakeAeadRecord(AeadParameters parameters);

}  // namespace postern::tls
