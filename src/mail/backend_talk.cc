// The part of the dialogs with servers that decides over octets rather than over words.
//
// A dialog asks one thing at a time. So octets that lie behind a whole answer when the next command
// is said answer nothing: before TLS somebody on the way may have put them there, to be taken for
// the answer to come. They end the dialog, behind the answer to STARTTLS under a name of their own
// (CVE-2020-14954 and its kind; RFC 3207 section 6).
//
// A line that another reader would cut elsewhere is not passed on as if it were one: a server that
// writes such lines is not understood.
#include "mail/backend_talk.h"

#include <algorithm>

#include "mail/literal_string.h"
#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::mail {
namespace {

// Of what a server said, for a log line.
constexpr size_t kQuotedOctets = 160;

std::string_view Describe(LineReader::Kind kind, LineFault fault) {
  if (kind == LineReader::Kind::kTooLong) return "sends a line that is too long";
  switch (fault) {
    case LineFault::kBareLf:
      return "sends a bare LF";
    case LineFault::kBareCr:
      return "sends a bare CR";
    case LineFault::kNul:
      return "sends NUL in a line";
  }
  return {};
}

}  // namespace

BackendDialog::Step BackendTalk::TakeServer(Bytes wire, std::string& to_server,
                                            std::string& to_client) {
  const Out out{to_server, to_client};
  const std::string_view whole = AsText(wire);
  std::string_view rest = whole;
  while (true) {
    const size_t before = whole.size() - rest.size();
    // It speaks though the client is to: nothing that a dialog asked for, so it is the client's.
    if (wants_client() && !rest.empty()) return {Next::kReady, before};
    std::string_view response;
    if (!ReadResponse(rest, response)) {
      if (!faulty_.empty()) Fail(BackendFailure::kProtocol, faulty_);
      const size_t consumed = whole.size() - rest.size();
      return Conclude(faulty_.empty() ? Verdict::kMore : Verdict::kFailed, consumed, rest);
    }
    const Verdict verdict = TakeResponse(response, out);
    joined_.clear();
    if (verdict == Verdict::kMore || (verdict == Verdict::kWait && wants_client())) continue;
    return Conclude(verdict, whole.size() - rest.size(), rest);
  }
}

BackendDialog::Step BackendTalk::Secured(std::string& to_server, std::string& to_client) {
  answer_size_ = 0;
  return Conclude(OnSecured({to_server, to_client}), 0, {});
}

BackendDialog::Step BackendTalk::TakeClient(Bytes, std::string&, std::string&) {
  POSTERN_CHECK(false);
  return {};
}

BackendDialog::Step BackendTalk::Conclude(Verdict verdict, size_t consumed, std::string_view rest) {
  switch (verdict) {
    case Verdict::kMore:
    case Verdict::kWait:
      return {Next::kMore, consumed};
    case Verdict::kSaid:
      if (rest.empty()) return {Next::kMore, consumed};
      Fail(BackendFailure::kProtocol, "speaks out of turn", rest);
      break;
    case Verdict::kStartTls:
      if (rest.empty()) return {Next::kStartTls, consumed};
      Fail(BackendFailure::kInjection,
           "sent octets behind its answer to STARTTLS, before the handshake", rest);
      break;
    case Verdict::kReady:
      return {Next::kReady, consumed};
    case Verdict::kFailed:
      break;
  }
  return {Next::kFailed, consumed, failure_};
}

BackendTalk::Verdict BackendTalk::Say(std::string_view command, const Out& out) {
  answer_size_ = 0;
  out.server.append(command).append("\r\n");
  return Verdict::kSaid;
}

BackendTalk::Verdict BackendTalk::Fail(BackendFailure failure, std::string_view detail,
                                       std::string_view response) {
  failure_ = failure;
  detail_ = detail;
  if (response.empty()) return Verdict::kFailed;
  detail_ += ": \"";
  for (const char octet : response.substr(0, kQuotedOctets)) {
    detail_ += octet >= ' ' && octet < '\x7F' && octet != '"' ? octet : '?';
  }
  if (response.size() > kQuotedOctets) detail_ += "...";
  detail_ += '"';
  return Verdict::kFailed;
}

// ReadResponse takes a whole response from `rest`. False: none is there yet, or what is there is
// none (faulty_).
bool BackendTalk::ReadResponse(std::string_view& rest, std::string_view& response) {
  while (TakeLiteral(rest)) {
    const LineReader::Found found = reader_.Next(rest);
    if (found.kind == LineReader::Kind::kMore) return false;
    if (found.kind != LineReader::Kind::kLine) {
      faulty_ = Describe(found.kind, found.fault);
      return false;
    }
    answer_size_ += found.size;
    const auto mark = strings_ == Strings::kLiterals ? FindLiteralMark(found.line) : std::nullopt;
    if (answer_size_ > limits::kMaxServerAnswer ||
        (mark && mark->size > limits::kMaxServerAnswer - answer_size_)) {
      faulty_ = "sends an answer that is too long";
      return false;
    }
    rest.remove_prefix(found.size);
    if (mark) {
      joined_.append(found.line).append("\r\n");
      literal_left_ = mark->size;
      continued_ = true;
      continue;
    }
    response = found.line;
    if (continued_) response = joined_.append(found.line);
    continued_ = false;
    return true;
  }
  return false;
}

// TakeLiteral moves what is there of an awaited literal to joined_; true when nothing is missing.
bool BackendTalk::TakeLiteral(std::string_view& rest) {
  const std::string_view part = rest.substr(0, literal_left_);
  joined_ += part;
  literal_left_ -= part.size();
  answer_size_ += part.size();
  rest.remove_prefix(part.size());
  return literal_left_ == 0;
}

}  // namespace postern::mail
