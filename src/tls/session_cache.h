// SessionCache: sessions with the servers of one back end, to be resumed.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/openssl_types.h"

namespace postern::tls {

class SessionCache {
 public:
  // Take gives a session that a server of that name has begun, or null. One of TLS 1.3 is given
  // once (RFC 8446 appendix C.4), one of TLS 1.2 again and again.
  SslSessionPtr Take(std::string_view name);
  // Put keeps `session` for `name`. Of many the oldest goes.
  void Put(std::string_view name, SslSessionPtr session);
  // Forget drops what there is for `name`: a handshake with it has failed.
  void Forget(std::string_view name);
  size_t size() const;  // sessions

 private:
  struct Entry {
    std::string name;
    std::vector<SslSessionPtr> sessions;  // the newest last
  };
  using Entries = std::list<Entry>;

  Entries recent_;                                                   // most recently used first
  std::unordered_map<std::string_view, Entries::iterator> by_name_;  // keys lie in the entries
};

}  // namespace postern::tls
