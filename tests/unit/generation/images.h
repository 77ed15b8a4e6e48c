// Images for tests: sealed copies, damaged copies, and reading everything that a reader shows.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "generation/image.h"
#include "generation/index_image.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/settings.h"
#include "tests/unit/catch.h"
#include "tests/unit/generation/choices.h"

namespace postern::generation {

using Image = std::vector<std::byte>;

inline os::UniqueFd Sealed(Bytes image) {
  Result<os::UniqueFd> fd = os::MakeSealed("test", image);
  REQUIRE(fd.has_value());
  return std::move(*fd);
}

inline void SetWord(Image& image, size_t at, uint32_t value) {
  std::memcpy(image.data() + at, &value, sizeof value);
}

inline uint32_t Word(const Image& image, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, image.data() + at, sizeof value);
  return value;
}

// As somebody would who means harm: the size in the header and the checksum are made to fit.
inline Image Forged(Image image) {
  if (image.size() < sizeof(PartHeader)) return image;
  image.resize(Aligned(image.size()));
  PartHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  header.size = image.size();
  std::memcpy(image.data(), &header, sizeof header);
  header.checksum = ChecksumOf(image);
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

// Every copy of `image` with one 32-bit word changed: all bits, one bit, and the values at which
// bounds break.
template <typename Visit>
void ForEachDamage(const Image& image, Visit visit) {
  for (size_t at = 0; at + 4 <= image.size(); at += 4) {
    const uint32_t word = Word(image, at);
    for (const uint32_t value : {~word, word ^ 1U, word ^ 0x80000000U, 0U, 0xFFFFFFFFU, word + 8U,
                                 word - 8U, static_cast<uint32_t>(image.size())}) {
      if (value == word) continue;
      Image damaged = image;
      SetWord(damaged, at, value);
      visit(damaged);
    }
  }
}

// Reads every octet that can be reached, so that a wrong bound is found by the address sanitizer or
// by a crash. The sum keeps the compiler from leaving it out.
inline size_t Touch(Bytes bytes) {
  size_t sum = 0;
  for (const std::byte octet : bytes) sum += static_cast<size_t>(octet);
  return sum;
}

inline size_t Touch(const Settings& settings) {
  size_t sum = settings.number() + settings.max_connections();
  for (const ListenerSettings& listener : settings.listeners()) {
    sum += Touch(AsBytes(listener.name)) + Touch(AsBytes(listener.host_name)) +
           static_cast<size_t>(listener.service) +
           Touch(AsBytes(settings.backends().at(listener.backend).name)) +
           Touch(AsBytes(settings.policies().at(listener.policy).name));
    for (const auto* list : {&listener.access.allow, &listener.access.deny}) {
      for (const os::Network& network : *list) sum += network.prefix;
    }
    if (listener.trust == kNoTrust) continue;
    const TrustSettings& trust = settings.trusts().at(listener.trust);
    for (const auto* list : {&trust.certificates, &trust.crls}) {
      for (const Bytes der : *list) sum += Touch(der);
    }
  }
  for (const PolicySettings& policy : settings.policies()) {
    sum += policy.min_version + policy.max_version + Touch(AsBytes(policy.ciphers)) +
           Touch(AsBytes(policy.ciphersuites)) + Touch(AsBytes(policy.groups)) +
           Touch(AsBytes(policy.signature_algorithms));
  }
  for (const SocketSettings& socket : settings.sockets()) {
    sum += socket.address.ToString().size() + settings.listeners().at(socket.listener).backend;
  }
  for (const BackendSettings& backend : settings.backends()) {
    sum +=
        Touch(AsBytes(backend.name)) + static_cast<size_t>(backend.tls) + backend.tls_min_version;
    if (backend.trust != kNoTrust) sum += settings.trusts().at(backend.trust).crls.size();
    for (const ServerSettings& server : backend.servers) {
      sum += Touch(AsBytes(server.text)) + Touch(AsBytes(server.unresolved_reason)) +
             Touch(AsBytes(server.tls_name));
      for (const os::SocketAddress& address : server.addresses) sum += address.ToString().size();
    }
  }
  return sum;
}

inline size_t Touch(const CertificateIndex& index) {
  size_t sum = 0;
  for (const uint32_t number : index.default_certificates()) sum += number;
  for (uint32_t i = 0; i < index.size(); ++i) {
    const CertificateView view = index.Get(i);
    sum += Touch(AsBytes(view.name)) + Touch(view.key_der) + Touch(index.Staple(i).response) +
           index.Facts(i).schemes;
    for (const Bytes der : view.chain_der) sum += Touch(der);
  }
  for (const char* host : {"mail.example.com", "a.example.org", "unknown.example.net", "x"}) {
    for (const uint32_t number : index.Find(host)) sum += index.Get(number).identity;
  }
  return sum;
}

}  // namespace postern::generation
