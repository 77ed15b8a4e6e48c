// libssl could choose between certificates itself, if all of a name were set on the SSL. It would
// do so after the ticket, though, which is bound to the certificate; every one would have to be
// parsed and set for every handshake; and its order is that of the signature algorithms, where an
// RSA certificate may win over an ECDSA one that costs a tenth. So the choice is made here, before
// anything is parsed, from facts that the name index holds.
#include "tls/client_abilities.h"

#include <openssl/obj_mac.h>

#include <algorithm>
#include <array>

namespace postern::tls {
namespace {

using pki::KeyClass;

constexpr uint32_t BitOf(KeyClass kind) { return 1U << static_cast<uint32_t>(kind); }

struct KindFacts {
  KeyClass kind;
  uint16_t group;  // of an ECDSA key; 0 else
  // The schemes by which TLS 1.3 has such a key sign (RFC 8446 section 4.2.3), zeros behind them.
  std::array<uint16_t, 3> tls13;
};

constexpr std::array<KindFacts, 7> kKinds = {{
    {KeyClass::kEcdsaP256, 23, {0x0403}},
    {KeyClass::kEd25519, 0, {0x0807}},
    {KeyClass::kEcdsaP384, 24, {0x0503}},
    {KeyClass::kEcdsaP521, 25, {0x0603}},
    {KeyClass::kEd448, 0, {0x0808}},
    {KeyClass::kRsaPss, 0, {0x0809, 0x080A, 0x080B}},
    {KeyClass::kRsa, 0, {0x0804, 0x0805, 0x0806}},
}};

bool Offers(const ClientOffer& offer, std::span<const uint16_t> schemes) {
  return std::ranges::any_of(schemes, [&](uint16_t scheme) {
    return scheme != 0 && std::ranges::count(offer.signatures, scheme) > 0;
  });
}

// Whether TLS 1.3 will be spoken.
bool IsTls13(SSL* ssl, const ClientOffer& offer) {
  const long best = SSL_get_max_proto_version(ssl);
  return (best == 0 || best >= TLS1_3_VERSION) &&
         std::ranges::count(offer.versions, TLS1_3_VERSION) > 0;
}

// RFC 5246 section 7.4.1.4.1: digests from SHA-256 on, with the low octet for the kind of key.
// SHA-1 counts where the security level lets libssl sign with it.
bool OffersTls12(SSL* ssl, const ClientOffer& offer, uint8_t signature) {
  return std::ranges::any_of(offer.signatures, [&](uint16_t scheme) {
    const int digest = scheme >> 8;
    return (scheme & 0xFF) == signature && digest <= 6 &&
           (digest >= 3 || (digest == 2 && SSL_get_security_level(ssl) == 0));
  });
}

// The suites that both have, by what they authenticate with.
struct SharedSuites {
  bool ecdsa = false;
  bool rsa = false;
};

SharedSuites SharedSuitesOf(SSL* ssl, const ClientOffer& offer) {
  SharedSuites shared;
  const STACK_OF(SSL_CIPHER)* ciphers = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    if (!offer.OffersCipher(SSL_CIPHER_get_protocol_id(cipher))) continue;
    const int authentication = SSL_CIPHER_get_auth_nid(cipher);
    shared.ecdsa |= authentication == NID_auth_ecdsa;
    shared.rsa |= authentication == NID_auth_rsa;
  }
  return shared;
}

// Up to TLS 1.2 the suite says what kind of key is used; EdDSA goes under the suites of ECDSA (RFC
// 8422 section 5.10).
bool VerifiesBefore13(SSL* ssl, const ClientOffer& offer, const SharedSuites& shared,
                      const KindFacts& facts) {
  // RFC 8422 section 4: a client that names no groups takes any.
  const bool knows_group =
      facts.group == 0 || offer.groups.empty() || offer.OffersGroup(facts.group);
  // Clients of TLS 1.0 and 1.1 name no algorithms: SHA-1, with MD5 for RSA, is all there is.
  const bool named = !offer.signatures.empty();
  switch (facts.kind) {
    case KeyClass::kEcdsaP256:
    case KeyClass::kEcdsaP384:
    case KeyClass::kEcdsaP521:
      return shared.ecdsa && knows_group && (!named || OffersTls12(ssl, offer, 3));
    case KeyClass::kEd25519:
    case KeyClass::kEd448:
      return shared.ecdsa && Offers(offer, facts.tls13);
    case KeyClass::kRsaPss:
      return shared.rsa && Offers(offer, facts.tls13);
    case KeyClass::kRsa:
      // Without a signature at all for suites with RSA key exchange; who has those has these too.
      return shared.rsa && (!named || OffersTls12(ssl, offer, 1) || Offers(offer, facts.tls13));
    case KeyClass::kOther:
      return false;
  }
  return false;
}

}  // namespace

ClientAbilities AbilitiesOf(SSL* ssl, const ClientOffer& offer) {
  ClientAbilities abilities;
  abilities.key_kinds = 0;
  const bool tls13 = IsTls13(ssl, offer);
  const SharedSuites shared = tls13 ? SharedSuites() : SharedSuitesOf(ssl, offer);
  for (const KindFacts& facts : kKinds) {
    const bool verifies =
        tls13 ? Offers(offer, facts.tls13) : VerifiesBefore13(ssl, offer, shared, facts);
    if (verifies) abilities.key_kinds |= BitOf(facts.kind);
  }
  // RFC 8446 section 4.2.3: without signature_algorithms_cert, signature_algorithms holds for
  // certificates too. Who names neither is old, and takes what it gets.
  const std::vector<uint16_t>& named =
      offer.certificate_signatures.empty() ? offer.signatures : offer.certificate_signatures;
  if (!named.empty()) abilities.schemes = pki::SchemesOf(named);
  return abilities;
}

size_t ChooseCertificate(std::span<const CertificateTraits> choices,
                         const ClientAbilities& abilities) {
  size_t best = 0;
  int best_rank = -1;
  for (size_t i = 0; i < choices.size(); ++i) {
    const CertificateTraits& choice = choices[i];
    if (!abilities.VerifiesKey(choice.key_kind)) continue;
    // RFC 8446 section 4.4.2.2: a chain that the client may not verify is better than none.
    const bool whole = abilities.VerifiesChain(choice.schemes);
    const int cheapness = static_cast<int>(pki::kKeyClasses) - static_cast<int>(choice.key_kind);
    const int rank = (whole ? 100 : 0) + cheapness;
    if (rank <= best_rank) continue;
    best = i;
    best_rank = rank;
  }
  return best;
}

}  // namespace postern::tls
