// Fuzzing of the PROXY header's reader: what a proxy in front of Postern sends, and who pretends to
// be one from within its network.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "postern/base/check.h"
#include "postern/mail/proxy_header.h"

using postern::Bytes;
using namespace postern::mail;

namespace {

using State = ProxyParsed::State;

bool Within(Bytes whole, std::string_view text) {
  const auto bytes = postern::AsBytes(text);
  return text.empty() || (bytes.data() >= whole.data() &&
                          bytes.data() + bytes.size() <= whole.data() + whole.size());
}

void CheckHeader(Bytes consumed, const ProxyHeader& header) {
  POSTERN_CHECK(Within(consumed, header.authority) && Within(consumed, header.alpn) &&
                Within(consumed, header.unique_id));
  if (header.tls) {
    POSTERN_CHECK(Within(consumed, header.tls->common_name) &&
                  Within(consumed, header.tls->version) && Within(consumed, header.tls->cipher));
  }
  // What was read can be passed on, and is then read as the same.
  std::vector<std::byte> out;
  WriteProxyHeader(header, ProxyFormat::kVersion2Tls, out);
  const ProxyParsed again = ParseProxyHeader(out, ProxyAccepts::kVersion2);
  POSTERN_CHECK(again.state == State::kDone && again.consumed == out.size());
  POSTERN_CHECK(again.header.source == header.source);
  POSTERN_CHECK(again.header.destination == header.destination);
  out.clear();
  WriteProxyHeader(header, ProxyFormat::kVersion1, out);
  POSTERN_CHECK(ParseProxyHeader(out, ProxyAccepts::kVersion1).state == State::kDone);
}

// A verdict stands, whatever follows.
void CheckFronts(Bytes wire, const ProxyParsed& verdict, ProxyAccepts accepts) {
  for (size_t size = 0; size < wire.size() && size <= 256; ++size) {
    const ProxyParsed front = ParseProxyHeader(wire.first(size), accepts);
    if (front.state == State::kNeedMore) continue;
    POSTERN_CHECK(front.state == verdict.state && front.consumed == verdict.consumed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes wire = std::as_bytes(std::span(data, size));
  for (const auto accepts :
       {ProxyAccepts::kAny, ProxyAccepts::kVersion1, ProxyAccepts::kVersion2}) {
    const ProxyParsed parsed = ParseProxyHeader(wire, accepts);
    POSTERN_CHECK((parsed.state == State::kMalformed) == (parsed.failure != nullptr));
    if (parsed.state == State::kNeedMore) {
      POSTERN_CHECK(wire.size() < postern::limits::kMaxProxyHeader);
    }
    if (parsed.state == State::kDone) {
      POSTERN_CHECK(parsed.consumed > 0 && parsed.consumed <= wire.size());
      CheckHeader(wire.first(parsed.consumed), parsed.header);
    }
    CheckFronts(wire, parsed, accepts);
  }
  return 0;
}
