// OpenSSL's error queue as text.
#pragma once

#include <string>

namespace postern::tls {

// The oldest entry of this thread's queue in OpenSSL's words ("ee key too small"), which is the
// cause of those behind it; the queue is then empty. "unknown error" when it was empty before.
std::string TakeOpensslError();

}  // namespace postern::tls
