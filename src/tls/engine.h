// Which record engine a connection gets, and what the small one needs from libssl's handshake.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "postern/base/bytes.h"
#include "tls/kdf_provider.h"
#include "tls/openssl_types.h"
#include "tls/record_aead.h"
#include "tls/wire_bio.h"

namespace postern::tls {

// For tests and measurements: kLibssl keeps libssl for every connection whose handshake ends from
// now on in this process.
enum class EngineChoice : uint8_t { kBest, kLibssl };
void SetEngineChoice(EngineChoice choice);

// HandshakeWatch collects during the handshake what libssl will not tell afterwards. It wipes the
// secrets that it holds.
class HandshakeWatch final : public TrafficSecretSink {
 public:
  HandshakeWatch() = default;
  HandshakeWatch(const HandshakeWatch&) = delete;
  HandshakeWatch& operator=(const HandshakeWatch&) = delete;
  ~HandshakeWatch();

  void OnTrafficSecret(bool client, Bytes secret) override;
  // A line of libssl's key log (SSL_CTX_set_keylog_callback), where our KDF is not in use.
  void OnKeyLog(const char* line);
  // What libssl wrote in one step of the handshake: whole records.
  void OnOutput(Bytes records);

  struct Secret {
    std::array<std::byte, 48> octets{};
    size_t size = 0;
  };
  const Secret& client() const { return client_; }
  const Secret& server() const { return server_; }
  // Records in the last step. In TLS 1.3 the server's step that takes the client's Finished in
  // writes session tickets only, all of them under the application key.
  uint64_t records_in_last_step() const { return records_; }
  // TLS 1.2: the explicit nonce of our Finished, the first record behind ChangeCipherSpec.
  uint64_t finished_nonce() const { return finished_nonce_; }

 private:
  Secret client_;
  Secret server_;
  uint64_t records_ = 0;
  bool changed_cipher_ = false;
  bool finished_seen_ = false;
  uint64_t finished_nonce_ = 0;
};

// HandshakeStep is one call into libssl: it took `consumed` octets of the wire and came to
// `result`, SSL_do_handshake's, and `error`, SSL_get_error's. OpenSSL's queue of errors holds what
// it left.
struct HandshakeStep {
  int result = 0;
  int error = 0;
  size_t consumed = 0;
};
// TakeStep goes on with a handshake whose BIO is over `window`, and appends to `out` what is for
// the peer. `watch` is told of all that it needs.
HandshakeStep TakeStep(SSL* ssl, WireWindow& window, HandshakeWatch& watch, Bytes wire,
                       std::vector<std::byte>& out);

// TakeOver gives what the small engine needs for a connection that has just finished its handshake,
// on either side; nothing where libssl has to stay.
std::optional<AeadParameters> TakeOver(SSL* ssl, const HandshakeWatch& watch);

}  // namespace postern::tls
