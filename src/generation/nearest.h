// Nearest: what somebody who mistyped a name may have meant.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace postern::generation {

// The member of `known` with the least edit distance to `name`; empty when none is similar.
std::string Nearest(std::string_view name, const std::set<std::string>& known);

}  // namespace postern::generation
