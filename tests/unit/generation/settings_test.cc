#include "postern/generation/settings.h"

#include "generation/settings_image.h"
#include "tests/unit/generation/images.h"

namespace postern::generation {
namespace {

os::SocketAddress Ip(const char* ip, uint16_t port) {
  return os::SocketAddress::FromIp(ip, port).value();
}

Image Example() {
  config::Config config;
  config.limits.connections = 5000;
  config.limits.handshakes = 300;
  config.limits.memory_reserve_mib = 17;
  config.limits.of_address = {9, 8, 7, 6, 5'000, 4'000, 3'000, {*os::Network::Parse("fd00::/8")}};
  config.tickets = {false, 3600, 1200, 5};
  config.backends.resize(2);
  config.backends[0].name = "imap";
  config.backends[0].connect_timeout_ms = 1500;
  config.backends[0].greeting_timeout_ms = 9000;
  config.backends[0].ehlo_probe = false;
  config.backends[0].identify_clients = true;
  config.backends[0].identify_login = config::LoginSource::kEmail;
  config.backends[0].servers.resize(2);
  config.backends[0].servers[0].text = "mail.internal:143";
  config.backends[0].servers[1].text = "gone.internal:143";
  config.backends[1].name = "web";
  config.backends[1].servers.resize(1);
  config.backends[1].servers[0].text = "unix:/run/web";
  config.listeners.resize(2);
  config.listeners[0].name = "imaps";
  config.listeners[0].service = config::Service::kImap;
  config.listeners[0].backend = "imap";
  config.listeners[0].timeouts = {.handshake_ms = 10'000, .idle_ms = 2'100'000};
  config.listeners[0].tls = config::TlsMode::kStartTls;
  config.listeners[0].require_tls = false;
  config.listeners[0].host_name = "mail.example.com";
  config.listeners[0].greeting_delay_ms = 2'000;
  config.listeners[0].timeouts.dialog_ms = 45'000;
  config.listeners[1].name = "https";
  config.listeners[1].service = config::Service::kHttp;
  config.listeners[1].backend = "web";
  config.listeners[1].timeouts = {.handshake_ms = 9'000, .idle_ms = 120'000};
  config.policies.resize(4);
  config.policies[3].name = "mine";
  config.policies[3].min_version = 0x0302;
  config.policies[3].ciphers = "AES128-SHA";
  config.policies[3].ciphersuites = "TLS_AES_128_GCM_SHA256";
  config.policies[3].groups = "X25519";
  config.policies[3].signature_algorithms = "RSA+SHA256";
  config.policies[3].server_preference = true;
  config.listeners[1].policy = "mine";
  config.listeners[1].clients.mode = config::ClientMode::kOptional;
  config.listeners[1].clients.depth = 2;
  config.listeners[1].proxy = {config::ProxyIn::kVersion2,
                               {*os::Network::Parse("10.0.0.0/8"), *os::Network::Parse("::1")},
                               4'000};
  config.listeners[1].access = {
      50, 5, {*os::Network::Parse("10.0.0.0/8")}, {*os::Network::Parse("10.9.0.0/16")}};
  config.listeners[1].timeouts.first_byte_ms = 3'000;
  config.listeners[1].timeouts.unread_ms = 70'000;
  config.backends[1].proxy = config::ProxyOut::kVersion2Tls;
  config.backends[0].tls.mode = config::BackendTlsMode::kStartTls;
  config.backends[0].tls.min_version = 0x0304;
  config.backends[0].tls.name = "imap.example.com";
  config.backends[1].tls.mode = config::BackendTlsMode::kImplicit;
  config.backends[1].servers[0].host = "web.internal.";
  const ReadTrust trust{{kNoTrust, 0}, {{{{1, 2, 3}, {4, 5}}, {{6, 7, 8, 9}}, {}}}, {0, kNoTrust}};
  return BuildSettings(config, 7,
                       {{0, Ip("0.0.0.0", 993)}, {0, Ip("::", 993)}, {1, Ip("192.0.2.1", 443)}},
                       {{{Ip("10.0.0.1", 143), Ip("fd00::1", 143)}, ""},
                        {{}, "cannot resolve"},
                        {{os::SocketAddress::FromUnixPath("/run/web").value()}, ""}},
                       trust, {3, kNoCertificate});
}

}  // namespace

TEST_CASE("settings: what was configured is what a worker reads") {
  const os::UniqueFd fd = Sealed(Example());
  const Result<SettingsPtr> mapped = Settings::Map(fd.get());
  REQUIRE(mapped.has_value());
  const Settings& settings = **mapped;
  CHECK(settings.number() == 7);
  CHECK(settings.max_connections() == 5000);
  CHECK(settings.max_handshakes() == 300);
  CHECK(settings.memory_reserve_mib() == 17);
  const config::AddressLimits& limits = settings.address_limits();
  CHECK(limits.connections == 9);
  CHECK(limits.connections_per_second == 8);
  CHECK(limits.burst == 7);
  CHECK(limits.failures == 6);
  CHECK(limits.failure_window_ms == 5'000);
  CHECK(limits.penalty_ms == 4'000);
  CHECK(limits.penalty_max_ms == 3'000);
  REQUIRE(limits.exempt.size() == 1);
  CHECK(limits.exempt[0].ToString() == "fd00::/8");
  CHECK_FALSE(settings.tickets_enabled());
  CHECK(settings.ticket_count() == 5);
  CHECK(settings.ticket_lifetime_s() == 3600);

  REQUIRE(settings.listeners().size() == 2);
  CHECK(settings.listeners()[0].name == "imaps");
  CHECK(settings.listeners()[0].service == config::Service::kImap);
  CHECK(settings.listeners()[0].tls == config::TlsMode::kStartTls);
  CHECK_FALSE(settings.listeners()[0].require_tls);
  CHECK(settings.listeners()[0].host_name == "mail.example.com");
  CHECK(settings.listeners()[0].greeting_delay_ms == 2'000);
  CHECK(settings.listeners()[0].dialog_timeout_ms == 45'000);
  CHECK(settings.listeners()[1].tls == config::TlsMode::kImplicit);
  CHECK(settings.listeners()[1].require_tls);
  CHECK(settings.listeners()[0].backend == 0);
  CHECK(settings.listeners()[0].handshake_timeout_ms == 10'000);
  CHECK(settings.listeners()[0].idle_timeout_ms == 2'100'000);
  CHECK(settings.listeners()[1].backend == 1);

  const ListenerSettings& limited = settings.listeners()[1];
  CHECK(limited.access.connections == 50);
  CHECK(limited.access.connections_per_address == 5);
  REQUIRE(limited.access.allow.size() == 1);
  CHECK(limited.access.allow[0].ToString() == "10.0.0.0/8");
  REQUIRE(limited.access.deny.size() == 1);
  CHECK(limited.access.deny[0].ToString() == "10.9.0.0/16");
  CHECK(limited.first_byte_timeout_ms == 3'000);
  CHECK(limited.unread_timeout_ms == 70'000);
  CHECK(settings.listeners()[0].access.allow.empty());
  CHECK(settings.listeners()[0].unread_timeout_ms == 300'000);

  REQUIRE(settings.policies().size() == 4);
  CHECK(settings.policies()[settings.listeners()[0].policy].name == "intermediate");
  const PolicySettings& mine = settings.policies()[settings.listeners()[1].policy];
  CHECK(mine.name == "mine");
  CHECK(mine.min_version == 0x0302);
  CHECK(mine.max_version == 0x0304);
  CHECK(mine.ciphers == "AES128-SHA");
  CHECK(mine.ciphersuites == "TLS_AES_128_GCM_SHA256");
  CHECK(mine.groups == "X25519");
  CHECK(mine.signature_algorithms == "RSA+SHA256");
  CHECK(mine.server_preference);
  CHECK(settings.listeners()[0].client_mode == config::ClientMode::kOff);
  CHECK(settings.listeners()[0].trust == kNoTrust);
  CHECK(settings.listeners()[1].client_mode == config::ClientMode::kOptional);
  CHECK(settings.listeners()[1].client_depth == 2);
  const TrustSettings& trust = settings.trusts().at(settings.listeners()[1].trust);
  REQUIRE(trust.certificates.size() == 2);
  REQUIRE(trust.crls.size() == 1);
  CHECK(trust.certificates[1].size() == 2);
  CHECK(trust.crls[0][0] == std::byte{6});

  CHECK(settings.listeners()[0].proxy.in == config::ProxyIn::kOff);
  CHECK(settings.listeners()[0].proxy.from.empty());
  const config::ProxyAcceptance& proxy = settings.listeners()[1].proxy;
  CHECK(proxy.in == config::ProxyIn::kVersion2);
  CHECK(proxy.timeout_ms == 4'000);
  REQUIRE(proxy.from.size() == 2);
  CHECK(proxy.from[0].ToString() == "10.0.0.0/8");
  CHECK(proxy.from[1].ToString() == "::1/128");
  CHECK(settings.backends()[0].proxy == config::ProxyOut::kOff);
  CHECK(settings.backends()[1].proxy == config::ProxyOut::kVersion2Tls);

  REQUIRE(settings.sockets().size() == 3);
  CHECK(settings.sockets()[1].listener == 0);
  CHECK(settings.sockets()[1].address == Ip("::", 993));
  CHECK(settings.sockets()[2].listener == 1);
  CHECK(settings.sockets()[2].address == Ip("192.0.2.1", 443));

  REQUIRE(settings.backends().size() == 2);
  const BackendSettings& imap = settings.backends()[0];
  CHECK(imap.name == "imap");
  CHECK(imap.connect_timeout_ms == 1500);
  CHECK(imap.greeting_timeout_ms == 9000);
  CHECK_FALSE(imap.ehlo_probe);
  CHECK(imap.identify_clients);
  CHECK(imap.identify_login == config::LoginSource::kEmail);
  REQUIRE(imap.servers.size() == 2);
  CHECK(imap.servers[0].text == "mail.internal:143");
  REQUIRE(imap.servers[0].addresses.size() == 2);
  CHECK(imap.servers[0].addresses[1] == Ip("fd00::1", 143));
  CHECK(imap.servers[0].unresolved_reason.empty());
  CHECK(imap.servers[1].addresses.empty());
  CHECK(imap.servers[1].unresolved_reason == "cannot resolve");
  CHECK(settings.backends()[1].servers[0].addresses[0].ToString() == "unix:/run/web");

  CHECK(imap.tls == config::BackendTlsMode::kStartTls);
  CHECK(imap.tls_min_version == 0x0304);
  CHECK(imap.trust == 0);
  CHECK(imap.certificate == 3);
  CHECK(imap.servers[0].tls_name == "imap.example.com");
  CHECK(imap.servers[1].tls_name == "imap.example.com");
  const BackendSettings& web = settings.backends()[1];
  CHECK(web.tls == config::BackendTlsMode::kImplicit);
  CHECK(web.tls_min_version == 0x0303);
  CHECK(web.trust == kNoTrust);
  CHECK(web.certificate == kNoCertificate);
  CHECK(web.servers[0].tls_name == "web.internal");
}

TEST_CASE("settings: an empty configuration is no special case") {
  const os::UniqueFd fd = Sealed(BuildSettings(config::Config{}, 1, {}, {}));
  const Result<SettingsPtr> settings = Settings::Map(fd.get());
  REQUIRE(settings.has_value());
  CHECK((*settings)->listeners().empty());
  CHECK((*settings)->tickets_enabled());
}

TEST_CASE("settings: they stay when the descriptor goes") {
  os::UniqueFd fd = Sealed(Example());
  const Result<SettingsPtr> settings = Settings::Map(fd.get());
  fd.Reset();
  REQUIRE(settings.has_value());
  CHECK((*settings)->listeners()[1].name == "https");
}

TEST_CASE("settings: what is not sealed, or something else, is refused") {
  const Image image = Example();
  Result<os::UniqueFd> writable = os::MakeShared("test", image.size());
  REQUIRE(writable.has_value());
  REQUIRE(::pwrite(writable->get(), image.data(), image.size(), 0) ==
          static_cast<ssize_t>(image.size()));
  const Result<SettingsPtr> unsealed = Settings::Map(writable->get());
  REQUIRE_FALSE(unsealed.has_value());
  CHECK(unsealed.error().what.find("not sealed") != std::string::npos);
  CHECK_FALSE(Settings::Map(-1).has_value());
  CHECK_FALSE(Settings::Map(Sealed({}).get()).has_value());
}

TEST_CASE("settings: a truncated image is refused, forged or not") {
  const Image image = Example();
  for (size_t size = 0; size < image.size(); ++size) {
    const Image cut(image.begin(), image.begin() + static_cast<ptrdiff_t>(size));
    REQUIRE_FALSE(Settings::Map(Sealed(cut).get()).has_value());
    // Forged ends are filled up to the alignment; the whole image must not come back by that.
    if (Aligned(size) == image.size()) continue;
    const Result<SettingsPtr> forged = Settings::Map(Sealed(Forged(cut)).get());
    REQUIRE_FALSE(forged.has_value());
  }
}

TEST_CASE("settings: any changed word is an error, or harmless when the checksum is forged") {
  const Image image = Example();
  size_t refused = 0;
  size_t taken = 0;
  ForEachDamage(image, [&](const Image& damaged) {
    REQUIRE_FALSE(Settings::Map(Sealed(damaged).get()).has_value());
    const Result<SettingsPtr> settings = Settings::Map(Sealed(Forged(damaged)).get());
    if (settings) {
      ++taken;
      CHECK(Touch(**settings) > 0);
    } else {
      ++refused;
    }
  });
  // Both must have happened, else the test tests nothing.
  CHECK(refused > 100);
  CHECK(taken > 100);
}

TEST_CASE("settings: a listener that asks for certificates has authorities") {
  const Image image = Example();
  SettingsHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  const auto with = [&](uint32_t mode, uint32_t trust) {
    Image changed = image;
    std::byte* at = changed.data() + header.listeners.offset + sizeof(ListenerEntry);
    ListenerEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    entry.client_mode = mode;
    entry.trust = trust;
    std::memcpy(at, &entry, sizeof entry);
    return Settings::Map(Sealed(Forged(changed)).get()).has_value();
  };
  CHECK(with(1, 0));
  CHECK(with(2, 0));
  CHECK(with(0, kNoTrust));
  CHECK_FALSE(with(3, 0));
  CHECK_FALSE(with(2, 1));
  CHECK_FALSE(with(2, kNoTrust));
  CHECK_FALSE(with(0, 0));
}

TEST_CASE("settings: a listener that takes PROXY headers knows from whom") {
  const Image image = Example();
  SettingsHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  const auto with = [&](uint32_t in, uint32_t first, uint32_t count, uint32_t prefix = 104) {
    Image changed = image;
    std::byte* at = changed.data() + header.proxies.offset + sizeof(ProxyEntry);
    ProxyEntry entry;
    std::memcpy(&entry, at, sizeof entry);
    entry.in = in;
    entry.first_network = first;
    entry.network_count = count;
    std::memcpy(at, &entry, sizeof entry);
    NetworkEntry network;
    at = changed.data() + header.networks.offset;
    std::memcpy(&network, at, sizeof network);
    network.prefix = prefix;
    std::memcpy(at, &network, sizeof network);
    return Settings::Map(Sealed(Forged(changed)).get()).has_value();
  };
  CHECK(with(1, 0, 2));
  CHECK(with(3, 1, 1));
  CHECK(with(0, 0, 0));
  CHECK(with(1, 0, 2, 128));
  CHECK_FALSE(with(4, 0, 2));
  CHECK_FALSE(with(1, 0, 0));
  CHECK_FALSE(with(1, 1, 2));
  CHECK_FALSE(with(1, 3, 0));
  CHECK_FALSE(with(1, 0, 2, 129));
}

TEST_CASE("settings: a back end that verifies its servers knows how") {
  const Image image = Example();
  SettingsHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  const auto with = [&](const auto& change, bool named = true) {
    Image changed = image;
    BackendEntry entry;
    std::byte* at = changed.data() + header.backends.offset;
    std::memcpy(&entry, at, sizeof entry);
    change(entry);
    std::memcpy(at, &entry, sizeof entry);
    ServerEntry server;
    at = changed.data() + header.servers.offset + sizeof server;  // the second one
    std::memcpy(&server, at, sizeof server);
    if (!named) server.tls_name.length = 0;
    std::memcpy(at, &server, sizeof server);
    return Settings::Map(Sealed(Forged(changed)).get()).has_value();
  };
  const auto same = [](BackendEntry&) {};
  CHECK(with(same));
  CHECK_FALSE(with(same, false));
  CHECK(with([](BackendEntry& entry) { entry.trust = kNoTrust; }, false));
  CHECK_FALSE(with([](BackendEntry& entry) { entry.trust = 1; }));
  CHECK_FALSE(with([](BackendEntry& entry) { entry.tls = 3; }));
  CHECK_FALSE(with([](BackendEntry& entry) { entry.identify_login = 3; }));
  CHECK_FALSE(with([](BackendEntry& entry) { entry.min_version = 0x0300; }));
  CHECK_FALSE(with([](BackendEntry& entry) { entry.min_version = 0x0305; }));
  const auto off = [](BackendEntry& entry) {
    entry.tls = 0;
    entry.trust = kNoTrust;
    entry.certificate = kNoCertificate;
  };
  CHECK(with(off));
  CHECK_FALSE(with([&](BackendEntry& entry) {
    off(entry);
    entry.trust = 0;
  }));
  CHECK_FALSE(with([&](BackendEntry& entry) {
    off(entry);
    entry.certificate = 0;
  }));
}

TEST_CASE("settings: a few octets do not unfold to many servers") {
  config::Config config;
  config.backends.resize(2);
  config.backends[0].servers.resize(1);
  config.backends[1].servers.resize(1);
  Image image = BuildSettings(config, 1, {}, {{}, {}});
  SettingsHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  // Both back ends claim both servers.
  for (size_t i = 0; i < 2; ++i) {
    BackendEntry entry;
    std::byte* at = image.data() + header.backends.offset + i * sizeof entry;
    std::memcpy(&entry, at, sizeof entry);
    entry.first_server = 0;
    entry.server_count = 2;
    std::memcpy(at, &entry, sizeof entry);
  }
  CHECK_FALSE(Settings::Map(Sealed(Forged(image)).get()).has_value());
}

}  // namespace postern::generation
