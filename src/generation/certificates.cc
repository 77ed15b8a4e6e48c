// Collecting certificates. A file is taken for unchanged by its stamp; one that was touched but
// says the same (certbot and configuration management do that) is read, found equal to what is
// stored, and stored no second time.
#include "generation/certificates.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "generation/look_ahead.h"
#include "postern/config/suggest.h"
#include "postern/generation/certificate_files.h"
#include "postern/generation/settings.h"

namespace postern::generation {
namespace {

std::string FileStem(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (const size_t dot = name.rfind('.'); dot != std::string::npos && dot != 0) name.resize(dot);
  return name;
}

class Collector {
 public:
  Collector(const config::Certificates& certificates, const Sources* previous, SegmentCache& cache,
            Occasion occasion, std::vector<Error>& faults, std::vector<Error>& warnings)
      : certificates_(certificates),
        cache_(cache),
        occasion_(occasion),
        faults_(faults),
        warnings_(warnings) {
    if (previous == nullptr) return;
    for (const StoredPtr& stored : previous->certificates) {
      known_.emplace(stored->certificate_path, &stored);
    }
  }

  Collected Run(const std::vector<config::Backend>& backends) {
    const size_t faults_before = faults_.size();
    const std::vector<CertificateFiles> all =
        ListCertificates(certificates_, faults_, occasion_ == Occasion::kWatch);
    listing_failed_ = faults_.size() > faults_before;
    std::vector<StoredPtr> known;
    known.reserve(all.size());
    for (const CertificateFiles& files : all) known.push_back(Known(files));
    std::vector<Looked> looked = LookAhead(all, known);
    collected_.certificates.reserve(all.size());
    names_.reserve(all.size());
    for (size_t i = 0; i < all.size(); ++i) Take(all[i], known[i], std::move(looked[i]));
    ChooseDefault();
    WarnOfNameless();
    return RunForBackends(backends);
  }

  Collected RunForBackends(const std::vector<config::Backend>& backends) {
    for (const config::Backend& backend : backends) TakeForBackend(backend);
    return std::move(collected_);
  }

 private:
  // What the generation before has of these files, or null.
  StoredPtr Known(const CertificateFiles& files) const {
    const auto [first, end] = known_.equal_range(files.files.certificate);
    for (auto at = first; at != end; ++at) {
      const StoredPtr& stored = *at->second;
      if (stored->key_path == files.files.key && stored->given_name == files.given_name) {
        return stored;
      }
    }
    return nullptr;
  }

  void Take(const CertificateFiles& files, const StoredPtr& known, Looked looked) {
    if (files.from_directory && names_.contains(files.given_name)) {
      warnings_.push_back(
          {fmt::format("{} is not used: a [[certificates.pair]] has the name \"{}\"",
                       files.files.certificate, files.given_name),
           "rename the file, or give the pair another name", files.where});
      return;
    }
    Candidate candidate;
    if (looked.unchanged) {
      candidate.kept = known;
    } else if (Read(files, known, std::move(looked.pair), candidate)) {
      // Taken.
    } else if (occasion_ == Occasion::kWatch && known != nullptr) {
      candidate.kept = known;
    } else {
      if (files.given_name.empty()) {
        a_name_is_unknown_ = true;
      } else {
        names_.insert(files.given_name);
      }
      return;
    }
    TakeStaple(files, candidate);
    const StoredCertificate& stored = candidate.get();
    if (!names_.insert(stored.name).second) {
      faults_.push_back({fmt::format("two certificates have the name \"{}\"; the second is {}",
                                     stored.name, stored.certificate_path),
                         "give this pair a name of its own: name = \"...\"", files.where});
      return;
    }
    Warn(stored, files.where);
    collected_.certificates.push_back(std::move(candidate));
  }

  // The pair that servers are shown: stored as all others, but no name leads to it.
  void TakeForBackend(const config::Backend& backend) {
    collected_.of_backend.push_back(kNoCertificate);
    const std::optional<CertificateFiles> files = FilesForServers(backend);
    if (!files) return;
    const StoredPtr known = Known(*files);
    Candidate candidate;
    if (known != nullptr && Unchanged(*known)) {
      candidate.kept = known;
    } else if (Read(*files, known, nullptr, candidate)) {
      candidate.changed->names.clear();
    } else if (occasion_ == Occasion::kWatch && known != nullptr) {
      candidate.kept = known;
    } else {
      return;
    }
    WarnForServers(candidate.get(), files->where);
    collected_.of_backend.back() = static_cast<uint32_t>(collected_.certificates.size());
    collected_.certificates.push_back(std::move(candidate));
  }

  void WarnForServers(const StoredCertificate& stored, const Where& where) {
    for (Error warning :
         pki::PeriodWarnings(stored.certificate_path, stored.periods, std::time(nullptr))) {
      if (warning.what.contains("expired")) warning.remedy = "renew it; the servers refuse it";
      warning.where = where;
      warnings_.push_back(std::move(warning));
    }
    for (Error weakness : stored.weaknesses) {
      weakness.where = where;
      warnings_.push_back(std::move(weakness));
    }
  }

  // Load reads the files, whatever is to be said of them; null after a fault.
  std::unique_ptr<pki::Pair> Load(const CertificateFiles& files) {
    pki::PairFiles where = files.files;
    where.may_ask = occasion_ == Occasion::kStart;
    Result<pki::Pair> pair = pki::LoadPair(where);
    if (pair) return std::make_unique<pki::Pair>(std::move(*pair));
    Error fault = std::move(pair.error());
    fault.where = files.where;
    (occasion_ == Occasion::kWatch ? collected_.waiting : faults_).push_back(std::move(fault));
    return nullptr;
  }

  // Read fills `candidate` from `pair` or, when that is null, from the files; false after a fault.
  bool Read(const CertificateFiles& files, const StoredPtr& known, std::unique_ptr<pki::Pair> pair,
            Candidate& candidate) {
    if (pair == nullptr) pair = Load(files);
    if (pair == nullptr) return false;
    ++collected_.read;
    auto stored = std::make_shared<StoredCertificate>();
    stored->certificate_path = files.files.certificate;
    stored->key_path = files.files.key;
    stored->chain_path = files.files.chain;
    stored->given_name = files.given_name;
    stored->certificate_stamp = pair->certificate_stamp;
    stored->key_stamp = pair->key_stamp;
    stored->chain_stamp = pair->chain_stamp;
    stored->name = files.given_name;
    if (stored->name.empty()) {
      stored->name = pair->names.empty() ? FileStem(files.files.certificate) : pair->names.front();
    }
    stored->names = std::move(pair->names);
    stored->periods = std::move(pair->periods);
    stored->key_type = std::move(pair->key_type);
    stored->key_kind = pair->key_kind;
    stored->schemes = pair->schemes;
    stored->must_staple = pair->must_staple;
    stored->weaknesses = std::move(pair->weaknesses);
    if (known != nullptr && SameContent(*known, *pair)) {
      stored->identity = known->identity;
      stored->location = known->location;
      stored->staple_path = known->staple_path;
      stored->staple_stamp = known->staple_stamp;
      stored->staple_until = known->staple_until;
    } else {
      stored->identity = NextIdentity();
      candidate.fresh = std::move(pair);
    }
    candidate.changed = std::move(stored);
    return true;
  }

  // TakeStaple sees to the OCSP response, whether the certificate is new or not. One that is wrong
  // or out of date is left out, with a warning: the certificate serves as well without.
  void TakeStaple(const CertificateFiles& files, Candidate& candidate) {
    const StoredCertificate& stored = candidate.get();
    const std::time_t now = std::time(nullptr);
    if (stored.location.staple_length != 0 && stored.staple_path == files.staple_path &&
        stored.staple_until > now) {
      const Result<pki::FileStamp> stamp = pki::StampOf(files.staple_path);
      if (stamp && stored.staple_stamp.SameFile(*stamp)) return;
    }
    if (files.staple_path.empty()) {
      if (stored.must_staple) WarnOfMustStaple(files);
      return DropStaple(candidate);
    }
    Result<pki::Staple> staple = pki::LoadStaple(files.staple_path, ChainOf(candidate), now);
    if (!staple) {
      Error warning = std::move(staple.error());
      warning.where = files.where;
      if (occasion_ == Occasion::kWatch && StapleStillHolds(candidate, now)) {
        collected_.waiting.push_back(std::move(warning));
        return;
      }
      warnings_.push_back(std::move(warning));
      return DropStaple(candidate);
    }
    StoredCertificate& changed = candidate.Change();
    changed.staple_path = files.staple_path;
    changed.staple_stamp = staple->stamp;
    changed.staple_until = staple->good_until;
    if (!SameStaple(changed, *staple)) {
      candidate.fresh_staple = std::make_unique<pki::Staple>(std::move(*staple));
    }
  }

  // Whether the response of before may go on. Not with a certificate that is new: it is another's.
  static bool StapleStillHolds(const Candidate& candidate, std::time_t now) {
    const StoredCertificate& stored = candidate.get();
    return !candidate.fresh && stored.location.staple_length != 0 && stored.staple_until > now;
  }

  static void DropStaple(Candidate& candidate) {
    const StoredCertificate& stored = candidate.get();
    if (stored.location.staple_length == 0 && stored.staple_path.empty()) return;
    StoredCertificate& changed = candidate.Change();
    changed.staple_path.clear();
    changed.staple_until = 0;
    changed.location.staple_length = 0;
  }

  void WarnOfMustStaple(const CertificateFiles& files) {
    warnings_.push_back(
        {fmt::format("the certificate in {} asks clients to insist on a stapled OCSP response, and "
                     "there is none",
                     files.files.certificate),
         files.from_directory
             ? fmt::format("put the response beside it as {}.ocsp", files.given_name)
             : std::string("name the file with the response: ocsp = \"...\""),
         files.where});
  }

  // The certificates of a candidate's chain, wherever they are.
  std::vector<Bytes> ChainOf(const Candidate& candidate) {
    std::vector<Bytes> chain;
    if (candidate.fresh) {
      for (const std::vector<unsigned char>& der : candidate.fresh->chain_der) {
        chain.push_back(std::as_bytes(std::span(der)));
      }
      return chain;
    }
    const Location& location = candidate.get().location;
    const Result<Content> content = cache_.Read(location);
    if (!content) return chain;
    Bytes rest = content->chain;
    for (const uint32_t length : location.chain_lengths) {
      chain.push_back(rest.first(length));
      rest = rest.subspan(length);
    }
    return chain;
  }

  bool SameStaple(const StoredCertificate& stored, const pki::Staple& staple) {
    if (stored.location.staple_length != staple.response.size()) return false;
    const Result<Content> content = cache_.Read(stored.location);
    return content &&
           std::ranges::equal(content->staple, std::as_bytes(std::span(staple.response)));
  }

  bool SameContent(const StoredCertificate& known, const pki::Pair& pair) {
    const std::vector<uint32_t>& lengths = known.location.chain_lengths;
    const std::vector<unsigned char>& key = pair.key_der.get();
    const Result<Content> content = cache_.Read(known.location);
    if (!content || lengths.size() != pair.chain_der.size() || content->key.size() != key.size() ||
        CRYPTO_memcmp(content->key.data(), key.data(), key.size()) != 0) {
      return false;
    }
    Bytes chain = content->chain;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const std::vector<unsigned char>& der = pair.chain_der[i];
      if (der.size() != lengths[i] || std::memcmp(der.data(), chain.data(), der.size()) != 0) {
        return false;
      }
      chain = chain.subspan(lengths[i]);
    }
    return true;
  }

  void Warn(const StoredCertificate& stored, const Where& where) {
    const auto add = [&](Error warning) {
      warning.where = where;
      warnings_.push_back(std::move(warning));
    };
    for (const Error& weakness : stored.weaknesses) add(weakness);
    for (Error& warning :
         pki::PeriodWarnings(stored.certificate_path, stored.periods, std::time(nullptr))) {
      add(std::move(warning));
    }
  }

  std::optional<uint32_t> Number(const std::string& name) const {
    const auto& all = collected_.certificates;
    const auto found = std::find_if(all.begin(), all.end(), [&](const Candidate& candidate) {
      return candidate.get().name == name;
    });
    if (found == all.end()) return std::nullopt;
    return static_cast<uint32_t>(found - all.begin());
  }

  void ChooseDefault() {
    const bool asked_for = !certificates_.default_name.empty();
    const std::string name = asked_for ? certificates_.default_name : "default";
    if (const auto number = Number(name)) {
      collected_.default_certificate = *number;
      return;
    }
    // What is there but cannot be used has been reported.
    if (names_.contains(name) || a_name_is_unknown_) return;
    if (asked_for) {
      std::vector<std::string_view> known(names_.begin(), names_.end());
      std::ranges::sort(known);
      const std::string_view nearest = config::Nearest(name, known);
      faults_.push_back(
          {fmt::format("no certificate has the name \"{}\", which default asks for", name),
           nearest.empty() ? "name one of the pairs, or a NAME.crt in the directory"
                           : fmt::format("did you mean \"{}\"?", nearest),
           certificates_.where});
    } else if (certificates_.pairs.empty()) {
      NoDefault();
    }
    // Else the first pair is the default, and it is the first of all.
  }

  void NoDefault() {
    if (listing_failed_) return;  // what could be the default is not known
    if (names_.empty()) {
      faults_.push_back({fmt::format("there is no certificate: {} holds no default.crt with its "
                                     "default.key, and no [[certificates.pair]] is configured",
                                     certificates_.directory),
                         "put a pair there, or make one: postern cert self-signed",
                         certificates_.where});
      return;
    }
    faults_.push_back({"no certificate is the default, for clients that name no host",
                       fmt::format("say which one it is, like default = \"{}\", or make one: "
                                   "postern cert self-signed",
                                   *std::ranges::min_element(names_)),
                       certificates_.where});
  }

  void WarnOfNameless() {
    for (size_t i = 0; i < collected_.certificates.size(); ++i) {
      const StoredCertificate& stored = collected_.certificates[i].get();
      if (!stored.names.empty() || i == collected_.default_certificate) continue;
      warnings_.push_back(
          {fmt::format("the certificate in {} names no host and is not the default: "
                       "no client will see it",
                       stored.certificate_path),
           "have it issued with the host's name as subjectAltName", certificates_.where});
    }
  }

  const config::Certificates& certificates_;
  SegmentCache& cache_;
  Occasion occasion_;
  std::vector<Error>& faults_;
  std::vector<Error>& warnings_;
  // Of the generation before, by the path of the certificate; borrowed from it.
  std::unordered_multimap<std::string_view, const StoredPtr*> known_;
  std::unordered_set<std::string> names_;
  bool a_name_is_unknown_ = false;  // of a pair that could not be read
  bool listing_failed_ = false;
  Collected collected_;
};

}  // namespace

Collected Collect(const config::Certificates& certificates,
                  const std::vector<config::Backend>& backends, const Sources* previous,
                  SegmentCache& cache, Occasion occasion, std::vector<Error>& faults,
                  std::vector<Error>& warnings) {
  return Collector(certificates, previous, cache, occasion, faults, warnings).Run(backends);
}

Collected CollectForBackends(const std::vector<config::Backend>& backends, SegmentCache& cache,
                             bool may_ask, std::vector<Error>& faults,
                             std::vector<Error>& warnings) {
  const Occasion occasion = may_ask ? Occasion::kStart : Occasion::kReload;
  return Collector({}, nullptr, cache, occasion, faults, warnings).RunForBackends(backends);
}

std::vector<Error> CheckCertificates(const config::Certificates& certificates, bool may_ask) {
  std::vector<Error> faults;
  std::vector<Error> warnings;
  SegmentCache cache;
  Collect(certificates, {}, nullptr, cache, may_ask ? Occasion::kStart : Occasion::kReload, faults,
          warnings);
  return faults;
}

}  // namespace postern::generation
