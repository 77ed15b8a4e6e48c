// Ticket keys from files, so that several machines open each other's tickets.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/shm/ticket_keys.h"

namespace postern::shm {

// TicketKeyList wipes its keys when it goes. The first one seals.
class TicketKeyList {
 public:
  TicketKeyList() = default;
  TicketKeyList(TicketKeyList&& other) noexcept : keys_(std::exchange(other.keys_, {})) {}
  TicketKeyList& operator=(TicketKeyList&& other) noexcept;
  ~TicketKeyList();

  void Add(const TicketKey& key) { keys_.push_back(key); }
  std::span<const TicketKey> get() const { return keys_; }
  bool empty() const { return keys_.empty(); }

 private:
  std::vector<TicketKey> keys_;
};

// ReadTicketKeyFiles reads one key from each file, in order; at most kTicketKeyCount. The two forms
// are those that nginx's ssl_session_ticket_key takes: 80 octets (name, HMAC key of 32, AES-256
// key) or 48 (name, AES-128 key, HMAC key of 16). A file that others may read, or of another
// length, is an error, as are two keys of one name.
Result<TicketKeyList> ReadTicketKeyFiles(std::span<const std::string> paths);

}  // namespace postern::shm
