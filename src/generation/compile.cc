// Compile: everything a generation needs, in one pass that reports every fault. Nothing here is
// incremental but the reading of certificates: settings and index are small or quick to build, and
// built from scratch they depend on nothing but what is configured now.
#include "postern/generation/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "generation/authorities.h"
#include "generation/certificates.h"
#include "generation/index_image.h"
#include "generation/segments.h"
#include "generation/settings_image.h"
#include "generation/sources.h"

namespace postern::generation {
namespace {

using Sockets = std::vector<std::pair<uint32_t, os::SocketAddress>>;

Error At(Error error, const Where& where) {
  error.where = where;
  return error;
}

// ListSockets numbers the addresses of all listeners.
Sockets ListSockets(const config::Config& config, Generation& generation,
                    std::vector<Error>& faults) {
  Sockets sockets;
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const config::Listener& listener = config.listeners[i];
    for (const config::ListenAddress& listen : listener.addresses) {
      const auto address = os::SocketAddress::FromIp(listen.ip, listen.port);
      if (!address) {
        faults.push_back({fmt::format("listener {}: {} is no address of this machine's kind",
                                      listener.name, listen.ip),
                          "give a numeric address; the interface behind % must exist",
                          listen.where});
        continue;
      }
      sockets.emplace_back(static_cast<uint32_t>(i), *address);
      generation.sockets.push_back({*address, !listen.dual_stack, listener.name, listen.where});
    }
  }
  return sockets;
}

// Resolver looks every name up once.
class Resolver {
 public:
  Resolver(const Sources* previous, Sources& sources, std::vector<Error>& faults,
           std::vector<Error>& warnings)
      : previous_(previous), sources_(sources), faults_(faults), warnings_(warnings) {}

  ResolvedServer Resolve(const config::Backend& backend, const config::Server& server) {
    if (!server.unix_path.empty()) return UnixSocket(backend, server);
    const std::string key = fmt::format("{}:{}", server.host, server.port);
    auto [found, fresh] = results_.try_emplace(key);
    if (fresh) found->second = LookUp(server, key);
    const Lookup& lookup = found->second;
    if (lookup.error.has_value()) {
      Error warning = At(*lookup.error, server.where);
      warning.what =
          fmt::format("backend {}: server {}: {}", backend.name, server.text, warning.what);
      if (!lookup.addresses.empty()) warning.what += ", its addresses of before are kept";
      warnings_.push_back(std::move(warning));
    }
    if (!lookup.addresses.empty()) return {lookup.addresses, {}};
    return {{}, lookup.error.has_value() ? lookup.error->what : "it has no address"};
  }

 private:
  struct Lookup {
    std::vector<os::SocketAddress> addresses;
    std::optional<Error> error;
  };

  ResolvedServer UnixSocket(const config::Backend& backend, const config::Server& server) {
    const auto address = os::SocketAddress::FromUnixPath(server.unix_path);
    if (address) return {{*address}, {}};
    faults_.push_back({fmt::format("backend {}: the path of {} is too long for a socket",
                                   backend.name, server.text),
                       "use a path of at most 107 octets", server.where});
    return {};
  }

  Lookup LookUp(const config::Server& server, const std::string& key) {
    Lookup lookup;
    Result<std::vector<os::SocketAddress>> addresses = os::ResolveHost(server.host, server.port);
    if (addresses) {
      lookup.addresses = std::move(*addresses);
    } else {
      lookup.error = std::move(addresses.error());
      // A resolver that is down at a reload must not take down a back end that is up.
      if (previous_ != nullptr) {
        const auto before = previous_->resolved.find(key);
        if (before != previous_->resolved.end()) lookup.addresses = before->second;
      }
    }
    if (!lookup.addresses.empty()) sources_.resolved[key] = lookup.addresses;
    return lookup;
  }

  const Sources* previous_;
  Sources& sources_;
  std::vector<Error>& faults_;
  std::vector<Error>& warnings_;
  std::map<std::string, Lookup> results_;
};

Result<PartPtr> MakePart(PartKind kind, const std::vector<std::byte>& octets) {
  const PartId id = NextPartId();
  Result<os::UniqueFd> fd =
      os::MakeSealed(fmt::format("postern-{}-{}", ToString(kind), id), octets);
  if (!fd) return std::unexpected(fd.error());
  return std::make_shared<const Part>(id, kind, std::move(*fd), octets.size(), os::Mapping());
}

// Numbers the batches and describes the certificates for the index.
IndexInput DescribeIndex(const Collected& collected, std::vector<PartPtr>& segments) {
  std::map<PartId, BatchPtr> batches;  // by age, so that the numbering does not jump about
  for (const Candidate& candidate : collected.certificates) {
    const BatchPtr& batch = candidate.get().location.batch;
    batches.emplace(batch->certificates->id(), batch);
  }
  IndexInput input;
  std::map<const Batch*, uint32_t> numbers;
  for (const auto& [id, batch] : batches) {
    numbers.emplace(batch.get(), static_cast<uint32_t>(input.segments.size()));
    for (const PartPtr& part : {batch->certificates, batch->keys}) {
      input.segments.push_back({part->id(), static_cast<uint32_t>(part->kind())});
      segments.push_back(part);
    }
  }
  for (const Candidate& candidate : collected.certificates) {
    const StoredCertificate& stored = candidate.get();
    const Location& at = stored.location;
    const uint32_t segment = numbers.at(at.batch.get());
    input.certificates.push_back({stored.identity, stored.name, segment, at.chain_offset,
                                  at.chain_lengths, segment + 1, at.key_offset, at.key_length,
                                  stored.names, stored.key_kind, stored.schemes, at.staple_length,
                                  stored.staple_until});
  }
  input.default_certificate = collected.default_certificate;
  return input;
}

// One warning for all the names that one certificate loses to another.
void WarnOfLostNames(const IndexImage& image, const IndexInput& input, const Where& where,
                     std::vector<Error>& warnings) {
  std::map<std::pair<uint32_t, uint32_t>, std::vector<std::string>> by_pair;
  for (const LostName& lost : image.lost) {
    by_pair[{lost.loser, lost.winner}].push_back(lost.name);
  }
  for (const auto& [pair, names] : by_pair) {
    constexpr size_t kShown = 3;
    std::string list = names[0];
    for (size_t i = 1; i < std::min(names.size(), kShown); ++i) list += ", " + names[i];
    if (names.size() > kShown) list += fmt::format(" and {} more", names.size() - kShown);
    warnings.push_back(
        {fmt::format("certificate \"{}\" does not serve {}: certificate \"{}\", which "
                     "comes first, does",
                     input.certificates[pair.first].name, list,
                     input.certificates[pair.second].name),
         "remove one of the two, or list first the one that shall serve", where});
  }
}

PartPtr PartOf(const Generation& generation, PartKind kind) {
  for (const PartPtr& part : generation.parts) {
    if (part->kind() == kind) return part;
  }
  return nullptr;
}

bool SameTrust(const pki::Trust& a, const pki::Trust& b) {
  return a.certificates == b.certificates && a.crls == b.crls;
}

// IndexPart takes the previous index when it says the same.
Result<PartPtr> IndexPart(const std::vector<std::byte>& octets, const GenerationPtr& previous) {
  const PartPtr before = previous == nullptr ? nullptr : PartOf(*previous, PartKind::kIndex);
  if (before != nullptr && before->size() == octets.size()) {
    const Result<os::Mapping> mapping = os::MapFd(before->fd(), os::MapMode::kReadOnly);
    if (mapping && std::ranges::equal(mapping->bytes(), Bytes(octets))) return before;
  }
  return MakePart(PartKind::kIndex, octets);
}

// AddCertificates stores what was collected and makes the index.
Status AddCertificates(Collected& collected, SegmentCache& cache, const Where& where,
                       const GenerationPtr& previous, Sources& sources, Generation& generation) {
  if (Status placed = PlaceAll(collected.certificates, cache, generation.warnings); !placed) {
    return placed;
  }
  std::vector<PartPtr> segments;
  const IndexInput input = DescribeIndex(collected, segments);
  const IndexImage image = BuildIndex(input);
  WarnOfLostNames(image, input, where, generation.warnings);
  Result<PartPtr> index = IndexPart(image.bytes, previous);
  if (!index) return std::unexpected(index.error());
  generation.parts.push_back(std::move(*index));
  generation.parts.insert(generation.parts.end(), segments.begin(), segments.end());
  for (Candidate& candidate : collected.certificates) {
    const StoredCertificate& stored = candidate.get();
    const int64_t not_after = stored.periods.front().not_after;
    if (generation.soonest_name.empty() || not_after < generation.soonest_expiry_s) {
      generation.soonest_name = stored.name;
      generation.soonest_expiry_s = not_after;
    }
    sources.certificates.push_back(candidate.changed != nullptr ? StoredPtr(candidate.changed)
                                                                : candidate.kept);
  }
  generation.certificates = static_cast<uint32_t>(collected.certificates.size());
  generation.certificates_read = collected.read;
  return {};
}

void Summarize(const std::vector<config::Backend>& backends, const Collected& collected,
               Generation& generation) {
  for (const Candidate& candidate : collected.certificates) {
    const StoredCertificate& stored = candidate.get();
    const pki::Period leaf = stored.periods.front();
    generation.summaries.push_back({stored.name, stored.names, stored.key_type, leaf.not_before,
                                    leaf.not_after, stored.certificate_path, stored.key_path,
                                    generation.summaries.size() == collected.default_certificate});
  }
  for (size_t i = 0; i < backends.size(); ++i) {
    const uint32_t certificate = collected.of_backend[i];
    if (certificate == kNoCertificate) continue;
    generation.summaries[certificate].backend = backends[i].name;
  }
}

}  // namespace

std::expected<GenerationPtr, std::vector<Error>> Compile(const config::Loaded& loaded,
                                                         const GenerationPtr& previous,
                                                         uint64_t number, Occasion occasion,
                                                         Summaries summaries) {
  const config::Config& config = loaded.config;
  const Sources* before = previous != nullptr ? previous->sources.get() : nullptr;
  auto generation = std::make_shared<Generation>();
  auto sources = std::make_shared<Sources>();
  generation->number = number;
  std::vector<Error> faults;

  SegmentCache cache;
  Collected collected = Collect(config.certificates, config.backends, before, cache, occasion,
                                faults, generation->warnings);
  const Sockets sockets = ListSockets(config, *generation, faults);
  Resolver resolver(before, *sources, faults, generation->warnings);
  std::vector<ResolvedServer> servers;
  for (const config::Backend& backend : config.backends) {
    for (const config::Server& server : backend.servers) {
      servers.push_back(resolver.Resolve(backend, server));
    }
  }
  std::vector<Error>& unreadable =
      occasion == Occasion::kWatch && before != nullptr ? collected.waiting : faults;
  ReadTrust trust = ReadAuthorities(config, before, unreadable, generation->warnings);
  if (!faults.empty()) return std::unexpected(std::move(faults));

  Result<PartPtr> settings =
      MakePart(PartKind::kSettings,
               BuildSettings(config, number, sockets, servers, trust, collected.of_backend));
  if (!settings) return std::unexpected(std::vector{settings.error()});
  generation->parts.push_back(std::move(*settings));
  if (Status added = AddCertificates(collected, cache, config.certificates.where, previous,
                                     *sources, *generation);
      !added) {
    return std::unexpected(std::vector{added.error()});
  }
  if (summaries == Summaries::kMade) Summarize(config.backends, collected, *generation);
  sources->trust = std::move(trust.sets);
  generation->waiting = std::move(collected.waiting);
  generation->sources = std::move(sources);
  return generation;
}

bool ServesTheSame(const Generation& a, const Generation& b) {
  if (a.sources == nullptr || b.sources == nullptr) return false;
  // The index names segments and places, so an equal one has everything in the same place.
  return PartOf(a, PartKind::kIndex) == PartOf(b, PartKind::kIndex) &&
         std::ranges::equal(a.sources->trust, b.sources->trust, SameTrust);
}

std::vector<Error> CheckBackendFiles(const std::vector<config::Backend>& backends, bool may_ask) {
  std::vector<Error> faults;
  std::vector<Error> warnings;
  SegmentCache cache;
  CollectForBackends(backends, cache, may_ask, faults, warnings);
  config::Config config;
  config.backends = backends;
  ReadAuthorities(config, nullptr, faults, warnings);
  return faults;
}

}  // namespace postern::generation
