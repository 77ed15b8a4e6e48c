#include "postern/pki/passphrase.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>

#include "postern/base/limits.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

std::string Text(const Result<SecretBytes>& passphrase) {
  REQUIRE(passphrase.has_value());
  return std::string(passphrase->text());
}

std::string Fault(const PassphraseSource& source) {
  const Result<SecretBytes> passphrase = ReadPassphrase(source, "a.key", false);
  REQUIRE_FALSE(passphrase.has_value());
  return passphrase.error().ToString();
}

}  // namespace

TEST_CASE("pki: sources of passphrases are written in four ways, and a passphrase is none") {
  for (const char* text : {"file:/etc/pass", "env:KEY_PASS", "credential:key-pass", "ask"}) {
    const Result<PassphraseSource> source = ParsePassphraseSource(text);
    REQUIRE(source.has_value());
    CHECK(ToString(*source) == text);
  }
  CHECK(ToString(PassphraseSource()).empty());
  for (const char* text : {"", "file:", "env:", "env:A=B", "credential:a/b", "ASK"}) {
    CHECK_FALSE(ParsePassphraseSource(text).has_value());
  }
  for (const char* text : {"Tr0ub4dor", "pass:Tr0ub4dor"}) {
    const Result<PassphraseSource> source = ParsePassphraseSource(text);
    REQUIRE_FALSE(source.has_value());
    CHECK(source.error().ToString().find("Tr0ub4dor") == std::string::npos);
    CHECK(Says(source.error().ToString(), {"a passphrase itself must not stand here"}));
  }
}

TEST_CASE("pki: a passphrase is the first line of a file that others cannot read") {
  const TemporaryDirectory directory;
  const std::string path = directory / "pass";
  const auto write = [&](const std::string& text, mode_t mode = 0600) {
    std::ofstream(path, std::ios::binary) << text;
    REQUIRE(::chmod(path.c_str(), mode) == 0);
  };
  const PassphraseSource source{PassphraseKind::kFile, path};
  for (const char* text : {"pass word", "pass word\n", "pass word\r\n", "pass word\nmore\n"}) {
    write(text);
    CHECK(Text(ReadPassphrase(source, "a.key", false)) == "pass word");
  }
  write("x", 0640);
  CHECK(Text(ReadPassphrase(source, "a.key", false)) == "x");
  write("x", 0644);
  CHECK(Says(Fault(source), {path + " is open to others (mode 0644)", "chmod 600 " + path}));
  for (const char* text : {"", "\n", "\r\nx"}) {
    write(text);
    CHECK(Says(Fault(source), {path + " begins with an empty line"}));
  }
  write(std::string(limits::kMaxPassphrase, 'x') + "\n");
  CHECK(Text(ReadPassphrase(source, "a.key", false)).size() == limits::kMaxPassphrase);
  for (const size_t more : {1, 2, 5000}) {
    write(std::string(limits::kMaxPassphrase + more, 'x'));
    CHECK(Says(Fault(source), {"has more than 1024 octets"}));
  }
  CHECK(Says(Fault({PassphraseKind::kFile, directory / "none"}), {"cannot read passphrase file"}));
  CHECK(Says(Fault({PassphraseKind::kFile, directory.path()}), {"is not a regular file"}));
}

TEST_CASE("pki: a passphrase comes from a variable or a systemd credential") {
  const TemporaryDirectory directory;
  REQUIRE(::setenv("POSTERN_TEST_PASS", "pass word", 1) == 0);
  CHECK(Text(ReadPassphrase({PassphraseKind::kEnvironment, "POSTERN_TEST_PASS"}, "a", false)) ==
        "pass word");
  ::unsetenv("POSTERN_TEST_PASS");
  CHECK(Says(Fault({PassphraseKind::kEnvironment, "POSTERN_TEST_PASS"}),
             {"no variable POSTERN_TEST_PASS", "the passphrase of a.key"}));

  const PassphraseSource credential{PassphraseKind::kCredential, "pass"};
  ::unsetenv("CREDENTIALS_DIRECTORY");
  CHECK(Says(Fault(credential), {"systemd has passed none", "LoadCredential=pass:PATH"}));
  REQUIRE(::setenv("CREDENTIALS_DIRECTORY", directory.path().c_str(), 1) == 0);
  CHECK(Says(Fault(credential), {"cannot read passphrase file " + directory / "pass"}));
  std::ofstream(directory / "pass") << "secret\n";
  CHECK(Text(ReadPassphrase(credential, "a.key", false)) == "secret");
  ::unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_CASE("pki: nobody is asked at a reload") {
  CHECK(
      Says(Fault({PassphraseKind::kAsk, {}}),
           {"the passphrase of a.key is asked for on a terminal, at a start alone", "file:PATH"}));
}

}  // namespace postern::pki
