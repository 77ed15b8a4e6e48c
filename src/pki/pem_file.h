// PemFile: a file of PEM blocks, read once, with what is needed to say what is wrong with it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/certificate.h"

namespace postern::pki {

struct PemBlock {
  std::string label;       // "CERTIFICATE", "RSA PRIVATE KEY", ...
  bool encrypted = false;  // in either of the two ways that PEM knows
  std::string header;      // "Proc-Type: 4,ENCRYPTED" and what follows it; mostly empty
  SecretBytes der;

  bool IsCertificate() const { return label == "CERTIFICATE" || label == "X509 CERTIFICATE"; }
  bool IsPrivateKey() const { return label.ends_with("PRIVATE KEY"); }
};

struct PemFile {
  std::string path;
  FileStamp stamp;
  mode_t mode = 0;
  std::vector<PemBlock> blocks;  // never empty

  const PemBlock* Find(std::string_view label) const;
};

// What a file is meant to hold; it decides the words of the messages.
enum class Content { kCertificate, kKey };

// SplitPem takes a text into its blocks; empty when it has none. What stands between the blocks is
// passed over. The error names the block that is damaged; `what` ("key file a.key") is for it.
Result<std::vector<PemBlock>> SplitPem(const SecretBytes& text, const std::string& what);

// ReadOctets reads a file as ReadPemFile does, and leaves it as it is.
struct FileOctets {
  SecretBytes octets;
  FileStamp stamp;
  mode_t mode = 0;
};
Result<FileOctets> ReadOctets(const std::string& path, std::string_view noun);

// ReadPemFile reads and splits. The error says whether the file is missing, unreadable, no regular
// file, empty, too large, DER or another container, damaged, or no PEM at all.
Result<PemFile> ReadPemFile(const std::string& path, Content content);

}  // namespace postern::pki
