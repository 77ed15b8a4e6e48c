// TableReader takes typed values out of one table of the file. It reports wrong types, values out
// of range and, at the end, keys that nobody asked for.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "document.h"
#include "reporter.h"

namespace postern::config {

// A text with its place.
struct PlacedText {
  std::string text;
  Where where;
};

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};

// A value's lowest and highest; both are allowed.
struct Range {
  uint64_t low;
  uint64_t high;
};

class TableReader {
 public:
  // `name` is what messages call the table: "[process]". `table` and `reporter` must outlive this.
  TableReader(const toml::table& table, std::string name, Reporter& reporter)
      : table_(table), name_(std::move(name)), reporter_(reporter) {}

  const std::string& name() const { return name_; }
  Where where() const { return WhereOf(table_, reporter_); }

  // Each reads one key into `out`, which keeps its value (the default) when the key is missing or
  // wrong; wrong is reported. True when `out` was set.
  bool Bool(std::string_view key, bool& out);
  bool Integer(std::string_view key, uint32_t& out, Range range);
  // An integer counts seconds, a text has a unit; `range` and `out` are in milliseconds.
  bool Duration(std::string_view key, uint64_t& out, Range range);
  // Texts may not be longer than 4,096 octets or hold control characters: most go to the system as
  // paths and names.
  bool Text(std::string_view key, std::string& out);
  // A text or a list of texts. Nothing when the key is missing, wrong, or an empty list, which is a
  // fault unless `may_be_empty`.
  std::vector<PlacedText> Texts(std::string_view key, bool may_be_empty = false);
  template <typename T>
  bool OneOf(std::string_view key, T& out, std::span<const Choice<T>> choices);

  // The key's value of any type, or null; `expected` ("a table") is for the report when it is not
  // of type T.
  template <typename T>
  const T* Child(std::string_view key, std::string_view expected, std::string_view remedy);

  // Whether the key is there at all, whatever its value is.
  bool Has(std::string_view key) const { return table_.contains(key); }
  // Reports the key as missing unless it is there.
  void Require(std::string_view key, std::string_view remedy);
  // Where the key's value is; the table's place when it is not there.
  Where WhereOfValue(std::string_view key) const;
  // Reports every key that no call above has named. Call it last.
  void Finish();

 private:
  const toml::node* Find(std::string_view key);
  void WrongType(std::string_view key, const toml::node& node, std::string_view expected,
                 std::string_view remedy);
  std::optional<std::string> TextOf(std::string_view key, const toml::node& node,
                                    std::string_view remedy);
  void NoSuchChoice(std::string_view key, const toml::node& node, std::string_view text,
                    std::span<const std::string_view> names);

  const toml::table& table_;
  std::string name_;
  Reporter& reporter_;
  std::vector<std::string_view> known_;
};

template <typename T>
bool TableReader::OneOf(std::string_view key, T& out, std::span<const Choice<T>> choices) {
  const toml::node* node = Find(key);
  if (node == nullptr) return false;
  const std::optional<std::string> text = TextOf(key, *node, {});
  if (!text.has_value()) return false;
  std::vector<std::string_view> names;
  for (const Choice<T>& choice : choices) {
    if (choice.name == *text) {
      out = choice.value;
      return true;
    }
    names.push_back(choice.name);
  }
  NoSuchChoice(key, *node, *text, names);
  return false;
}

template <typename T>
const T* TableReader::Child(std::string_view key, std::string_view expected,
                            std::string_view remedy) {
  const toml::node* node = Find(key);
  if (node == nullptr) return nullptr;
  const T* child = node->as<T>();
  if (child == nullptr) WrongType(key, *node, expected, remedy);
  return child;
}

// TypeName is what a value is, for messages: "a text", "an integer".
std::string_view TypeName(const toml::node& node);

}  // namespace postern::config
