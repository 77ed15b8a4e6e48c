// Suggestions for misspelt words in a configuration file.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace postern::config {

// Nearest returns the word of `known` that `word` was most likely meant to be: the one with the
// fewest insertions, deletions, replacements and swaps of neighbours, when these are few for its
// length. Empty when none is near. Case counts for nothing.
std::string_view Nearest(std::string_view word, std::span<const std::string_view> known);

// Quote shows `text` from the file in a message: in double quotes, control characters as \xNN, and
// shortened when it is long.
std::string Quote(std::string_view text);

// QuoteList is each word quoted: "a", "b" or "c".
std::string QuoteList(std::span<const std::string_view> words);

}  // namespace postern::config
