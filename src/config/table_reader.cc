// The keys that a table may have are the ones its reader asks for; there is no second list of them
// to keep in step.
#include "table_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "duration.h"
#include "postern/config/suggest.h"

namespace postern::config {
namespace {

constexpr size_t kMaxText = 4096;  // PATH_MAX, and more than any other value needs

}  // namespace

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
  }
  return "something else";
}

const toml::node* TableReader::Find(std::string_view key) {
  known_.push_back(key);
  return table_.get(key);
}

void TableReader::WrongType(std::string_view key, const toml::node& node, std::string_view expected,
                            std::string_view remedy) {
  reporter_.Fault(
      WhereOf(node, reporter_),
      fmt::format("{} in {} is {}, it has to be {}", key, name_, TypeName(node), expected),
      std::string(remedy));
}

std::optional<std::string> TableReader::TextOf(std::string_view key, const toml::node& node,
                                               std::string_view remedy) {
  const toml::value<std::string>* value = node.as_string();
  if (value == nullptr) {
    WrongType(key, node, "a text",
              remedy.empty() ? "write it in double quotes" : std::string(remedy));
    return std::nullopt;
  }
  const std::string& text = value->get();
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  if (control || text.size() > kMaxText) {
    reporter_.Fault(WhereOf(node, reporter_),
                    fmt::format("{} in {} {}", key, name_,
                                control ? "holds a control character"
                                        : fmt::format("is longer than {} octets", kMaxText)),
                    control ? "remove it; in double quotes a backslash begins an escape, write "
                              "\"\\\\\" for the backslash itself"
                            : "shorten it");
    return std::nullopt;
  }
  return text;
}

void TableReader::NoSuchChoice(std::string_view key, const toml::node& node, std::string_view text,
                               std::span<const std::string_view> names) {
  const std::string_view near = Nearest(text, names);
  std::string remedy = near.empty() ? std::string{} : fmt::format("did you mean {}? ", Quote(near));
  remedy += names.size() == 1 ? fmt::format("the only known value is {}", Quote(names[0]))
                              : fmt::format("known values are {}", QuoteList(names));
  reporter_.Fault(WhereOf(node, reporter_),
                  fmt::format("unknown {} {} in {}", key, Quote(text), name_), std::move(remedy));
}

bool TableReader::Bool(std::string_view key, bool& out) {
  const auto* value =
      Child<toml::value<bool>>(key, "true or false", "write true or false, without quotes");
  if (value == nullptr) return false;
  out = value->get();
  return true;
}

bool TableReader::Integer(std::string_view key, uint32_t& out, Range range) {
  const std::string remedy =
      fmt::format("write a whole number from {} to {}, without quotes", range.low, range.high);
  const auto* value = Child<toml::value<int64_t>>(key, "an integer", remedy);
  if (value == nullptr) return false;
  if (std::cmp_less(value->get(), range.low) || std::cmp_greater(value->get(), range.high)) {
    reporter_.Fault(WhereOf(*value, reporter_),
                    fmt::format("{} = {} in {} is out of range", key, value->get(), name_), remedy);
    return false;
  }
  out = static_cast<uint32_t>(value->get());
  return true;
}

bool TableReader::Duration(std::string_view key, uint64_t& out, Range range) {
  const toml::node* node = Find(key);
  if (node == nullptr) return false;
  std::optional<uint64_t> milliseconds;
  std::string shown;
  if (const auto* seconds = node->as_integer(); seconds != nullptr) {
    shown = fmt::format("{}", seconds->get());
    uint64_t product = 0;
    if (seconds->get() >= 0 && !__builtin_mul_overflow(seconds->get(), 1000, &product)) {
      milliseconds = product;
    }
  } else {
    const std::optional<std::string> text = TextOf(key, *node, kDurationHelp);
    if (!text.has_value()) return false;
    shown = Quote(*text);
    milliseconds = ParseDuration(*text);
  }
  if (!milliseconds.has_value()) {
    reporter_.Fault(WhereOf(*node, reporter_),
                    fmt::format("{} = {} in {} is no duration", key, shown, name_),
                    std::string(kDurationHelp));
    return false;
  }
  if (*milliseconds < range.low || *milliseconds > range.high) {
    reporter_.Fault(WhereOf(*node, reporter_),
                    fmt::format("{} = {} in {} is out of range", key, shown, name_),
                    fmt::format("write a duration from {} to {}", Quote(DurationText(range.low)),
                                Quote(DurationText(range.high))));
    return false;
  }
  out = *milliseconds;
  return true;
}

bool TableReader::Text(std::string_view key, std::string& out) {
  const toml::node* node = Find(key);
  if (node == nullptr) return false;
  std::optional<std::string> text = TextOf(key, *node, {});
  if (!text.has_value()) return false;
  out = std::move(*text);
  return true;
}

std::vector<PlacedText> TableReader::Texts(std::string_view key, bool may_be_empty) {
  std::vector<PlacedText> texts;
  const toml::node* node = Find(key);
  if (node == nullptr) return texts;
  const std::string_view remedy =
      "write a text in double quotes, or a list of such: [\"a\", \"b\"]";
  const auto add = [&](const toml::node& element) {
    if (auto text = TextOf(key, element, remedy); text.has_value()) {
      texts.push_back({std::move(*text), WhereOf(element, reporter_)});
    }
  };
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    add(*node);
    return texts;
  }
  if (list->empty() && !may_be_empty) {
    reporter_.Fault(WhereOf(*node, reporter_), fmt::format("{} in {} is an empty list", key, name_),
                    "name at least one");
  }
  for (const toml::node& element : *list) add(element);
  return texts;
}

void TableReader::Require(std::string_view key, std::string_view remedy) {
  if (Has(key)) return;
  reporter_.Missing(where(), fmt::format("{} has no {}", name_, key), std::string(remedy));
}

Where TableReader::WhereOfValue(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node == nullptr ? where() : WhereOf(*node, reporter_);
}

void TableReader::Finish() {
  for (const auto& [key, node] : table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    const std::string_view near = Nearest(key.str(), known_);
    const bool table = node.is_table() || node.is_array_of_tables();
    reporter_.Fault(
        WhereOf(key, reporter_),
        fmt::format("unknown {} {} in {}", table ? "table" : "key", Quote(key.str()), name_),
        near.empty() ? fmt::format("use one of {}", QuoteList(known_))
                     : fmt::format("did you mean {}?", Quote(near)));
  }
}

}  // namespace postern::config
