#include "bench/load/mode.h"

#include "bench/load/connection.h"

namespace postern::bench {

void Mode::OnServerEnd(Connection& connection) {
  connection.Fail("connection: the server ended it");
}

std::unique_ptr<Mode> MakeMode(LoadLoop& loop, const LoadOptions& options) {
  switch (options.mode) {
    case ModeKind::kHandshake:
      return MakeHandshakeMode(loop, options);
    case ModeKind::kIdle:
      return MakeIdleMode(loop, options);
    case ModeKind::kBulk:
      return MakeBulkMode(loop, options);
    case ModeKind::kEcho:
      return MakeEchoMode(loop, options);
    case ModeKind::kMix:
      return MakeMixMode(loop, options);
    case ModeKind::kChurn:
      return MakeChurnMode(loop, options);
  }
  return nullptr;
}

}  // namespace postern::bench
