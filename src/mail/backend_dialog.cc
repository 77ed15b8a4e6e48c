// Which dialog speaks which protocol to a server, and when there is none to be held.
#include "postern/mail/backend_dialog.h"

#include "mail/backend_talk.h"

namespace postern::mail {

std::unique_ptr<BackendDialog> MakeBackendDialog(const BackendRules& rules) {
  const bool nothing_to_say = !rules.starttls && !rules.identify && !rules.probe &&
                              rules.greet_client && !rules.filter_ehlo && rules.replay.empty();
  if (nothing_to_say) return nullptr;
  switch (rules.protocol) {
    case DialogProtocol::kImap:
      return MakeImapBackendDialog(rules);
    case DialogProtocol::kPop3:
      return MakePop3BackendDialog(rules);
    case DialogProtocol::kSmtp:
    case DialogProtocol::kLmtp:
      return MakeSmtpBackendDialog(rules);
    case DialogProtocol::kSieve:
      return MakeSieveBackendDialog(rules);
  }
  return nullptr;
}

}  // namespace postern::mail
