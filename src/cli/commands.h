// The commands of `postern`, one function per group. Each adds its subcommands to `app`; the one
// that is called sets `status` to the process's exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace postern::cli {

// Exit statuses. What systemd and scripts rely on; described in every --help.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;  // the command was understood, and what it asked for is not so
inline constexpr int kUsage = 2;   // the command was not understood

inline constexpr const char* kDefaultConfig = "/etc/postern/postern.toml";

void AddRunCommands(CLI::App& app, int& status);      // run, worker
void AddCheckCommand(CLI::App& app, int& status);     // check
void AddCiphersCommand(CLI::App& app, int& status);   // ciphers
void AddControlCommands(CLI::App& app, int& status);  // reload, stop, status
void AddCertCommands(CLI::App& app, int& status);     // cert ...

// AddConfigOption adds -c FILE, read into `path`, which must outlive the parse.
CLI::Option* AddConfigOption(CLI::App& app, std::string& path);

}  // namespace postern::cli
