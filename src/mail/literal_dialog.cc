// A literal of a refused command has to be read all the same when the client does not wait: what is
// in it is data, and would else be taken for commands. One that the client asks leave for is never
// let in where the answer is no in any case (RFC 9051 section 4.3: a tagged answer in place of the
// continuation says that it will not be read).
#include "mail/literal_dialog.h"

#include "postern/base/limits.h"

namespace postern::mail {

TextDialog::Verdict LiteralDialog::TakeLine(std::string_view line, std::string& reply) {
  if (!continued_) {
    const Verdict verdict = Begin(line, reply);
    if (verdict != Verdict::kAnswered) return verdict;
  }
  const auto mark = FindLiteralMark(line);
  if (!continued_ && !mark) return CarryOut(line, reply);
  command_ += line;
  if (!mark) return Finish(command_, reply);
  const bool fits = command_.size() + 2 < limits::kMaxDialogLine &&
                    mark->size <= limits::kMaxDialogLine - command_.size() - 2;
  if (mark->synchronising) {
    if (!fits || !AskFor(reply)) return Finish(command_, reply);
  } else if (!fits) {
    // RFC 7888 section 4: it is on its way; to close is the other way not to read it.
    return Verdict::kTooLong;
  }
  command_ += "\r\n";
  continued_ = true;
  ExpectLiteral(mark->size);
  return Verdict::kLiteral;
}

TextDialog::Verdict LiteralDialog::Finish(std::string_view command, std::string& reply) {
  const Verdict verdict = CarryOut(command, reply);
  command_.clear();
  continued_ = false;
  return verdict;
}

}  // namespace postern::mail
