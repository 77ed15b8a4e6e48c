// From libssl's handshake to the small record engine.
//
// TLS 1.3 secrets come from our own KDF within libssl's handshake, or through the key log where
// OpenSSL does not take that. TLS 1.2 keys follow from the master secret and the two random values.
#include "tls/engine.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "postern/base/limits.h"
#include "tls/key_schedule.h"
#include "tls/protection.h"

namespace postern::tls {
namespace {

EngineChoice engine_choice = EngineChoice::kBest;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A line is LABEL, client random, secret: all but the label in hex.
bool ReadSecret(std::string_view line, std::string_view label, HandshakeWatch::Secret& secret) {
  if (!line.starts_with(label) || !line.substr(label.size()).starts_with(' ')) return false;
  const std::string_view hex = line.substr(line.rfind(' ') + 1);
  if (hex.size() % 2 != 0 || hex.size() / 2 > secret.octets.size()) return false;
  for (size_t i = 0; i < hex.size() / 2; ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    secret.octets[i] = static_cast<std::byte>(high << 4 | low);
  }
  secret.size = hex.size() / 2;
  return true;
}

std::optional<AeadSuite> SuiteOf(const SSL_CIPHER* cipher) {
  switch (SSL_CIPHER_get_protocol_id(cipher)) {
    case 0x1301:  // TLS_AES_128_GCM_SHA256
    case 0xC02B:  // ECDHE-ECDSA-AES128-GCM-SHA256
    case 0xC02F:  // ECDHE-RSA-AES128-GCM-SHA256
    case 0x009E:  // DHE-RSA-AES128-GCM-SHA256
    case 0x009C:  // AES128-GCM-SHA256
      return AeadSuite{AeadKind::kAes128Gcm, HashKind::kSha256};
    case 0x1302:  // TLS_AES_256_GCM_SHA384
    case 0xC02C:  // ECDHE-ECDSA-AES256-GCM-SHA384
    case 0xC030:  // ECDHE-RSA-AES256-GCM-SHA384
    case 0x009F:  // DHE-RSA-AES256-GCM-SHA384
    case 0x009D:  // AES256-GCM-SHA384
      return AeadSuite{AeadKind::kAes256Gcm, HashKind::kSha384};
    case 0x1303:  // TLS_CHACHA20_POLY1305_SHA256
    case 0xCCA9:  // ECDHE-ECDSA-CHACHA20-POLY1305
    case 0xCCA8:  // ECDHE-RSA-CHACHA20-POLY1305
    case 0xCCAA:  // DHE-RSA-CHACHA20-POLY1305
      return AeadSuite{AeadKind::kChaCha20Poly1305, HashKind::kSha256};
    default:
      return {};
  }
}

struct Directions {
  Protection read;
  Protection write;
};

std::optional<Directions> Keys13(AeadSuite suite, bool server, const HandshakeWatch& watch) {
  const size_t size = HashSize(suite.hash);
  if (watch.client().size != size || watch.server().size != size) return {};
  const Bytes client_secret = Bytes(watch.client().octets).first(size);
  const Bytes server_secret = Bytes(watch.server().octets).first(size);
  // A client's last step writes its Finished, which is still under the handshake's key.
  auto read = Protection::Tls13(suite, server ? client_secret : server_secret, 0);
  auto write = Protection::Tls13(suite, server ? server_secret : client_secret,
                                 server ? watch.records_in_last_step() : 0);
  if (!read || !write) return {};
  return Directions{std::move(*read), std::move(*write)};
}

// RFC 5246 section 6.3: key_block = PRF(master secret, "key expansion", server random + client
// random), cut into client key, server key, client IV, server IV (AEAD suites have no MAC keys).
std::optional<Directions> Keys12(AeadSuite suite, SSL* ssl, const HandshakeWatch& watch) {
  std::array<std::byte, 64> seed;
  std::array<std::byte, SSL_MAX_MASTER_KEY_LENGTH> master;
  std::array<std::byte, 2 * (32 + kAeadNonce)> block;
  SSL_get_server_random(ssl, reinterpret_cast<unsigned char*>(seed.data()), 32);
  SSL_get_client_random(ssl, reinterpret_cast<unsigned char*>(seed.data()) + 32, 32);
  const size_t master_size = SSL_SESSION_get_master_key(
      SSL_get_session(ssl), reinterpret_cast<unsigned char*>(master.data()), master.size());
  const size_t key = AeadKeySize(suite.aead);
  const size_t iv = suite.aead == AeadKind::kChaCha20Poly1305 ? kAeadNonce : 4;
  const MutableBytes used = MutableBytes(block).first(2 * (key + iv));
  std::optional<Directions> made;
  if (Tls12Prf(suite.hash, Bytes(master).first(master_size), "key expansion", seed, used)) {
    const bool server = SSL_is_server(ssl) == 1;
    // Both sides have sent one record under these keys, the Finished.
    const auto direction = [&](bool of_client, uint64_t nonce) {
      return Protection::Tls12(suite, used.subspan(of_client ? 0 : key, key),
                               used.subspan(2 * key + (of_client ? 0 : iv), iv), nonce, 1);
    };
    made = Directions{direction(server, 0), direction(!server, watch.finished_nonce())};
  }
  OPENSSL_cleanse(master.data(), master.size());
  OPENSSL_cleanse(block.data(), block.size());
  return made;
}

size_t MaxFragment(SSL* ssl) {
  // RFC 6066 section 4: 1 to 4 stand for 2^9 to 2^12.
  const unsigned mode = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));
  return mode >= 1 && mode <= 4 ? size_t{256} << mode : limits::kMaxPlaintext;
}

}  // namespace

void SetEngineChoice(EngineChoice choice) { engine_choice = choice; }

HandshakeWatch::~HandshakeWatch() {
  OPENSSL_cleanse(client_.octets.data(), client_.octets.size());
  OPENSSL_cleanse(server_.octets.data(), server_.octets.size());
}

void HandshakeWatch::OnTrafficSecret(bool client, Bytes secret) {
  Secret& kept = client ? client_ : server_;
  kept.size = std::min(secret.size(), kept.octets.size());
  std::ranges::copy(secret.first(kept.size), kept.octets.begin());
}

void HandshakeWatch::OnKeyLog(const char* line) {
  if (!ReadSecret(line, "CLIENT_TRAFFIC_SECRET_0", client_)) {
    ReadSecret(line, "SERVER_TRAFFIC_SECRET_0", server_);
  }
}

void HandshakeWatch::OnOutput(Bytes records) {
  records_ = 0;
  for (;;) {
    const RecordLength length = PeekRecord(records);
    if (length.kind != RecordLength::Kind::kRecord || length.total > records.size()) return;
    const Bytes record = records.first(length.total);
    ++records_;
    if (changed_cipher_ && !finished_seen_ && record.size() >= limits::kRecordHeader + 8) {
      finished_seen_ = true;
      for (const std::byte octet : record.subspan(limits::kRecordHeader, 8)) {
        finished_nonce_ = finished_nonce_ << 8 | std::to_integer<uint8_t>(octet);
      }
    }
    if (record[0] == std::byte{20}) changed_cipher_ = true;
    records = records.subspan(record.size());
  }
}

HandshakeStep TakeStep(SSL* ssl, WireWindow& window, HandshakeWatch& watch, Bytes wire,
                       std::vector<std::byte>& out) {
  const size_t before = out.size();
  window = WireWindow{.in = wire, .out = &out};
  ERR_clear_error();
  HandshakeStep step;
  {
    const SinkScope secrets(watch);
    step.result = SSL_do_handshake(ssl);
  }
  step.error = SSL_get_error(ssl, step.result);
  step.consumed = window.read;
  window = WireWindow{};
  watch.OnOutput(Bytes(out).subspan(before));
  return step;
}

std::optional<AeadParameters> TakeOver(SSL* ssl, const HandshakeWatch& watch) {
  if (engine_choice == EngineChoice::kLibssl) return {};
  // Octets that libssl has read and not yet given out would be lost. It does not read ahead, so
  // there are none.
  if (SSL_has_pending(ssl) == 1) return {};
  const std::optional<AeadSuite> suite = SuiteOf(SSL_get_current_cipher(ssl));
  if (!suite) return {};
  std::optional<Directions> keys;
  if (SSL_version(ssl) == TLS1_3_VERSION) {
    keys = Keys13(*suite, SSL_is_server(ssl) == 1, watch);
  }
  if (SSL_version(ssl) == TLS1_2_VERSION) keys = Keys12(*suite, ssl, watch);
  if (!keys) return {};
  return AeadParameters{.read = std::move(keys->read),
                        .write = std::move(keys->write),
                        .max_fragment = MaxFragment(ssl),
                        .peer = SSL_is_server(ssl) == 1 ? Peer::kClient : Peer::kServer};
}

}  // namespace postern::tls
