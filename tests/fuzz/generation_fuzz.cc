// Feeds the readers of settings and name index with images that somebody made who means harm.
//
// The first octet of the input says how the rest is used. An image as it is would hardly ever get
// past the checksum, so header and checksum are always made to fit:
//   even: the rest is the image;
//   odd:  the rest are changes (two octets: which word; four: its value) to a sound image.
// Bit 1 chooses settings (0) or index (1).
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "generation/index_image.h"
#include "generation/settings_image.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/settings.h"

namespace postern::generation {
namespace {

using Image = std::vector<std::byte>;

constexpr PartId kChains = 1;
constexpr PartId kKeys = 2;

os::SocketAddress Ip(const char* ip, uint16_t port) {
  return os::SocketAddress::FromIp(ip, port).value();
}

Image SoundSettings() {
  config::Config config;
  config.backends.resize(2);
  config.backends[0].name = "imap";
  config.backends[0].servers.resize(2);
  config.backends[0].servers[0].text = "mail.internal:143";
  config.backends[0].servers[1].text = "gone.internal:143";
  config.backends[1].name = "web";
  config.backends[1].servers.resize(1);
  config.listeners.resize(1);
  config.listeners[0].name = "imaps";
  config.listeners[0].backend = "imap";
  config.listeners[0].clients.mode = config::ClientMode::kRequired;
  config.listeners[0].proxy = {config::ProxyIn::kAny,
                               {*os::Network::Parse("10.0.0.0/8"), *os::Network::Parse("::1")},
                               5'000};
  config.backends[0].proxy = config::ProxyOut::kVersion1;
  config.backends[0].tls.mode = config::BackendTlsMode::kStartTls;
  config.backends[0].tls.name = "imap.example.com";
  ReadTrust trust{{0}, {{{{1, 2, 3}, {4, 5}}, {{6, 7, 8, 9}}, {}}}, {0, kNoTrust}};
  return BuildSettings(config, 7, {{0, Ip("0.0.0.0", 993)}, {0, Ip("::", 993)}},
                       {{{Ip("10.0.0.1", 143), Ip("fd00::1", 143)}, ""},
                        {{}, "cannot resolve"},
                        {{os::SocketAddress::FromUnixPath("/run/web").value()}, ""}},
                       trust);
}

Image SoundIndex() {
  IndexInput input;
  input.segments = {{kChains, static_cast<uint32_t>(PartKind::kCertificates)},
                    {kKeys, static_cast<uint32_t>(PartKind::kKeys)}};
  constexpr uint64_t kBegin = sizeof(PartHeader);
  input.certificates = {
      {11, "main", 0, kBegin, {10, 20}, 1, kBegin, 16, {"mail.example.com", "example.com"}},
      {12, "wild", 0, kBegin + 32, {32}, 1, kBegin + 16, 16, {"*.example.org"}},
  };
  return BuildIndex(input).bytes;
}

Image SegmentImage(PartId id, PartKind kind) {
  Image image(sizeof(PartHeader) + 64, std::byte{'x'});
  PartHeader header;
  header.magic = Magic(kind);
  header.version = kLayoutVersion;
  header.size = image.size();
  header.id = id;
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

os::UniqueFd Sealed(const Image& image) {
  Result<os::UniqueFd> fd = os::MakeSealed("fuzz", image);
  if (!fd) std::abort();
  return std::move(*fd);
}

SegmentPtr MapSegment(PartId id, PartKind kind) {
  Result<SegmentPtr> segment = Segment::Map(id, kind, Sealed(SegmentImage(id, kind)).get());
  if (!segment) std::abort();
  return *segment;
}

void Forge(Image& image, PartKind kind) {
  if (image.size() < sizeof(PartHeader)) return;
  image.resize(Aligned(image.size()));
  PartHeader header;
  header.magic = Magic(kind);
  header.version = kLayoutVersion;
  header.size = image.size();
  std::memcpy(image.data(), &header, sizeof header);
  header.checksum = ChecksumOf(image);
  std::memcpy(image.data(), &header, sizeof header);
}

void Change(Image& image, const uint8_t* data, size_t size) {
  for (; size >= 6; data += 6, size -= 6) {
    uint16_t word = 0;
    std::memcpy(&word, data, sizeof word);
    std::memcpy(image.data() + word % (image.size() / 4) * 4, data + 2, 4);
  }
}

// Reads all that is shown; the address sanitizer judges.
volatile size_t sink;

void Touch(Bytes bytes) {
  for (const std::byte octet : bytes) sink = sink + static_cast<size_t>(octet);
}

void ReadSettings(const Image& image) {
  const Result<SettingsPtr> settings = Settings::Map(Sealed(image).get());
  if (!settings) return;
  for (const ListenerSettings& listener : (*settings)->listeners()) {
    Touch(AsBytes(listener.name));
    Touch(AsBytes((*settings)->backends().at(listener.backend).name));
    Touch(AsBytes((*settings)->policies().at(listener.policy).name));
    if (listener.trust == kNoTrust) continue;
    const TrustSettings& trust = (*settings)->trusts().at(listener.trust);
    for (const auto* list : {&trust.certificates, &trust.crls}) {
      for (const Bytes der : *list) Touch(der);
    }
  }
  for (const PolicySettings& policy : (*settings)->policies()) {
    for (const std::string_view text :
         {policy.ciphers, policy.ciphersuites, policy.groups, policy.signature_algorithms}) {
      Touch(AsBytes(text));
    }
  }
  for (const SocketSettings& socket : (*settings)->sockets()) {
    Touch(AsBytes((*settings)->listeners().at(socket.listener).name));
    Touch(AsBytes(socket.address.ToString()));
  }
  for (const BackendSettings& backend : (*settings)->backends()) {
    Touch(AsBytes(backend.name));
    for (const ServerSettings& server : backend.servers) {
      Touch(AsBytes(server.text));
      Touch(AsBytes(server.unresolved_reason));
      for (const os::SocketAddress& address : server.addresses) Touch(AsBytes(address.ToString()));
    }
  }
}

void ReadIndex(const Image& image) {
  static const std::map<PartId, SegmentPtr> segments = {
      {kChains, MapSegment(kChains, PartKind::kCertificates)},
      {kKeys, MapSegment(kKeys, PartKind::kKeys)}};
  const Result<CertificateIndexPtr> index = CertificateIndex::Map(Sealed(image).get(), segments);
  if (!index) return;
  for (uint32_t i = 0; i < (*index)->size(); ++i) {
    const CertificateView view = (*index)->Get(i);
    Touch(AsBytes(view.name));
    Touch(view.key_der);
    for (const Bytes der : view.chain_der) Touch(der);
  }
  for (const char* host : {"mail.example.com", "a.example.org", "example.net", "x"}) {
    for (const uint32_t found : (*index)->Find(host)) Touch((*index)->Get(found).key_der);
  }
  for (const uint32_t found : (*index)->default_certificates()) {
    Touch((*index)->Staple(found).response);
  }
}

}  // namespace
}  // namespace postern::generation

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::generation;
  if (size == 0) return 0;
  const bool index = (data[0] & 2) != 0;
  Image image;
  if ((data[0] & 1) == 0) {
    const auto* begin = reinterpret_cast<const std::byte*>(data + 1);
    image.assign(begin, begin + size - 1);
  } else {
    static const Image sound[] = {SoundSettings(), SoundIndex()};
    image = sound[index ? 1 : 0];
    Change(image, data + 1, size - 1);
  }
  Forge(image, index ? PartKind::kIndex : PartKind::kSettings);
  if (index) {
    ReadIndex(image);
  } else {
    ReadSettings(image);
  }
  return 0;
}
