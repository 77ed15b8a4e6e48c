// Sealing and opening a session ticket with the keys that all workers share: what libssl does
// between making a session's octets and sending them, and the reverse.
#include <benchmark/benchmark.h>
#include <openssl/core_names.h>

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "postern/base/check.h"
#include "postern/shm/ticket_keys.h"
#include "tls/openssl_types.h"
#include "tls/tickets.h"
#include "tls_peer.h"
#include "verify.h"

namespace postern::bench {
namespace {

// A session without a client certificate has some 150 octets.
constexpr size_t kSession = 160;
constexpr size_t kMac = 32;
using Octets = std::array<unsigned char, kSession + 32>;

struct Ticket {
  std::array<unsigned char, shm::kTicketKeyName> name{};
  std::array<unsigned char, 16> iv{};
  Octets sealed{};
  size_t size = 0;
  std::array<unsigned char, kMac> mac{};
};

// Sealer does with the callback what libssl does (RFC 5077 section 4).
class Sealer {
 public:
  explicit Sealer(const shm::TicketKeys& keys)
      : context_(SSL_CTX_new(TLS_server_method())), mac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)) {
    POSTERN_CHECK(tls::UseTicketKeys(context_.get(), keys));
    ssl_.reset(SSL_new(context_.get()));
    POSTERN_CHECK(ssl_ != nullptr && mac_ != nullptr);
  }
  ~Sealer() { EVP_MAC_free(mac_); }
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  int Seal(const Octets& plain, Ticket& ticket) {
    Contexts contexts(mac_);
    const int answer = tls::TicketKeyCallback(ssl_.get(), ticket.name.data(), ticket.iv.data(),
                                              contexts.cipher, contexts.mac, 1);
    int size = 0;
    int rest = 0;
    EVP_EncryptUpdate(contexts.cipher, ticket.sealed.data(), &size, plain.data(), kSession);
    EVP_EncryptFinal(contexts.cipher, ticket.sealed.data() + size, &rest);
    ticket.size = static_cast<size_t>(size + rest);
    Authenticate(contexts.mac, ticket, ticket.mac);
    return answer;
  }

  int Open(Ticket& ticket, Octets& plain) {
    Contexts contexts(mac_);
    const int answer = tls::TicketKeyCallback(ssl_.get(), ticket.name.data(), ticket.iv.data(),
                                              contexts.cipher, contexts.mac, 0);
    if (answer <= 0) return answer;
    std::array<unsigned char, kMac> mac{};
    Authenticate(contexts.mac, ticket, mac);
    if (mac != ticket.mac) return -1;
    int size = 0;
    int rest = 0;
    EVP_DecryptUpdate(contexts.cipher, plain.data(), &size, ticket.sealed.data(),
                      static_cast<int>(ticket.size));
    if (EVP_DecryptFinal(contexts.cipher, plain.data() + size, &rest) != 1) return -1;
    return static_cast<size_t>(size + rest) == kSession ? answer : -1;
  }

 private:
  // libssl makes both anew for each ticket, too.
  struct Contexts {
    explicit Contexts(EVP_MAC* kind) : cipher(EVP_CIPHER_CTX_new()), mac(EVP_MAC_CTX_new(kind)) {}
    ~Contexts() {
      EVP_CIPHER_CTX_free(cipher);
      EVP_MAC_CTX_free(mac);
    }
    Contexts(const Contexts&) = delete;
    Contexts& operator=(const Contexts&) = delete;
    EVP_CIPHER_CTX* cipher;
    EVP_MAC_CTX* mac;
  };

  static void Authenticate(EVP_MAC_CTX* context, const Ticket& ticket,
                           std::array<unsigned char, kMac>& mac) {
    size_t size = 0;
    EVP_MAC_init(context, nullptr, 0, nullptr);
    EVP_MAC_update(context, ticket.name.data(), ticket.name.size());
    EVP_MAC_update(context, ticket.iv.data(), ticket.iv.size());
    EVP_MAC_update(context, ticket.sealed.data(), ticket.size);
    POSTERN_CHECK(EVP_MAC_final(context, mac.data(), &size, mac.size()) == 1);
  }

  tls::SslCtxPtr context_;
  tls::SslPtr ssl_;
  EVP_MAC* mac_;
};

Octets Session() {
  Octets octets{};
  for (size_t i = 0; i < kSession; ++i) octets[i] = static_cast<unsigned char>(i);
  return octets;
}

void SealTicket(benchmark::State& state) {
  Sealer sealer(Keys());
  const Octets session = Session();
  Ticket ticket;
  for (auto _ : state) {
    if (sealer.Seal(session, ticket) != 1) return Wrong(state, "the ticket was not sealed");
  }
  Octets opened{};
  if (sealer.Open(ticket, opened) != 1 || opened != session) {
    return Wrong(state, "the ticket does not open");
  }
  PerCore(state);
}
BENCHMARK(SealTicket);

// With the current key (`age` 0) or one that is `age` rotations old: those are renewed.
void OpenTicket(benchmark::State& state) {
  auto master = shm::TicketKeyMaster::Create();
  POSTERN_CHECK(master.has_value());
  const auto keys = shm::TicketKeys::Map(master->fd());
  POSTERN_CHECK(keys.has_value());
  Sealer sealer(*keys);
  const Octets session = Session();
  Ticket ticket;
  if (sealer.Seal(session, ticket) != 1) return Wrong(state, "the ticket was not sealed");
  for (int64_t i = 0; i < state.range(0); ++i) POSTERN_CHECK(master->Rotate().has_value());
  const int expected = state.range(0) == 0 ? 1 : 2;
  for (auto _ : state) {
    Octets opened{};
    if (sealer.Open(ticket, opened) != expected || opened != session) {
      return Wrong(state, "the ticket does not open");
    }
  }
  PerCore(state);
}
BENCHMARK(OpenTicket)->ArgName("age")->Arg(0)->Arg(3);

void RefuseTicket(benchmark::State& state) {
  Sealer sealer(Keys());
  Ticket ticket;
  for (auto _ : state) {
    Octets opened{};
    if (sealer.Open(ticket, opened) != 0) return Wrong(state, "an unknown key was found");
  }
  PerCore(state);
}
BENCHMARK(RefuseTicket);

}  // namespace
}  // namespace postern::bench
