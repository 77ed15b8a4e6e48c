// Which of a back end's EHLO keywords a client may hear.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::mail {

// What the connection to the client is when the keyword is heard.
enum class Channel : uint8_t { kPlain, kTls };

// MayBeOffered tells whether a line of a back end's answer to EHLO (without "250-") can be kept
// when it is passed on to a client. A line that could not stand in a reply cannot.
bool MayBeOffered(std::string_view line, Channel channel);
// IsNeverOffered tells that it cannot be, on whatever channel, because of its keyword.
bool IsNeverOffered(std::string_view line);

}  // namespace postern::mail
