// cert: everything about certificates that does not need a running Postern. What runs takes changes
// up at its next reload.
#include "cert_commands.h"

#include "commands.h"

namespace postern::cli {

void AddCertCommands(CLI::App& app, int& status) {
  CLI::App* cert = app.add_subcommand("cert", "Make, import, show and check certificates");
  cert->require_subcommand(1);
  cert->footer(R"(
From nothing to a certificate:
  postern cert csr mail.example.com       makes a key and a request for the authority
  postern cert import answer.pem          takes what the authority sent, whatever its form
  postern reload                          serves it
and back, should it be no good: postern cert revert mail.example.com)");
  AddCertSelfSigned(*cert, status);
  AddCertRequest(*cert, status);
  AddCertImport(*cert, status);
  AddCertShow(*cert, status);
  AddCertList(*cert, status);
  AddCertRevert(*cert, status);
}

}  // namespace postern::cli
