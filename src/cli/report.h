// What the commands say: results on standard output, everything that is wrong on standard error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"

namespace postern::cli {

// "postern: what; remedy" on standard error; with a place in a file, the place comes first, so that
// editors can jump there.
void PrintError(const Error& error);
void PrintErrors(const std::vector<Error>& errors);
// The same with "warning: " before what is wrong.
void PrintWarnings(const std::vector<Error>& warnings);
// Prints to standard output, nothing added.
void Print(std::string_view text);

// Count is "1 fault", "2 faults".
std::string Count(size_t number, std::string_view word);

// ValidityText is "until 2027-01-31, 70 days left" or "expired on 2020-01-31, 80 days ago"; both in
// seconds since 1970.
std::string ValidityText(int64_t not_after, int64_t now);

}  // namespace postern::cli
