// Names. Checked here so that a typing error is found before a certificate authority, or nobody,
// finds it.
#include "pki/names.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <cctype>

#include "postern/base/limits.h"
#include "postern/pki/certificate.h"

namespace postern::pki {
namespace {

constexpr size_t kMaxLabel = 63;  // RFC 1035 section 2.3.4

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsLabel(std::string_view label) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-' || c == '_';
  };
  return !label.empty() && label.size() <= kMaxLabel && !label.starts_with('-') &&
         !label.ends_with('-') && std::ranges::all_of(label, fits);
}

// HostName lower-cases and strips a trailing dot; empty when `text` is no DNS name that a client
// could ask for.
std::string HostName(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (!IsHostName(text)) return {};
  std::string name(text);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

Status Add(GENERAL_NAMES* names, const std::string& name) {
  int type = GEN_IPADD;
  ASN1_STRING* value = a2i_IPADDRESS(name.c_str());
  ERR_clear_error();
  if (value == nullptr) {
    if (!IsHostName(name)) {
      const auto foreign = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
      if (std::ranges::any_of(name, foreign)) {
        return Fail(
            fmt::format("\"{}\" is not in the form that certificates and clients use", name),
            "write it in its xn-- form, as idn2(1) prints it: münchen.example is "
            "xn--mnchen-3ya.example");
      }
      return Fail(fmt::format("\"{}\" is neither a host name nor an IP address", name),
                  "give names as mail.example.com or 192.0.2.1; write internationalized names in "
                  "their xn-- form");
    }
    type = GEN_DNS;
    value = ASN1_IA5STRING_new();
    if (value == nullptr || ASN1_STRING_set(value, name.data(), static_cast<int>(name.size())) != 1)
      return Fail("cannot make a name: " + OpenSslErrors());
  }
  GENERAL_NAME* entry = GENERAL_NAME_new();
  if (entry == nullptr) return Fail("out of memory");
  GENERAL_NAME_set0_value(entry, type, value);
  if (sk_GENERAL_NAME_push(names, entry) <= 0) return Fail("out of memory");
  return {};
}

}  // namespace

bool IsHostName(std::string_view name) {
  if (name.size() > limits::kMaxHostName) return false;
  if (name.starts_with("*.")) name.remove_prefix(2);
  for (;;) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!IsLabel(label)) return false;
    if (dot == std::string_view::npos) return !std::ranges::all_of(label, IsDigit);
    name.remove_prefix(dot + 1);
  }
}

void AddHostName(std::vector<std::string>& names, std::string_view text) {
  std::string name = HostName(text);
  if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) {
    names.push_back(std::move(name));
  }
}

Result<AlternativeNamesPtr> MakeAlternativeNames(const std::vector<std::string>& names) {
  AlternativeNamesPtr alternatives(sk_GENERAL_NAME_new_null());
  if (alternatives == nullptr) return Fail("out of memory");
  for (const std::string& name : names) {
    if (Status added = Add(alternatives.get(), name); !added) {
      return std::unexpected(added.error());
    }
  }
  return alternatives;
}

}  // namespace postern::pki
