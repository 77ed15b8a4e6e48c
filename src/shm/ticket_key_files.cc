// nginx puts the AES key last in the long form and in the middle of the short one.
#include "postern/shm/ticket_key_files.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "postern/base/bytes.h"
#include "postern/os/files.h"

namespace postern::shm {
namespace {

constexpr size_t kLongForm = 80;
constexpr size_t kShortForm = 48;

Status CheckMode(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return FailErrno("cannot read the ticket keys in " + path, errno);
  }
  if ((status.st_mode & 0037) == 0) return {};
  return Fail(fmt::format("the ticket keys in {} are open to others (mode {:04o})", path,
                          status.st_mode & 07777),
              fmt::format("chmod 0600 {}, and make a new key if somebody may have read it", path));
}

Result<TicketKey> ParseKey(const std::string& path, Bytes octets) {
  if (octets.size() != kLongForm && octets.size() != kShortForm) {
    return Fail(fmt::format("{} holds {} octets; a ticket key has {} or {}", path, octets.size(),
                            kLongForm, kShortForm),
                fmt::format("openssl rand {} > {}", kLongForm, path));
  }
  const bool is_long = octets.size() == kLongForm;
  TicketKey key;
  key.size = is_long ? 32 : 16;
  const Bytes first = octets.subspan(kTicketKeyName, key.size);
  const Bytes second = octets.subspan(kTicketKeyName + key.size, key.size);
  std::ranges::copy(octets.first(kTicketKeyName), key.name.begin());
  std::ranges::copy(is_long ? second : first, key.aes.begin());
  std::ranges::copy(is_long ? first : second, key.hmac.begin());
  if (key.name == TicketKey().name) {
    return Fail(fmt::format("the ticket key in {} begins with 16 zeros, which name no key", path),
                fmt::format("openssl rand {} > {}", kLongForm, path));
  }
  return key;
}

}  // namespace

TicketKeyList& TicketKeyList::operator=(TicketKeyList&& other) noexcept {
  std::swap(keys_, other.keys_);
  return *this;
}

TicketKeyList::~TicketKeyList() {
  for (TicketKey& key : keys_) OPENSSL_cleanse(&key, sizeof key);
}

Result<TicketKeyList> ReadTicketKeyFiles(std::span<const std::string> paths) {
  TicketKeyList list;
  for (const std::string& path : paths) {
    if (Status closed = CheckMode(path); !closed) return std::unexpected(closed.error());
    Result<std::string> text = os::ReadFile(path, 4096);
    if (!text) return std::unexpected(text.error());
    Result<TicketKey> key = ParseKey(path, AsBytes(*text));
    OPENSSL_cleanse(text->data(), text->size());
    if (!key) return std::unexpected(key.error());
    const auto same = [&](const TicketKey& other) { return other.name == key->name; };
    if (std::ranges::any_of(list.get(), same)) {
      return Fail(fmt::format("{} has the name of a ticket key before it", path),
                  "name each file once, and make each key anew");
    }
    list.Add(*key);
    OPENSSL_cleanse(&*key, sizeof *key);
  }
  return list;
}

}  // namespace postern::shm
