// Passphrases. Each way ends in one buffer of its final size that is wiped; what a file or a
// variable holds stays where it is, since the next reload needs it again.
#include "postern/pki/passphrase.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "postern/base/limits.h"
#include "postern/os/process.h"
#include "postern/os/terminal.h"
#include "postern/os/unique_fd.h"

namespace postern::pki {
namespace {

struct Prefix {
  std::string_view text;
  PassphraseKind kind;
};
constexpr std::array<Prefix, 3> kPrefixes = {{
    {"file:", PassphraseKind::kFile},
    {"env:", PassphraseKind::kEnvironment},
    {"credential:", PassphraseKind::kCredential},
}};

constexpr const char* kForms =
    "write \"file:PATH\", \"env:VARIABLE\", \"credential:NAME\" (systemd's) or \"ask\"";

std::unexpected<Error> TooLong(const std::string& where) {
  return Fail(
      fmt::format("the passphrase in {} has more than {} octets", where, limits::kMaxPassphrase),
      "OpenSSL takes no longer ones: look whether it is the right file or variable");
}

// FirstLine keeps what stands before the first line end.
Result<SecretBytes> FirstLine(std::vector<unsigned char> bytes, const std::string& where) {
  const auto end = std::ranges::find_if(bytes, [](unsigned char c) { return c == '\n' || c == 0; });
  size_t size = static_cast<size_t>(end - bytes.begin());
  if (size > 0 && bytes[size - 1] == '\r') --size;
  OPENSSL_cleanse(bytes.data() + size, bytes.size() - size);
  bytes.resize(size);
  SecretBytes line(std::move(bytes));
  if (line.get().size() > limits::kMaxPassphrase) return TooLong(where);
  if (line.get().empty()) {
    return Fail(fmt::format("{} begins with an empty line where the passphrase is to be", where),
                "write the passphrase as its first line");
  }
  return line;
}

// A credential's mode is systemd's affair; a file's is judged as a key's.
Result<SecretBytes> FromFile(const std::string& path, bool judge_mode) {
  const std::string what = fmt::format("passphrase file {}", path);
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
    return FailErrno("cannot read " + what, errno,
                     "put the passphrase there, readable for the user that starts postern");
  }
  if (!S_ISREG(status.st_mode)) {
    return Fail(what + " is not a regular file", "name a file that holds the passphrase");
  }
  if (judge_mode && (status.st_mode & 0037) != 0) {
    return Fail(fmt::format("{} is open to others (mode {:04o})", what, status.st_mode & 07777),
                fmt::format("chmod 600 {}", path));
  }
  // One octet more tells a file that is too long; more than its first line is not needed.
  std::vector<unsigned char> bytes(limits::kMaxPassphrase + 2);
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error_number = errno;
      const SecretBytes wiped(std::move(bytes));
      return FailErrno("cannot read " + what, error_number);
    }
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return FirstLine(std::move(bytes), what);
}

Result<SecretBytes> FromVariable(const std::string& name, const std::string& for_what) {
  os::WithholdVariable(name);
  const char* value = ::getenv(name.c_str());
  if (value == nullptr || *value == '\0') {
    return Fail(fmt::format("the environment has no variable {}, which is to hold the passphrase "
                            "of {}",
                            name, for_what),
                "set it for the process that starts postern");
  }
  const std::string_view text = value;
  if (text.size() > limits::kMaxPassphrase) return TooLong("the variable " + name);
  return SecretBytes(std::vector<unsigned char>(text.begin(), text.end()));
}

Result<SecretBytes> FromCredential(const std::string& name, const std::string& for_what) {
  const char* directory = ::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return Fail(fmt::format("the passphrase of {} is to be the systemd credential {}, and systemd "
                            "has passed none",
                            for_what, name),
                fmt::format("add LoadCredential={}:PATH (or LoadCredentialEncrypted=) to the "
                            "service's unit",
                            name));
  }
  return FromFile(fmt::format("{}/{}", directory, name), false);
}

Result<SecretBytes> FromTerminal(const std::string& for_what, bool may_ask) {
  constexpr const char* kElse =
      "name a source that needs nobody: \"file:PATH\", \"env:VARIABLE\" or \"credential:NAME\"";
  if (!may_ask) {
    return Fail(
        fmt::format("the passphrase of {} is asked for on a terminal, at a start alone", for_what),
        fmt::format("restart postern on a terminal, or {}", kElse));
  }
  Result<std::vector<unsigned char>> answer =
      os::AskSecret(fmt::format("Passphrase of {}: ", for_what), limits::kMaxPassphrase);
  if (answer) return SecretBytes(std::move(*answer));
  return Fail(
      fmt::format("the passphrase of {} cannot be asked for: {}", for_what, answer.error().what),
      kElse);
}

}  // namespace

Result<PassphraseSource> ParsePassphraseSource(std::string_view text) {
  if (text == "ask") return PassphraseSource{PassphraseKind::kAsk, {}};
  for (const Prefix& prefix : kPrefixes) {
    if (!text.starts_with(prefix.text)) continue;
    const std::string name(text.substr(prefix.text.size()));
    if (name.empty()) {
      return Fail(fmt::format("\"{}\" names no source of a passphrase", prefix.text), kForms);
    }
    if (prefix.kind == PassphraseKind::kEnvironment && name.find('=') != std::string::npos) {
      return Fail("the name of an environment variable has no \"=\"", kForms);
    }
    if (prefix.kind == PassphraseKind::kCredential && name.find('/') != std::string::npos) {
      return Fail("the name of a systemd credential has no \"/\"", kForms);
    }
    return PassphraseSource{prefix.kind, name};
  }
  // The text is not repeated: it may be the passphrase itself.
  return Fail(
      "this says where a passphrase is to be had and is no such place; a passphrase itself "
      "must not stand here, where others can read it",
      kForms);
}

std::string ToString(const PassphraseSource& source) {
  if (source.kind == PassphraseKind::kNone) return {};
  for (const Prefix& prefix : kPrefixes) {
    if (prefix.kind == source.kind) return std::string(prefix.text) + source.name;
  }
  return "ask";
}

Result<SecretBytes> ReadPassphrase(const PassphraseSource& source, const std::string& for_what,
                                   bool may_ask) {
  switch (source.kind) {
    case PassphraseKind::kNone:
      break;
    case PassphraseKind::kFile:
      return FromFile(source.name, true);
    case PassphraseKind::kEnvironment:
      return FromVariable(source.name, for_what);
    case PassphraseKind::kCredential:
      return FromCredential(source.name, for_what);
    case PassphraseKind::kAsk:
      return FromTerminal(for_what, may_ask);
  }
  return Fail(fmt::format("{} needs a passphrase", for_what), kForms);
}

}  // namespace postern::pki
