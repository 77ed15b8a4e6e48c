// Document: the text of a configuration file as a tree, with every syntax error reported.
#pragma once

#include <toml++/toml.h>

#include <string_view>

#include "reporter.h"

namespace postern::config {

// ParseDocument returns the tree of what could be read. After a syntax error it goes on behind the
// broken line or table where that can be told, so that one run shows all of them; the tree is then
// partial and `reporter` is told so. It is empty when nothing certain can be said.
toml::table ParseDocument(std::string_view text, Reporter& reporter);

// WhereOf is where `node` or `key` begins in the file.
inline Where WhereOf(const toml::node& node, const Reporter& reporter) {
  return reporter.At(node.source().begin.line, node.source().begin.column);
}
inline Where WhereOf(const toml::key& key, const Reporter& reporter) {
  return reporter.At(key.source().begin.line, key.source().begin.column);
}

}  // namespace postern::config
