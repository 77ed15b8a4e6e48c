#include "postern/shm/ticket_key_files.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::shm {
namespace {

std::byte At(const TicketKey& key, const char* part) {
  return std::string_view(part) == "aes" ? key.aes[0] : key.hmac[0];
}

struct Files {
  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const std::string path = directory / name;
    std::ofstream(path, std::ios::binary) << content;
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    return path;
  }
  std::string Fault(std::vector<std::string> paths) {
    const auto keys = ReadTicketKeyFiles(paths);
    REQUIRE_FALSE(keys);
    return keys.error().ToString();
  }
  TemporaryDirectory directory;
};

std::string Octets(char octet, size_t count) { return std::string(count, octet); }

}  // namespace

TEST_CASE("ticket key files: both forms, in the order of the list") {
  Files files;
  const std::vector<std::string> paths = {
      files.Write("new", Octets('N', 16) + Octets('h', 32) + Octets('a', 32)),
      files.Write("old", Octets('O', 16) + Octets('a', 16) + Octets('h', 16), 0640)};
  const auto keys = ReadTicketKeyFiles(paths);
  REQUIRE(keys);
  REQUIRE(keys->get().size() == 2);
  const TicketKey& first = keys->get()[0];
  const TicketKey& second = keys->get()[1];
  CHECK(first.name[15] == std::byte{'N'});
  CHECK(first.size == 32);
  CHECK(second.name[0] == std::byte{'O'});
  CHECK(second.size == 16);
  for (const TicketKey* key : {&first, &second}) {
    CHECK(At(*key, "aes") == std::byte{'a'});
    CHECK(At(*key, "hmac") == std::byte{'h'});
  }
  CHECK(second.aes[16] == std::byte{0});
  CHECK(ReadTicketKeyFiles({})->empty());
}

TEST_CASE("ticket key files: each fault has its words and its remedy") {
  Files files;
  CHECK(files.Fault({files.directory / "none"}).find("No such file") != std::string::npos);
  const std::string good = Octets('N', 80);
  const std::string open = files.Write("open", good, 0644);
  CHECK(files.Fault({open}).find("chmod 0600 " + open) != std::string::npos);
  for (const size_t size : {0, 1, 47, 49, 79, 81, 4096}) {
    CHECK(files.Fault({files.Write("size", Octets('x', size))}).find("openssl rand 80") !=
          std::string::npos);
  }
  const std::string twice = files.Write("twice", good);
  CHECK(files.Fault({twice, twice}).find("has the name of a ticket key") != std::string::npos);
  CHECK(files.Fault({files.Write("zeros", Octets('\0', 80))}).find("name no key") !=
        std::string::npos);
}

TEST_CASE("ticket key files: keys from files take the place of all, and give it back") {
  Files files;
  auto master = TicketKeyMaster::Create();
  REQUIRE(master);
  const auto keys = TicketKeys::Map(master->fd());
  REQUIRE(keys);
  const TicketKey own = keys->Current().value();
  const std::vector<std::string> paths = {files.Write("new", Octets('N', 16) + Octets('n', 64)),
                                          files.Write("old", Octets('O', 16) + Octets('o', 32))};
  const auto list = ReadTicketKeyFiles(paths);
  REQUIRE(list);
  master->Use(list->get());
  CHECK(keys->Current()->name == list->get()[0].name);
  CHECK_FALSE(keys->Find(own.name));
  const auto old = keys->Find(list->get()[1].name);
  REQUIRE(old);
  CHECK_FALSE(old->current);
  CHECK(old->key.size == 16);

  REQUIRE(master->Renew());
  CHECK_FALSE(keys->Find(list->get()[0].name));
  CHECK(keys->Current()->size == 32);
}

}  // namespace postern::shm
