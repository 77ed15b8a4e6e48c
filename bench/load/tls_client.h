// The TLS client: libssl between spans of octets, and the sessions that it may resume.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/tally.h"
#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "tls/openssl_types.h"
#include "tls/wire_bio.h"

namespace postern::bench {

struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeSession>;

// SessionStore keeps what servers gave to resume with, oldest first. A TLS 1.3 ticket is used once
// (RFC 8446 appendix C.4), a TLS 1.2 session again and again until a newer one comes.
class SessionStore {
 public:
  explicit SessionStore(size_t bound) : bound_(bound) {}
  void Add(SessionPtr session);
  // Null when there is none.
  SessionPtr Take();
  size_t size() const { return sessions_.size(); }
  // How many were ever added.
  uint64_t added() const { return added_; }

 private:
  size_t bound_;
  uint64_t added_ = 0;
  std::deque<SessionPtr> sessions_;
};

// MakeClientContext makes the context that all connections of a process share, as the options say.
// `store`, when given, gets each new session; it must outlive the context.
Result<tls::SslCtxPtr> MakeClientContext(const LoadOptions& options, SessionStore* store);

// Negotiated counts what handshakes ended in without making strings for each of them.
class Negotiated {
 public:
  void Add(SSL* ssl);
  void Clear() { *this = Negotiated(); }
  void AddTo(Tally& tally) const;

 private:
  struct Line {
    int version;
    int group;
    const SSL_CIPHER* cipher;
    std::string group_name;
    uint64_t times;
  };
  std::vector<Line> lines_;  // a handful
  uint64_t full_ = 0;
  uint64_t resumed_ = 0;
};

class TlsClient {
 public:
  enum class Step : uint8_t { kMore, kDone, kEnd, kFailed };

  // `out` takes what is to be sent, `name` is asked for when it is not empty; `session` is resumed
  // unless it is null. `out` must outlive the client.
  TlsClient(SSL_CTX* context, const std::string& name, SSL_SESSION* session,
            std::vector<std::byte>& out);

  // Feed shows octets from the server; they must stay until Handshake or Read has said kMore (or
  // anything but kDone).
  void Feed(Bytes in);
  // kDone once it is complete, kMore when it needs octets; kFailed: see reason().
  Step Handshake();
  // kDone with `size` octets of text in `buffer`; kEnd at the server's close_notify.
  Step Read(MutableBytes buffer, size_t& size);
  // False when libssl refuses; see reason().
  bool Write(Bytes text);
  // Sends close_notify.
  void Finish();

  SSL* ssl() { return ssl_.get(); }
  const std::string& reason() const { return reason_; }

 private:
  Step Fail();

  tls::WireWindow window_;
  tls::SslPtr ssl_;
  std::string reason_;
};

}  // namespace postern::bench
