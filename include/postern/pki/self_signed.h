// Self-signed pairs: what a fresh install serves on.
#pragma once

#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/request.h"
#include "postern/pki/store.h"

namespace postern::pki {

inline constexpr int kSelfSignedDays = 3650;

// MakeSelfSigned makes a certificate for `names` (DNS names or IP addresses; the first is the CN),
// valid from an hour ago for `days`.
Result<PairTexts> MakeSelfSigned(const std::vector<std::string>& names, int days = kSelfSignedDays,
                                 KeyKind kind = KeyKind::kP256);

// InstallSelfSigned installs a fresh self-signed pair as "default" in `directory` (InstallPair).
// The names are this host's name, "localhost", and 127.0.0.1 and ::1, unless `names` gives others.
Status InstallSelfSigned(const std::string& directory, const std::vector<std::string>& names = {},
                         int days = kSelfSignedDays, KeyKind kind = KeyKind::kP256);

}  // namespace postern::pki
