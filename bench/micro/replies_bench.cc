// What Postern says itself at the end of a connection.
#include <benchmark/benchmark.h>

#include <iterator>

#include "postern/mail/replies.h"
#include "verify.h"

namespace postern::bench {
namespace {

void Goodbye(benchmark::State& state) {
  constexpr mail::Protocol kProtocols[] = {mail::Protocol::kImap, mail::Protocol::kPop3,
                                           mail::Protocol::kSmtp, mail::Protocol::kSieve};
  size_t next = 0;
  for (auto _ : state) {
    const auto reply = mail::Reply(kProtocols[next], mail::Occasion::kShutdown);
    benchmark::DoNotOptimize(reply.data());
    if (!reply.ends_with("\r\n")) return Wrong(state, "the reply is not a line");
    next = (next + 1) % std::size(kProtocols);
  }
  PerCore(state);
}
BENCHMARK(Goodbye);

}  // namespace
}  // namespace postern::bench
