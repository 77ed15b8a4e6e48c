// Which dialog speaks which protocol, and the names of their ends in logs and metrics.
#include "postern/mail/client_dialog.h"

#include "mail/text_dialog.h"

namespace postern::mail {

std::string_view ToString(DialogEnd end) {
  switch (end) {
    case DialogEnd::kNone:
      return "none";
    case DialogEnd::kQuit:
      return "quit";
    case DialogEnd::kInjection:
      return "injection";
    case DialogEnd::kLineTooLong:
      return "line-too-long";
    case DialogEnd::kTooManyErrors:
      return "too-many-errors";
    case DialogEnd::kTooManyCommands:
      return "too-many-commands";
    case DialogEnd::kSpokeFirst:
      return "spoke-first";
    case DialogEnd::kForeign:
      return "foreign";
    case DialogEnd::kTimeout:
      return "timeout";
    case DialogEnd::kGone:
      return "client-gone";
    case DialogEnd::kStopped:
      return "stopped";
  }
  return {};
}

std::unique_ptr<ClientDialog> MakeClientDialog(const DialogRules& rules) {
  switch (rules.protocol) {
    case DialogProtocol::kImap:
      return MakeImapClientDialog(rules);
    case DialogProtocol::kPop3:
      return MakePop3ClientDialog(rules);
    case DialogProtocol::kSmtp:
    case DialogProtocol::kLmtp:
      return MakeSmtpClientDialog(rules);
    case DialogProtocol::kSieve:
      return MakeSieveClientDialog(rules);
  }
  return nullptr;
}

}  // namespace postern::mail
