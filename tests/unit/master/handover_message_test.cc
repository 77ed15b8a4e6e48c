#include "master/handover_message.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

HandoverMessage Sockets() {
  HandoverMessage message;
  message.type = HandoverType::kSockets;
  message.number = 7;
  message.text = "words";
  message.sockets.push_back({*os::SocketAddress::FromIp("192.0.2.1", 993), true});
  message.sockets.push_back({*os::SocketAddress::FromIp("::", 25), false});
  return message;
}

constexpr size_t kVersionAt = 4;
constexpr size_t kTypeAt = 8;

void Set(std::vector<std::byte>& octets, size_t at, uint32_t value) {
  std::memcpy(octets.data() + at, &value, sizeof value);
}

}  // namespace

TEST_CASE("handover message: what is encoded is decoded", "[handover]") {
  HandoverMessage read;
  REQUIRE(Decode(Encode(Sockets()), read) == HandoverDecode::kGood);
  CHECK(read.type == HandoverType::kSockets);
  CHECK(read.number == 7);
  CHECK(read.text == "words");
  REQUIRE(read.sockets.size() == 2);
  CHECK(read.sockets[0].wanted.ToString() == "192.0.2.1:993");
  CHECK(read.sockets[0].v6_only);
  CHECK(read.sockets[1].wanted.ToString() == "[::]:25");
  CHECK_FALSE(read.sockets[1].v6_only);

  REQUIRE(Decode(Encode({}), read) == HandoverDecode::kGood);
  CHECK(read.sockets.empty());
  CHECK(read.text.empty());
}

TEST_CASE("handover message: one that is cut off anywhere, or goes on, is malformed",
          "[handover]") {
  std::vector<std::byte> octets = Encode(Sockets());
  HandoverMessage read;
  for (size_t size = 0; size < octets.size(); ++size) {
    CHECK(Decode(Bytes(octets).first(size), read) == HandoverDecode::kMalformed);
  }
  octets.push_back(std::byte{0});
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);
}

TEST_CASE("handover message: lengths, counts and families are not believed", "[handover]") {
  HandoverMessage message;
  message.text = "abc";
  std::vector<std::byte> octets = Encode(message);
  HandoverMessage read;
  Set(octets, 20, 1'000'000);  // the text's length
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);

  octets = Encode(Sockets());
  const size_t count_at = 24 + std::strlen("words");
  Set(octets, count_at, limits::kMaxPassedDescriptors + 1);
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);

  octets = Encode(Sockets());
  octets[count_at + 4] = std::byte{2};  // neither IPv6 alone nor not
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);

  octets = Encode(Sockets());
  octets[count_at + 9] = std::byte{1};  // AF_UNIX
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);

  octets = Encode(Sockets());
  octets[0] = std::byte{0};
  CHECK(Decode(octets, read) == HandoverDecode::kMalformed);
}

TEST_CASE("handover message: of another version only a refusal is understood", "[handover]") {
  std::vector<std::byte> octets = Encode(Sockets());
  HandoverMessage read;
  Set(octets, kVersionAt, kHandoverVersion + 1);
  CHECK(Decode(octets, read) == HandoverDecode::kOtherVersion);

  HandoverMessage refusal;
  refusal.type = HandoverType::kRefused;
  refusal.text = "no\n";
  octets = Encode(refusal);
  Set(octets, kVersionAt, kHandoverVersion + 1);
  octets.push_back(std::byte{1});  // whatever that version has there
  REQUIRE(Decode(octets, read) == HandoverDecode::kGood);
  CHECK(read.type == HandoverType::kRefused);
  CHECK(read.text == "no\n");
}

TEST_CASE("handover message: a type of the same version that is not known is told apart",
          "[handover]") {
  std::vector<std::byte> octets = Encode({});
  HandoverMessage read;
  Set(octets, kTypeAt, 9'999);
  CHECK(Decode(octets, read) == HandoverDecode::kUnknown);
}

TEST_CASE("handover message: a text that is too long is cut, so that it can be sent",
          "[handover]") {
  HandoverMessage message;
  message.type = HandoverType::kRefused;
  message.text.assign(1'000'000, 'x');
  const std::vector<std::byte> octets = Encode(message);
  CHECK(octets.size() <= limits::kMaxControlMessage);
  HandoverMessage read;
  REQUIRE(Decode(octets, read) == HandoverDecode::kGood);
  CHECK(read.text.size() == limits::kMaxControlMessage / 2);
}

}  // namespace postern::master
