// Passphrases of private keys: where they are to be had, and getting them. Never from a command
// line or a configuration file, which others can read; never into a log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "postern/base/result.h"
#include "postern/pki/secret_bytes.h"

namespace postern::pki {

enum class PassphraseKind : uint8_t { kNone, kFile, kEnvironment, kCredential, kAsk };

// PassphraseSource says where a passphrase is to be had.
struct PassphraseSource {
  PassphraseKind kind = PassphraseKind::kNone;
  std::string name;  // path, variable or credential; empty for kNone and kAsk

  bool operator==(const PassphraseSource&) const = default;
};

// ParsePassphraseSource takes "file:PATH", "env:NAME", "credential:NAME" or "ask". A relative path
// is taken as it stands.
Result<PassphraseSource> ParsePassphraseSource(std::string_view text);
// As ParsePassphraseSource takes it; empty for kNone.
std::string ToString(const PassphraseSource& source);

// ReadPassphrase gets the passphrase: the first line of the file or of the systemd credential
// ($CREDENTIALS_DIRECTORY/NAME), the whole of the variable, or what somebody at the terminal types.
// `for_what` ("/etc/postern/certs/a.key") is for the question and the faults. Without `may_ask`,
// kAsk is a fault: a reload has nobody to ask. A file that its group may write or others may read
// is refused. A variable, once read, is withheld from child processes.
Result<SecretBytes> ReadPassphrase(const PassphraseSource& source, const std::string& for_what,
                                   bool may_ask);

}  // namespace postern::pki
