// Strings as IMAP (RFC 9051 section 4.3) and ManageSieve (RFC 5804 section 4) write them: quoted,
// or as a literal, whose octets stand behind the line that announces it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::mail {

struct LiteralMark {
  uint32_t size = 0;
  bool synchronising =
      true;  // {n}: the client waits to be told to go on; {n+}: it does not (RFC 7888)
};

// FindLiteralMark gives the mark that `line` ends in. Within quotes there is none: a line whose
// quotes stay open is wrong as it is.
std::optional<LiteralMark> FindLiteralMark(std::string_view line);

// TakeString takes the string that `text` begins with, quoted or literal, and gives its octets;
// nullopt, and `text` is not to be used further, when there is none. A literal's mark is followed
// by CR LF here, however the client ended that line.
std::optional<std::string> TakeString(std::string_view& text);

}  // namespace postern::mail
