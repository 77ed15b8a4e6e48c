// What the certificate commands have in common: where the certificates are, and how a passphrase is
// come by.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "postern/config/config.h"
#include "postern/pki/certificate.h"
#include "postern/pki/material.h"

namespace postern::cli {

// --config and --directory, which exclude each other.
struct PlaceOptions {
  std::string config = kDefaultConfig;
  std::string directory;
  CLI::Option* config_option = nullptr;

  void AddTo(CLI::App& app);
};

struct Place {
  std::string directory;
  std::string default_name;              // what the configuration calls its default pair
  pki::PassphraseSource passphrase;      // of the directory's keys
  std::optional<config::Config> config;  // none with --directory, and on a machine that has none
};

// FindPlace says where the certificates are, or nothing after having said why that cannot be told.
// A machine that has no configuration yet has them where the default one looks for them.
std::optional<Place> FindPlace(const PlaceOptions& options);

// --passphrase SOURCE, for files that are read.
struct PassphraseOption {
  std::string text;

  void AddTo(CLI::App& app);
  // Nothing after having said what is wrong with it. Without the option it is the terminal, when
  // there is one, and else `fallback`.
  std::optional<pki::AskPassphrase> Ask(const pki::PassphraseSource& fallback = {}) const;
};

// One line per name: "a, b, c", at most `most` of them.
std::string Joined(const std::vector<std::string>& names, size_t most = SIZE_MAX);

bool Exists(const std::string& path);

// Certificates whose key is `key`: the pair NAME of `directory` by the directory's rules.
pki::PairFiles FilesOf(const Place& place, const std::string& name);

// Names of the pairs, certificates, requests and keys in the directory, sorted.
std::vector<std::string> NamesInStore(const std::string& directory);

}  // namespace postern::cli
