#include "postern/config/backend_tls.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "postern/config/config.h"
#include "tests/unit/catch.h"

namespace postern::config {
namespace {

// A back end with these keys, for a listener of this service.
std::string File(std::string_view keys, std::string_view servers = "\"mail.example.com:993\"",
                 std::string_view service = "imap") {
  return fmt::format(
      "[listeners.l]\naddress = \"*\"\nport = 993\nservice = \"{}\"\nbackend = \"b\"\n"
      "[backends.b]\nservers = [{}]\n{}",
      service, servers, keys);
}

// Faults, else warnings, one per line; empty when there is neither.
std::string Said(const std::string& text) {
  const auto loaded = Parse(text, "/etc/f");
  std::string lines;
  for (const Error& error : loaded.has_value() ? loaded->warnings : loaded.error()) {
    CHECK_FALSE(error.remedy.empty());
    CHECK(error.where.line != 0);
    lines += error.ToString() + '\n';
  }
  return (loaded.has_value() || lines.empty() ? "" : "FAULT ") + lines;
}

BackendTls TlsOf(const std::string& text) {
  const auto loaded = Parse(text, "/etc/f");
  if (!loaded.has_value()) FAIL(loaded.error().front().ToString());
  return loaded->config.backends.at(0).tls;
}

bool Says(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

}  // namespace

TEST_CASE("back end TLS: off unless asked for, strict when it is", "[config][backend-tls]") {
  CHECK(TlsOf(File("")).mode == BackendTlsMode::kOff);
  CHECK(Said(File("tls = \"off\"")).empty());
  const BackendTls tls = TlsOf(File("tls = \"implicit\""));
  CHECK(tls.mode == BackendTlsMode::kImplicit);
  CHECK(tls.verify);
  CHECK(tls.name.empty());
  CHECK(tls.system_ca);
  CHECK(tls.ca == "/etc/ssl/certs/ca-certificates.crt");
  CHECK(tls.min_version == 0x0303);
  CHECK(tls.certificate.empty());
  CHECK(tls.key.empty());
  CHECK(tls.passphrase == pki::PassphraseSource{});
  CHECK(Said(File("tls = \"implicit\"")).empty());
}

TEST_CASE("back end TLS: every key is read", "[config][backend-tls]") {
  const BackendTls tls = TlsOf(File(R"(tls = "starttls"
tls_name = "imap.example.com."
tls_ca = "ca.pem"
tls_min_version = "TLSv1.3"
tls_certificate = "certs/client.crt"
tls_key = "/keys/client.key"
tls_passphrase = "file:pass"
)"));
  CHECK(tls.mode == BackendTlsMode::kStartTls);
  CHECK(tls.name == "imap.example.com");
  CHECK_FALSE(tls.system_ca);
  CHECK(tls.ca == "/etc/ca.pem");
  CHECK(tls.ca_where.line == 10);
  CHECK(tls.min_version == 0x0304);
  CHECK(tls.certificate == "/etc/certs/client.crt");
  CHECK(tls.key == "/keys/client.key");
  CHECK(tls.passphrase == pki::PassphraseSource{pki::PassphraseKind::kFile, "/etc/pass"});
  CHECK(tls.certificate_where.line == 12);
  CHECK(ToString(tls.mode) == "starttls");
}

TEST_CASE("back end TLS: the passphrase is that of [certificates] unless there is one",
          "[config][backend-tls]") {
  const std::string keys = "tls = \"implicit\"\ntls_certificate = \"c\"\ntls_key = \"k\"\n";
  const std::string general = "[certificates]\npassphrase = \"env:ALL\"\n";
  CHECK(TlsOf(File(keys) + general).passphrase.name == "ALL");
  CHECK(TlsOf(File(keys + "tls_passphrase = \"env:ONE\"\n") + general).passphrase.name == "ONE");
}

TEST_CASE("back end TLS: keys that would do nothing are faults", "[config][backend-tls]") {
  struct Case {
    std::string_view key;
    std::string_view line;
  };
  const Case cases[] = {
      {"tls_name", "\"a.example\""},      {"tls_verify", "true"},       {"tls_ca", "\"ca.pem\""},
      {"tls_min_version", "\"TLSv1.2\""}, {"tls_certificate", "\"c\""},
  };
  for (const Case& test : cases) {
    CAPTURE(test.key);
    const std::string keys = fmt::format("{} = {}\n", test.key, test.line);
    for (const char* off : {"", "tls = \"off\"\n"}) {
      CHECK(Says(Said(File(off + keys)),
                 fmt::format("{} in [backends.b] is of no use while tls is \"off\"", test.key)));
    }
  }
  // A mode that nobody knows was not meant to be "off": one fault, not two.
  CHECK(
      Said(File("tls = \"startls\"\ntls_name = \"a.example\"\n")) ==
      "FAULT /etc/f:8:7: unknown tls \"startls\" in [backends.b]; did you mean \"starttls\"? known "
      "values are \"off\", \"implicit\" or \"starttls\"\n");
  CHECK(Says(Said(File("tls = \"implicit\"\ntls_verify = false\ntls_ca = \"x\"\n")),
             "FAULT /etc/f:10:10: tls_ca in [backends.b] is of no use with tls_verify = false"));
}

TEST_CASE("back end TLS: a certificate and its key go together", "[config][backend-tls]") {
  const std::string on = "tls = \"implicit\"\n";
  CHECK(Says(Said(File(on + "tls_certificate = \"c\"\n")), "[backends.b] has no tls_key"));
  CHECK(Says(Said(File(on + "tls_key = \"c\"\n")), "[backends.b] has no tls_certificate"));
  CHECK(Says(Said(File(on + "tls_passphrase = \"env:A\"\n")), "has no key to open"));
  // A passphrase that was written out is not shown.
  const std::string said =
      Said(File(on + "tls_certificate = \"c\"\ntls_key = \"k\"\ntls_passphrase = \"hunter2\"\n"));
  CHECK(Says(said, "FAULT /etc/f:11:18: tls_passphrase in [backends.b]"));
  CHECK_FALSE(said.contains("hunter2"));
}

TEST_CASE("back end TLS: names that a certificate can be checked for", "[config][backend-tls]") {
  const std::string on = "tls = \"implicit\"\n";
  const auto with = [&](std::string_view name) {
    return File(on + fmt::format("tls_name = \"{}\"\n", name));
  };
  CHECK(TlsOf(with("a.example")).name == "a.example");
  CHECK(TlsOf(with("192.0.2.7")).name == "192.0.2.7");
  CHECK(TlsOf(with("2001:DB8:0::7")).name == "2001:db8::7");
  CHECK(Says(Said(with("a.example:993")), "/etc/f:9:12: tls_name = \"a.example:993\""));
  CHECK(Says(Said(with("*.example")), "without \"*\""));
  CHECK(Says(Said(with("")), "is no host name"));
  CHECK(Says(Said(with("a b")), "is no host name"));

  // UNIX sockets have no name, and addresses one that few certificates have.
  const std::string_view socket = "\"unix:/run/imap\"";
  CHECK(Says(Said(File(on, socket)), "FAULT /etc/f:7:12: the server \"unix:/run/imap\""));
  CHECK(Said(File(on + "tls_verify = false\n", socket)).empty());
  CHECK(Said(File(on + "tls_name = \"a.example\"\n", socket)).empty());
  const std::string address = Said(File(on, "\"[2001:db8::1]:993\""));
  CHECK(
      Says(address, "/etc/f:7:12: the server \"[2001:db8::1]:993\" of [backends.b] is an address"));
  CHECK(Says(address, "tls_name = \"2001:db8::1\""));
  CHECK(Said(File(on + "tls_name = \"2001:db8::1\"\n", "\"[2001:db8::1]:993\"")).empty());
}

TEST_CASE("back end TLS: what each server's certificate has to be for", "[config][backend-tls]") {
  Backend backend;
  const auto expected = [&](std::string_view host) {
    return ExpectedName(backend, {.text = {}, .host = std::string(host)});
  };
  CHECK(expected("a.example") == "a.example");
  CHECK(expected("a.example.") == "a.example");
  CHECK(expected("fe80::1%eth0") == "fe80::1");
  CHECK(expected("").empty());
  backend.tls.name = "b.example";
  CHECK(expected("a.example") == "b.example");
}

TEST_CASE(
    "back end TLS: without verification there is a warning, but for this machine's own servers",
    "[config][backend-tls]") {
  const std::string keys = "tls = \"implicit\"\ntls_verify = false\n";
  CHECK(Says(Said(File(keys)), "/etc/f:9:14: with tls_verify = false anybody on the way"));
  CHECK(Says(Said(File(keys, "\"127.0.0.1:1993\", \"10.0.0.1:993\"")), "tls_verify = false"));
  CHECK(Says(Said(File(keys, "\"127.example:993\"")), "tls_verify = false"));
  CHECK(
      Said(File(keys, "\"127.0.0.1:994\", \"[::1]:994\", \"localhost:994\", \"unix:/x\"")).empty());
}

TEST_CASE("back end TLS: old versions are possible, with a warning", "[config][backend-tls]") {
  const std::string on = "tls = \"implicit\"\n";
  CHECK(TlsOf(File(on + "tls_min_version = \"TLSv1\"\n")).min_version == 0x0301);
  CHECK(Says(Said(File(on + "tls_min_version = \"TLSv1.1\"\n")),
             "/etc/f:9:19: tls_min_version in [backends.b] allows versions that are broken"));
  CHECK(Says(Said(File(on + "tls_min_version = \"TLS1.2\"\n")), "did you mean \"TLSv1.2\"?"));
}

TEST_CASE("back end TLS: STARTTLS wants a service that has it", "[config][backend-tls]") {
  const std::string keys = "tls = \"starttls\"\n";
  for (const char* service : {"imap", "pop3", "smtp", "submission", "sieve"}) {
    CAPTURE(service);
    CHECK(Said(File(keys, "\"mail.example.com:143\"", service)).empty());
  }
  for (const char* service : {"http", "raw"}) {
    CAPTURE(service);
    CHECK(
        Says(Said(File(keys, "\"mail.example.com:143\"", service)),
             fmt::format("FAULT /etc/f:8:7: tls = \"starttls\" in [backends.b], but [listeners.l] "
                         "uses it for service \"{}\", which has no such command",
                         service)));
  }
}

}  // namespace postern::config
