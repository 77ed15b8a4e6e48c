// Where a line ends is decided here alone, for all dialogs. What two readers see in two ways is how
// commands are smuggled, so an octet that may not stand in a line spoils all of it: nothing of it
// is carried out, wherever another reader would have cut it.
#include "mail/line_reader.h"

#include "postern/base/limits.h"

namespace postern::mail {

LineReader::Found LineReader::Next(std::string_view wire) {
  for (; scanned_ < wire.size(); ++scanned_) {
    const char octet = wire[scanned_];
    const bool after_cr = scanned_ > 0 && wire[scanned_ - 1] == '\r';
    if (octet == '\n') {
      if (after_cr || ends_ == LineEnds::kAnyLf) return End(wire);
      if (!faulty_) return Fault(LineFault::kBareLf);
    } else if (!faulty_ && after_cr) {
      return Fault(LineFault::kBareCr);
    } else if (!faulty_ && octet == '\0') {
      return Fault(LineFault::kNul);
    }
    if (scanned_ + 1 == limits::kMaxDialogLine) return {.kind = Kind::kTooLong};
  }
  return {};
}

LineReader::Found LineReader::End(std::string_view wire) {
  Found found{.kind = faulty_ ? Kind::kSkipped : Kind::kLine, .size = scanned_ + 1};
  found.line = wire.substr(0, scanned_);
  if (found.line.ends_with('\r')) found.line.remove_suffix(1);
  scanned_ = 0;
  faulty_ = false;
  return found;
}

LineReader::Found LineReader::Fault(LineFault fault) {
  faulty_ = true;
  // The octet is looked at again: after a bare CR it may be a CR that begins the line's end.
  return {.kind = Kind::kFault, .fault = fault};
}

}  // namespace postern::mail
