// Making a generation of 1, 100 and 1,000 certificates, from their files to sealed parts: all of
// them new, none changed, one changed. And a worker's side of it: mapping the parts and checking
// them.
#include <benchmark/benchmark.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "key_kinds.h"
#include "postern/base/check.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/compile.h"
#include "postern/generation/settings.h"
#include "postern/pki/file_stamp.h"
#include "verify.h"

namespace postern::bench {
namespace {

// Site is a directory with `pairs` pairs NAME.crt and NAME.key, removed in the end.
class Site {
 public:
  explicit Site(int64_t pairs) {
    std::string name = (std::filesystem::temp_directory_path() / "postern-bench-XXXXXX").string();
    POSTERN_CHECK(::mkdtemp(name.data()) != nullptr);
    directory_ = name;
    for (int64_t i = 0; i < pairs; ++i) WritePair(i);
    loaded_.config.path = "bench.toml";
    loaded_.config.certificates.directory = directory_.string();
    loaded_.config.certificates.directory_set = true;
    loaded_.config.certificates.default_name = "host0";
  }
  ~Site() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  void WritePair(int64_t i) {
    const std::string name = "host" + std::to_string(i);
    EVP_PKEY* key = KeyOf(KeyKind::kEcdsaP256);
    const auto certificate =
        MakeCertificate(name + ".example.com", key, DigestOf(KeyKind::kEcdsaP256));
    Write(name + ".crt", CertificatePem(certificate.get()));
    Write(name + ".key", KeyPem(key));
  }

  // Null when it fails.
  generation::GenerationPtr Compile(const generation::GenerationPtr& previous) {
    auto made = generation::Compile(loaded_, previous, ++number_);
    return made ? *made : nullptr;
  }

  // All files are old enough for an unchanged stamp to prove that they are unchanged.
  bool Settled() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      const auto stamp = pki::StampOf(entry.path());
      if (!stamp || !stamp->settled) return false;
    }
    return true;
  }

 private:
  // A new file each time, as certificate tools do it.
  void Write(const std::string& name, const std::string& content) {
    const std::filesystem::path path = directory_ / name;
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), 0600);
  }

  std::filesystem::path directory_;
  config::Loaded loaded_;
  uint64_t number_ = 0;
};

constexpr int64_t kSizes[] = {1, 100, 1000};

// The sites, all made at once so that one wait lets all their files settle.
Site& SiteOf(int64_t pairs) {
  static const std::map<int64_t, std::unique_ptr<Site>> sites = [] {
    std::map<int64_t, std::unique_ptr<Site>> made;
    for (const int64_t size : kSizes) made[size] = std::make_unique<Site>(size);
    return made;
  }();
  Site& site = *sites.at(pairs);
  while (!site.Settled()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  return site;
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("pairs")->Unit(benchmark::kMicrosecond);
  for (const int64_t size : kSizes) benchmark->Arg(size);
}

// Whether `generation` has `pairs` certificates of which `read` came from files.
bool Is(const generation::GenerationPtr& generation, int64_t pairs, int64_t read) {
  return generation != nullptr && generation->certificates == pairs &&
         generation->certificates_read == read;
}

void CompileNew(benchmark::State& state) {
  Site& site = SiteOf(state.range(0));
  for (auto _ : state) {
    const auto made = site.Compile(nullptr);
    if (!Is(made, state.range(0), state.range(0))) return Wrong(state, "not all were read");
  }
  PerCore(state, state.range(0));
}
BENCHMARK(CompileNew)->Apply(Sizes);

void CompileUnchanged(benchmark::State& state) {
  Site& site = SiteOf(state.range(0));
  const auto previous = site.Compile(nullptr);
  for (auto _ : state) {
    const auto made = site.Compile(previous);
    if (!Is(made, state.range(0), 0)) return Wrong(state, "an unchanged file was read");
  }
  PerCore(state, state.range(0));
}
BENCHMARK(CompileUnchanged)->Apply(Sizes);

void CompileOneChanged(benchmark::State& state) {
  Site& site = SiteOf(state.range(0));
  const auto previous = site.Compile(nullptr);
  for (auto _ : state) {
    state.PauseTiming();
    site.WritePair(state.range(0) / 2);
    state.ResumeTiming();
    const auto made = site.Compile(previous);
    if (!Is(made, state.range(0), 1)) return Wrong(state, "another number than one was read");
  }
  PerCore(state, state.range(0));
}
BENCHMARK(CompileOneChanged)->Apply(Sizes);

// What a worker does before it answers "ready", less the certificates that it parses on demand.
void LoadParts(benchmark::State& state) {
  const auto made = SiteOf(state.range(0)).Compile(nullptr);
  if (made == nullptr) return Wrong(state, "the generation was not made");
  for (auto _ : state) {
    const auto settings = generation::Settings::Map(made->parts[0]->fd());
    std::map<generation::PartId, generation::SegmentPtr> segments;
    for (size_t i = 2; i < made->parts.size(); ++i) {
      const generation::Part& part = *made->parts[i];
      const auto segment = generation::Segment::Map(part.id(), part.kind(), part.fd());
      if (segment) segments[part.id()] = *segment;
    }
    const auto index = generation::CertificateIndex::Map(made->parts[1]->fd(), segments);
    if (!settings || !index || (*index)->size() != made->certificates ||
        (*index)->Find("host0.example.com").empty()) {
      return Wrong(state, "the parts do not map");
    }
  }
  PerCore(state, state.range(0));
}
BENCHMARK(LoadParts)->Apply(Sizes);

}  // namespace
}  // namespace postern::bench
