// The gates (MakeGate chooses).
#pragma once

#include <memory>

#include "postern/mail/gate.h"

namespace postern::mail {

std::unique_ptr<Gate> MakeImapGate(const GateRules& rules);
std::unique_ptr<Gate> MakePop3Gate(const GateRules& rules);
std::unique_ptr<Gate> MakeSmtpGate(const GateRules& rules);  // and LMTP
std::unique_ptr<Gate> MakeSieveGate(const GateRules& rules);

}  // namespace postern::mail
