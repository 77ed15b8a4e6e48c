// The subcommands of `postern cert`, one function per file.
#pragma once

#include <CLI/CLI.hpp>

namespace postern::cli {

void AddCertSelfSigned(CLI::App& cert, int& status);
void AddCertRequest(CLI::App& cert, int& status);
void AddCertShow(CLI::App& cert, int& status);
void AddCertList(CLI::App& cert, int& status);  // list, check
void AddCertImport(CLI::App& cert, int& status);
void AddCertRevert(CLI::App& cert, int& status);

}  // namespace postern::cli
