// Site: a configuration with certificate files in a directory of its own, compiled as the master
// does and read as a worker does.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "postern/generation/certificate_index.h"
#include "postern/generation/compile.h"
#include "postern/generation/settings.h"
#include "postern/pki/file_stamp.h"
#include "tests/unit/generation/choices.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::generation {

// What a worker has of a generation.
struct Mapped {
  std::map<PartId, SegmentPtr> segments;
  SettingsPtr settings;
  CertificateIndexPtr index;
};

inline Mapped MapGeneration(const Generation& generation) {
  Mapped mapped;
  REQUIRE(generation.parts.size() >= 2);
  REQUIRE(generation.parts[0]->kind() == PartKind::kSettings);
  REQUIRE(generation.parts[1]->kind() == PartKind::kIndex);
  for (size_t i = 2; i < generation.parts.size(); ++i) {
    const Part& part = *generation.parts[i];
    Result<SegmentPtr> segment = Segment::Map(part.id(), part.kind(), part.fd());
    REQUIRE(segment.has_value());
    mapped.segments[part.id()] = *segment;
  }
  Result<SettingsPtr> settings = Settings::Map(generation.parts[0]->fd());
  REQUIRE(settings.has_value());
  mapped.settings = *settings;
  Result<CertificateIndexPtr> index =
      CertificateIndex::Map(generation.parts[1]->fd(), mapped.segments);
  REQUIRE(index.has_value());
  mapped.index = *index;
  return mapped;
}

inline std::string AllOf(const std::vector<Error>& errors) {
  std::string text;
  for (const Error& error : errors) text += error.ToString() + "\n";
  return text;
}

class Site {
 public:
  Site() : key(pki::MakeEcKey()) {
    loaded.config.path = "postern.toml";
    loaded.config.certificates.directory = directory.path();
    loaded.config.certificates.directory_set = true;
    loaded.config.certificates.where = {"postern.toml", 5, 1};
  }

  config::Certificates& certificates() { return loaded.config.certificates; }

  void Write(const std::string& name, const std::string& content) const {
    // A new file each time, as certificate tools do it: another inode.
    std::filesystem::remove(directory / name);
    std::ofstream(directory / name, std::ios::binary) << content;
    ::chmod((directory / name).c_str(), 0600);
  }
  void Remove(const std::string& name) const { std::filesystem::remove(directory / name); }

  // NAME.crt and NAME.key for `host`; each call makes another certificate, with the site's key.
  void Pair(const std::string& name, const std::string& host) const {
    pki::CertificateSpec spec;
    spec.common_name = host;
    spec.alternative_names = "DNS:" + host;
    Write(name + ".crt", pki::Pem(pki::MakeCertificate(spec, key.get()).get()));
    Write(name + ".key", pki::Pem(key.get()));
  }

  // [[certificates.pair]] of such files.
  void Configure(const std::string& file, const std::string& name, uint32_t line = 10) {
    certificates().pairs.push_back({name,
                                    directory / (file + ".crt"),
                                    directory / (file + ".key"),
                                    {"postern.toml", line, 1}});
  }

  GenerationPtr Compile(const GenerationPtr& previous = nullptr) {
    auto generation = generation::Compile(loaded, previous, ++number);
    if (!generation.has_value()) FAIL(AllOf(generation.error()));
    return *generation;
  }
  std::vector<Error> Faults(const GenerationPtr& previous = nullptr) {
    auto generation = generation::Compile(loaded, previous, ++number);
    REQUIRE_FALSE(generation.has_value());
    return generation.error();
  }

  // Waits until the files are old enough for their stamps to prove anything.
  void Settle() const {
    const auto settled = [&] {
      for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
        const Result<pki::FileStamp> stamp = pki::StampOf(entry.path());
        if (stamp && !stamp->settled) return false;
      }
      return true;
    };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!settled()) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  TemporaryDirectory directory;
  pki::KeyPtr key;
  config::Loaded loaded;
  uint64_t number = 0;
};

}  // namespace postern::generation
