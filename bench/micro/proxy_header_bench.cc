// Reading and writing the PROXY header, once per connection each.
#include <benchmark/benchmark.h>

#include <vector>

#include "postern/mail/proxy_header.h"
#include "verify.h"

namespace postern::bench {
namespace {

using mail::ProxyFormat;

mail::ProxyHeader Header() {
  mail::ProxyHeader header;
  header.family = mail::ProxyFamily::kIpv6;
  header.source.ip[15] = std::byte{1};
  header.source.port = 56'324;
  header.destination.ip[15] = std::byte{2};
  header.destination.port = 993;
  header.authority = "mail.example.com";
  header.unique_id = "0123456789abcdef0123456789abcdef";
  header.tls = mail::ProxyTls{.version = "TLSv1.3",
                              .cipher = "TLS_AES_128_GCM_SHA256",
                              .signature_algorithm = "ecdsa-with-SHA256",
                              .key_algorithm = "EC256"};
  return header;
}

void WriteProxy(benchmark::State& state, ProxyFormat format) {
  const mail::ProxyHeader header = Header();
  std::vector<std::byte> out;
  for (auto _ : state) {
    out.clear();
    mail::WriteProxyHeader(header, format, out);
    if (out.empty()) return Wrong(state, "nothing was written");
  }
  PerCore(state);
}

void ReadProxy(benchmark::State& state, ProxyFormat format) {
  const mail::ProxyHeader header = Header();
  std::vector<std::byte> wire;
  mail::WriteProxyHeader(header, format, wire);
  for (auto _ : state) {
    const mail::ProxyParsed parsed = mail::ParseProxyHeader(wire, mail::ProxyAccepts::kAny);
    if (parsed.consumed != wire.size() || !(parsed.header.source == header.source)) {
      return Wrong(state, "the header was read otherwise than it was written");
    }
  }
  PerCore(state);
}

BENCHMARK_CAPTURE(WriteProxy, v1, ProxyFormat::kVersion1);
BENCHMARK_CAPTURE(WriteProxy, v2, ProxyFormat::kVersion2);
BENCHMARK_CAPTURE(WriteProxy, v2_tls, ProxyFormat::kVersion2Tls);
BENCHMARK_CAPTURE(ReadProxy, v1, ProxyFormat::kVersion1);
BENCHMARK_CAPTURE(ReadProxy, v2, ProxyFormat::kVersion2);
BENCHMARK_CAPTURE(ReadProxy, v2_tls, ProxyFormat::kVersion2Tls);

}  // namespace
}  // namespace postern::bench
