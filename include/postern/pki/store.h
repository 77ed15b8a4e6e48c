// The certificate directory: pairs by name, replaced so that at every moment a whole pair is there.
//
// NAME.crt and NAME.key are two files, and no system call replaces two. What makes it safe is the
// order, and a reader that knows it: the key of before stays as NAME.key.previous, then the new key
// takes its place, then the new certificate. Whoever reads between the two finds a certificate
// whose key is NAME.key.previous, and takes that (LoadPair does, for pairs of the directory). So
// neither a crash nor a reload in the middle sees anything but the old pair.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/secret_bytes.h"

namespace postern::pki {

// Files of a name in a directory.
struct StoreNames {
  std::string certificate;  // NAME.crt
  std::string key;          // NAME.key
  std::string request;      // NAME.csr
  std::string chain;        // NAME.chain: more certificates of the chain; may be missing
  std::string ocsp;         // NAME.ocsp: an OCSP response; may be missing
};
StoreNames NamesIn(const std::string& directory, const std::string& name);

// What an earlier pair is kept as, and a key that waits for its certificate beside one that serves.
inline constexpr std::string_view kPreviousSuffix = ".previous";
inline constexpr std::string_view kWaitingSuffix = ".new";

// IsStoreName: fit to be a file's name and a certificate's in the configuration: letters, digits,
// ".", "-", "_" and "*", not beginning with ".".
bool IsStoreName(std::string_view name);
// StoreNameFor is the file name for a host's certificate; "*.example.com" becomes "_.example.com",
// since "*" means too much to shells.
std::string StoreNameFor(std::string_view host);

// Which of the two rules for the modes of keys holds.
enum class KeyPlace {
  kStore,  // in the certificate directory: for its owner alone, 0600 or less
  kOwn,    // named in the configuration: its group may read it, as root:ssl-cert with 0640 does
};
// CheckKeyMode refuses a key that others can read, with the command that mends it.
Status CheckKeyMode(const std::string& path, mode_t mode, KeyPlace place);
// CheckStoreDirectory refuses a directory that holds keys or is to hold them and that others may
// look into (wider than 0700). Whether it is there is not its question.
Status CheckStoreDirectory(const std::string& directory);

// Texts of a pair to be written.
struct PairTexts {
  std::string certificate_pem;
  SecretBytes key_pem;
};

// One step of an installation. Each is one change of the directory, and after each of them (or
// none) a whole pair can be read.
struct InstallStep {
  std::string what;  // for messages: "make NAME.key the new key"
  std::function<Status()> run;
};
// InstallSteps are the steps of InstallPair, in order; apart so that a test may stop between any
// two. The texts are taken over.
std::vector<InstallStep> InstallSteps(const std::string& directory, const std::string& name,
                                      PairTexts texts);

// InstallPair makes `texts` the pair NAME, in a directory that is made (0700) when it is not there.
// The pair that stood there is kept as *.previous, and so are its .chain and .ocsp, which do not
// belong to the new one. An installation that was cut off earlier is put right first. Only one of
// several at once goes on at a time. After an error the old pair is what is read.
Status InstallPair(const std::string& directory, const std::string& name, PairTexts texts);

// RevertSteps, RevertPair: the pair and the one before change places, so that a second revert
// undoes the first. Fails when there is no pair before.
std::vector<InstallStep> RevertSteps(const std::string& directory, const std::string& name);
Status RevertPair(const std::string& directory, const std::string& name);

}  // namespace postern::pki
