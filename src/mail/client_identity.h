// Who the client is, in the words of each protocol.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/mail/backend_dialog.h"

namespace postern::mail {

// XclientCommands gives XCLIENT commands, without line ends, that tell `client` by the attributes
// in `offered` (what stands behind XCLIENT in the answer to EHLO). The address comes last: who has
// told it is a client like any other (Postfix's XCLIENT_README). Empty when the server does not
// take an address. `hello_verb` is what the client said before its name, or empty.
std::vector<std::string> XclientCommands(const ClientIdentity& client, std::string_view hello_verb,
                                         std::string_view offered);

// LoginXclient is the command of Dovecot's POP3 and ManageSieve servers.
std::string LoginXclient(const ClientIdentity& client);

// ImapIdList is the argument of ID, with Dovecot's fields (RFC 2971 section 3.3 has x- for those).
std::string ImapIdList(const ClientIdentity& client);

}  // namespace postern::mail
