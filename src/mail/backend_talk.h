// BackendTalk: what the dialogs with servers of all protocols have in common: responses, bounds,
// and that a server speaks when it is asked. A protocol says what a response means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mail/line_reader.h"
#include "postern/mail/backend_dialog.h"

namespace postern::mail {

class BackendTalk : public BackendDialog {
 public:
  Step TakeServer(Bytes wire, std::string& to_server, std::string& to_client) final;
  Step Secured(std::string& to_server, std::string& to_client) final;

  // For protocols in which the client is not listened to.
  bool wants_client() const override { return false; }
  Step TakeClient(Bytes wire, std::string& to_server, std::string& to_client) override;
  const EhloKeywords* keywords() const override { return nullptr; }
  const std::string& failure_detail() const final { return detail_; }

 protected:
  // How responses are built.
  enum class Strings : uint8_t {
    kNone,      // a line each
    kLiterals,  // a response goes on behind a literal (RFC 9051 section 4.3, RFC 5804 section 4)
  };
  BackendTalk(const BackendRules& rules, Strings strings) : rules_(rules), strings_(strings) {}

  struct Out {
    std::string& server;
    std::string& client;
  };

  // What a response led to.
  enum class Verdict : uint8_t {
    kMore,      // the answer goes on with the next response
    kSaid,      // the answer was whole, and Say has said the next command
    kWait,      // the answer was whole; the next word is the server's (after TLS), or the client's
    kStartTls,  // the server is ready for the handshake
    kReady,
    kFailed,  // as Fail returned it
  };

  // TakeResponse takes a response, without the end of its (last) line; a literal's octets stand in
  // it behind the CR LF that follows the mark.
  virtual Verdict TakeResponse(std::string_view response, const Out& out) = 0;
  // OnSecured says what comes first inside TLS.
  virtual Verdict OnSecured(const Out& out) = 0;

  // Say says a command; what comes next answers it.
  Verdict Say(std::string_view command, const Out& out);
  // Fail notes why: a clause about the server, and its own words behind it when there are any.
  Verdict Fail(BackendFailure failure, std::string_view detail, std::string_view response = {});
  // Conclude makes a step of a verdict, for octets of which `rest` are left.
  Step Conclude(Verdict verdict, size_t consumed, std::string_view rest);
  const BackendRules& rules() const { return rules_; }

 private:
  bool TakeLiteral(std::string_view& rest);
  bool ReadResponse(std::string_view& rest, std::string_view& response);

  const BackendRules rules_;
  const Strings strings_;
  LineReader reader_{LineEnds::kCrLf};
  std::string joined_;       // what is there of a response with a literal
  std::string_view faulty_;  // why the octets are none, after ReadResponse
  size_t literal_left_ = 0;
  bool continued_ = false;  // the next line belongs to joined_
  size_t answer_size_ = 0;  // octets since the last command
  BackendFailure failure_ = BackendFailure::kNone;
  std::string detail_;
};

// The dialogs (MakeBackendDialog chooses).
std::unique_ptr<BackendDialog> MakeSmtpBackendDialog(const BackendRules& rules);  // and LMTP
std::unique_ptr<BackendDialog> MakeImapBackendDialog(const BackendRules& rules);
std::unique_ptr<BackendDialog> MakePop3BackendDialog(const BackendRules& rules);
std::unique_ptr<BackendDialog> MakeSieveBackendDialog(const BackendRules& rules);

}  // namespace postern::mail
