// What shows that a server answers: a question, and whether what comes back is the answer to it.
#pragma once

#include <cstdint>
#include <string_view>

#include "bench/load/options.h"

namespace postern::bench {

// AliveQuestion is what to send: NOOP in the service's words (POP3: QUIT, since its NOOP is for
// those who have logged in); for raw and HTTP an echo of the wire server.
std::string_view AliveQuestion(Service service);

enum class AliveAnswer : uint8_t { kMore, kRight, kWrong };
// ReadAliveAnswer reads `text`, all that has come since the question.
AliveAnswer ReadAliveAnswer(Service service, std::string_view text);

}  // namespace postern::bench
