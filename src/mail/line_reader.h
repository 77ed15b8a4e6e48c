// LineReader finds the lines in what a client sent, and whether they are lines at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::mail {

enum class LineEnds : uint8_t {
  kCrLf,   // CR LF and nothing else (RFC 5321 section 2.3.8): a lone LF spoils the line
  kAnyLf,  // CR LF; a lone LF too, as servers of these protocols take it
};

// What makes a line none. The octet's place decides, not when it came.
enum class LineFault : uint8_t { kBareLf, kBareCr, kNul };

class LineReader {
 public:
  explicit LineReader(LineEnds ends) : ends_(ends) {}

  enum class Kind : uint8_t {
    kMore,     // the line has not ended
    kLine,     // `line`
    kFault,    // `fault`, as soon as it is seen and once per line: what goes wrong shows at once
    kSkipped,  // the end of a line that had a fault
    kTooLong,  // beyond limits::kMaxDialogLine
  };
  struct Found {
    Kind kind = Kind::kMore;
    std::string_view line = {};  // without its end
    size_t size = 0;             // kLine, kSkipped: with its end
    LineFault fault = LineFault::kBareLf;
  };

  // Next looks at `wire`, which begins where a line begins: unless kLine or kSkipped took a line
  // away, with the octets of last time. Each octet is looked at once.
  Found Next(std::string_view wire);

 private:
  Found End(std::string_view wire);
  Found Fault(LineFault fault);

  LineEnds ends_;
  size_t scanned_ = 0;
  bool faulty_ = false;
};

}  // namespace postern::mail
