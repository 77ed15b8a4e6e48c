// StrictPem: PEM as every program writes it, in one pass. OpenSSL's reader goes through a BIO line
// by line and takes twenty times as long.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "postern/pki/secret_bytes.h"

namespace postern::pki {

struct StrictBlock {
  std::string_view label;  // borrowed from the text
  SecretBytes der;
};

// ReadStrictPem takes a text of PEM blocks alone (RFC 7468 section 3, "stricttextualmsg"): lines of
// 64 characters, the last of a block shorter, ended by LF; no headers and nothing between blocks or
// around them. Anything else gives nothing: it is for SplitPem, which reads the same out of
// whatever this takes. A pure function of octets. Decoded octets are never left in freed memory.
std::optional<std::vector<StrictBlock>> ReadStrictPem(std::string_view text);

}  // namespace postern::pki
