// The part of the client dialogs that decides over octets rather than over words.
//
// A line is carried out only when it is whole, and the verdict on it depends on what stands before
// it, never on how the octets were cut into segments. The one exception is meant: octets behind
// STARTTLS. Those that came with it are named for what they are; those that come later run into the
// handshake, and fail there. Neither reach anybody (RFC 3207 section 6; CVE-2011-0411 and those
// that followed).
#include "mail/text_dialog.h"

#include <algorithm>
#include <array>

#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::mail {
namespace {

// A handshake record of any TLS version (RFC 8446 section 5.1): the client meant another port.
bool IsTlsRecord(std::string_view wire) { return wire.starts_with("\x16\x03"); }

constexpr std::array<std::string_view, 10> kHttpMethods = {
    "GET ",     "HEAD ",    "POST ",  "PUT ",   "DELETE ",
    "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI "};

}  // namespace

ClientDialog::Step TextDialog::Take(Bytes wire, std::string& reply) {
  // The answer to EHLO comes before anything behind it.
  POSTERN_CHECK(!awaits_keywords_);
  const std::string_view whole = AsText(wire);
  std::string_view rest = whole;
  const auto close = [&](DialogEnd end) {
    SayGoodbye(end, reply);
    return Step{Next::kClose, whole.size(), end};
  };
  // In words it would not understand the reply.
  if (!began_ && IsTlsRecord(whole)) return {Next::kClose, whole.size(), DialogEnd::kForeign};
  while (true) {
    const Verdict verdict = SkipLiteral(rest) ? TakeNext(rest, reply) : Verdict::kMore;
    began_ = began_ || rest.size() < whole.size();
    const size_t consumed = whole.size() - rest.size();
    switch (verdict) {
      case Verdict::kMore:
        return {Next::kMore, consumed};
      case Verdict::kAnswered:
      case Verdict::kLiteral:
        break;
      case Verdict::kRefused:
        if (++errors_ >= limits::kMaxDialogErrors) return close(DialogEnd::kTooManyErrors);
        break;
      case Verdict::kKeywords:
        awaits_keywords_ = true;
        return {Next::kKeywords, consumed};
      case Verdict::kStartTls:
        if (!rest.empty()) return close(DialogEnd::kInjection);
        SayStartTls(reply);
        return {Next::kStartTls, consumed};
      case Verdict::kPlain:
        return {Next::kPlain, consumed};
      case Verdict::kQuit:
        return {Next::kClose, whole.size(), DialogEnd::kQuit};
      case Verdict::kForeign:
        return close(DialogEnd::kForeign);
      case Verdict::kTooLong:
        return close(DialogEnd::kLineTooLong);
      case Verdict::kTooManyCommands:
        return close(DialogEnd::kTooManyCommands);
    }
  }
}

void TextDialog::AnswerEhlo(const EhloKeywords*, std::string&) { POSTERN_CHECK(false); }
void TextDialog::TakeLiteral(std::string_view) { POSTERN_CHECK(false); }

// TakeNext takes one line from `rest`; with kPlain it stays there.
TextDialog::Verdict TextDialog::TakeNext(std::string_view& rest, std::string& reply) {
  const LineReader::Found found = reader_.Next(rest);
  switch (found.kind) {
    case LineReader::Kind::kMore:
      return Verdict::kMore;
    case LineReader::Kind::kTooLong:
      return Verdict::kTooLong;
    case LineReader::Kind::kFault:
      RefuseLine(found.fault, reply);
      return Verdict::kRefused;
    case LineReader::Kind::kSkipped:
      rest.remove_prefix(found.size);
      return ++lines_ > limits::kMaxDialogCommands ? Verdict::kTooManyCommands : Verdict::kAnswered;
    case LineReader::Kind::kLine:
      break;
  }
  if (++lines_ > limits::kMaxDialogCommands) return Verdict::kTooManyCommands;
  // A browser that was made to talk to a mail server: what follows is somebody's choice of octets.
  if (lines_ == 1 && IsHttp(found.line)) return Verdict::kForeign;
  const Verdict verdict = TakeLine(found.line, reply);
  if (verdict != Verdict::kPlain) rest.remove_prefix(found.size);
  return verdict;
}

// SkipLiteral gives what is there of an awaited literal to TakeLiteral; true when nothing of it is
// missing.
bool TextDialog::SkipLiteral(std::string_view& rest) {
  const std::string_view part = rest.substr(0, literal_left_);
  if (!part.empty()) TakeLiteral(part);
  literal_left_ -= part.size();
  rest.remove_prefix(part.size());
  return literal_left_ == 0;
}

bool TextDialog::IsHttp(std::string_view line) const {
  const bool method = std::ranges::any_of(
      kHttpMethods, [line](std::string_view start) { return line.starts_with(start); });
  // In IMAP these words are good tags.
  return method && (rules_.protocol != DialogProtocol::kImap ||
                    line.find(" HTTP/") != std::string_view::npos);
}

std::string_view Describe(DialogEnd end) {
  switch (end) {
    case DialogEnd::kNone:
    case DialogEnd::kQuit:
      return "Goodbye";
    case DialogEnd::kInjection:
      return "Octets behind STARTTLS before the handshake";
    case DialogEnd::kLineTooLong:
      return "Line too long";
    case DialogEnd::kTooManyErrors:
      return "Too many errors";
    case DialogEnd::kTooManyCommands:
      return "Too many commands";
    case DialogEnd::kSpokeFirst:
      return "You spoke before the greeting";
    case DialogEnd::kForeign:
      return "This is a mail server, not a web server";
    case DialogEnd::kTimeout:
    case DialogEnd::kGone:
    case DialogEnd::kStopped:
      break;  // the session's, which has words of its own for them
  }
  return {};
}

std::string_view Describe(LineFault fault) {
  switch (fault) {
    case LineFault::kBareLf:
      return "Bare LF: lines end in CR LF";
    case LineFault::kBareCr:
      return "Bare CR: lines end in CR LF";
    case LineFault::kNul:
      return "NUL in a line";
  }
  return {};
}

}  // namespace postern::mail
