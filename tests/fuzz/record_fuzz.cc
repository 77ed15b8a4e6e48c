// Fuzzing of the record layer: octets as they come from the network, and, since those fail at their
// MAC, messages that a peer with the right keys has sealed.
//
// The first octet of an input chooses: bit 0 TLS 1.3, bit 1 octets instead of messages, bits 2 and
// 3 the suite, bit 4 records of 512 octets. A message is a type, a length in two octets, and its
// content.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/base/check.h"
#include "postern/tls/record.h"
#include "tls/openssl_types.h"
#include "tls/protection.h"
#include "tls/record_aead.h"
#include "tls/record_libssl.h"
#include "tls/wire_bio.h"

using postern::Bytes;
using postern::MutableBytes;
using namespace postern::tls;  // NOLINT: it is what is fuzzed
namespace limits = postern::limits;

namespace {

constexpr AeadSuite kSuites[] = {{AeadKind::kAes128Gcm, HashKind::kSha256},
                                 {AeadKind::kAes256Gcm, HashKind::kSha384},
                                 {AeadKind::kChaCha20Poly1305, HashKind::kSha256}};

struct Choice {
  bool tls13;
  bool raw;
  AeadSuite suite;
  size_t max_fragment;
};

Choice ReadChoice(uint8_t octet) {
  return {(octet & 1) != 0, (octet & 2) != 0, kSuites[((octet >> 2) & 3) % 3],
          (octet & 16) != 0 ? size_t{512} : limits::kMaxPlaintext};
}

Protection Direction(const Choice& choice, unsigned seed) {
  const std::vector<std::byte> octets(48, static_cast<std::byte>(seed));
  if (choice.tls13) {
    auto made =
        Protection::Tls13(choice.suite, Bytes(octets).first(HashSize(choice.suite.hash)), 0);
    POSTERN_CHECK(made.has_value());
    return std::move(*made);
  }
  const size_t iv = choice.suite.aead == AeadKind::kChaCha20Poly1305 ? 12 : 4;
  return Protection::Tls12(choice.suite, Bytes(octets).first(AeadKeySize(choice.suite.aead)),
                           Bytes(octets).first(iv), 0, 0);
}

// Opens one record and checks what every engine promises.
OpenKind CheckOpen(Record& record, MutableBytes whole) {
  const Opened opened = record.Open(whole);
  POSTERN_CHECK((opened.failure != nullptr) == (opened.kind == OpenKind::kFailed));
  POSTERN_CHECK(opened.kind == OpenKind::kData || opened.plain.empty());
  if (!opened.plain.empty()) {
    POSTERN_CHECK(opened.plain.data() >= whole.data());
    POSTERN_CHECK(opened.plain.data() + opened.plain.size() <= whole.data() + whole.size());
    POSTERN_CHECK(opened.plain.size() <= limits::kMaxPlaintext);
  }
  return opened.kind;
}

// Every octet that the engine wants sent has to be a record that the peer can open.
void CheckSaid(const Choice& choice, Protection& peer, MutableBytes wire) {
  while (!wire.empty()) {
    const RecordLength length = PeekRecord(wire);
    POSTERN_CHECK(length.kind == RecordLength::Kind::kRecord && length.total <= wire.size());
    const Protection::Opened opened = peer.Open(wire.first(length.total));
    POSTERN_CHECK(opened.kind == Protection::Opened::Kind::kOk);
    POSTERN_CHECK(opened.content.size() <= choice.max_fragment);
    if (opened.type == 22) POSTERN_CHECK(peer.Update());
    wire = wire.subspan(length.total);
  }
}

void CheckSeal(const Choice& choice, Record& record, Protection& peer, bool failed) {
  constexpr size_t kSize = 1500;
  std::vector<std::byte> slot(limits::kSlotHeadroom + kSize + limits::kSlotTailroom);
  const MutableBytes sealed = record.Seal(MutableBytes(slot).subspan(limits::kSlotHeadroom, kSize));
  POSTERN_CHECK(sealed.empty() == failed);
  CheckSaid(choice, peer, sealed);
}

void FuzzMessages(const Choice& choice, Bytes input) {
  Protection to_engine = Direction(choice, 1);
  Protection from_engine = Direction(choice, 2);
  const auto record = MakeAeadRecord({.read = Direction(choice, 1),
                                      .write = Direction(choice, 2),
                                      .max_fragment = choice.max_fragment,
                                      .records_per_key = 7});
  bool failed = false;
  while (input.size() >= 3) {
    const auto type = std::to_integer<uint8_t>(input[0]);
    const size_t length =
        std::to_integer<size_t>(input[1]) << 8 | std::to_integer<size_t>(input[2]);
    input = input.subspan(3);
    const Bytes content = input.first(std::min(length, input.size()));
    input = input.subspan(content.size());

    const size_t head = to_engine.head();
    std::vector<std::byte> wire(head + content.size() + to_engine.tail());
    std::ranges::copy(content, wire.begin() + static_cast<ptrdiff_t>(head));
    POSTERN_CHECK(to_engine.Seal(type, MutableBytes(wire).subspan(head, content.size())));
    const bool whole_update = choice.tls13 && type == 22 && content.size() == 5;
    const OpenKind kind = CheckOpen(*record, wire);
    if (whole_update && kind == OpenKind::kHandled) POSTERN_CHECK(to_engine.Update());
    failed = failed || kind == OpenKind::kFailed;

    std::vector<std::byte> said;
    record->TakeOutput(said);
    CheckSaid(choice, from_engine, said);
    CheckSeal(choice, *record, from_engine, failed);
  }
}

void FuzzOctets(Record& record, Bytes input) {
  while (!input.empty()) {
    const RecordLength length = PeekRecord(input);
    if (length.kind != RecordLength::Kind::kRecord || length.total > input.size()) return;
    std::vector<std::byte> whole(input.begin(),
                                 input.begin() + static_cast<ptrdiff_t>(length.total));
    CheckOpen(record, whole);
    input = input.subspan(length.total);
  }
}

// One end of a TLS 1.2 connection without certificates, so that it is made quickly.
struct End {
  explicit End(bool server)
      : context(SSL_CTX_new(TLS_method())), window(std::make_unique<WireWindow>()) {
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    POSTERN_CHECK(SSL_CTX_set_cipher_list(context.get(), "AECDH-AES128-SHA") == 1);
    ssl.reset(SSL_new(context.get()));
    BIO* bio = MakeWireBio(*window).release();
    SSL_set_bio(ssl.get(), bio, bio);
    server ? SSL_set_accept_state(ssl.get()) : SSL_set_connect_state(ssl.get());
  }
  // Takes `in` and gives what is to be sent.
  std::vector<std::byte> Step(Bytes in) {
    std::vector<std::byte> out;
    *window = WireWindow{};
    window->in = in;
    window->out = &out;
    done = SSL_do_handshake(ssl.get()) == 1;
    POSTERN_CHECK(window->read == in.size());
    return out;
  }

  SslCtxPtr context;
  std::unique_ptr<WireWindow> window;
  SslPtr ssl;
  bool done = false;
};

std::unique_ptr<Record> MakeLibsslPeer() {
  End server(true);
  End client(false);
  std::vector<std::byte> wire;
  while (!server.done || !client.done) wire = server.Step(client.Step(wire));
  return MakeLibsslRecord(std::move(server.ssl), std::move(server.window));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Choice choice = ReadChoice(data[0]);
  const Bytes input = std::as_bytes(std::span(data + 1, size - 1));
  if (!choice.raw) {
    FuzzMessages(choice, input);
    return 0;
  }
  FuzzOctets(*MakeAeadRecord({.read = Direction(choice, 1), .write = Direction(choice, 2)}), input);
  FuzzOctets(*MakeLibsslPeer(), input);
  return 0;
}
