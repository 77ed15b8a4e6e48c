// Planning an import. The administrator hands over what the authority sent, often more than is
// needed and in no order; what it is, is told by the keys and signatures, not by file names.
#include "postern/pki/import.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>

#include "postern/pki/chain.h"
#include "postern/pki/describe.h"
#include "postern/pki/judge.h"
#include "postern/pki/request.h"

namespace postern::pki {
namespace {

struct Match {
  const FoundCertificate* certificate;
  const FoundKey* key;
};

std::vector<Match> Matches(const Material& given, const std::vector<FoundKey>& keys) {
  std::vector<Match> matches;
  for (const FoundKey& key : keys) {
    for (const FoundCertificate& certificate : given.certificates) {
      if (EVP_PKEY_eq(X509_get0_pubkey(certificate.certificate.get()), key.key.get()) == 1) {
        matches.push_back({&certificate, &key});
      }
    }
  }
  ERR_clear_error();
  return matches;
}

std::string KeyText(const EVP_PKEY* key) {
  return fmt::format("{}, fingerprint {}", KeyType(key), KeyFingerprint(key));
}

// A certificate that no other of the files was issued by: what a server would have.
const FoundCertificate& LikelyLeaf(const Material& given) {
  for (const FoundCertificate& candidate : given.certificates) {
    const bool issues = std::ranges::any_of(given.certificates, [&](const FoundCertificate& other) {
      return &other != &candidate &&
             IsIssuedBy(other.certificate.get(), candidate.certificate.get());
    });
    if (!issues) return candidate;
  }
  return given.certificates.front();
}

std::string From(const FoundCertificate& found) {
  return fmt::format("{} in {}", Subject(found.certificate.get()), found.from);
}

std::vector<Error> NoMatch(const Material& given) {
  std::vector<Error> faults;
  if (given.certificates.empty()) {
    if (!given.requests.empty()) {
      return {{fmt::format("{} holds a certificate request, no certificate",
                           given.requests.front().from),
               "send it to an authority, and import what comes back",
               {}}};
    }
    return {{given.keys.empty() ? "there is no certificate in what was given"
                                : fmt::format("there is a key ({}), but no certificate for it",
                                              given.keys.front().from),
             "give the file with the certificate, too",
             {}}};
  }
  const FoundCertificate& leaf = LikelyLeaf(given);
  const EVP_PKEY* expected = X509_get0_pubkey(leaf.certificate.get());
  if (given.keys.empty()) {
    return {{fmt::format("there is no key for the certificate of {} (it is for a key {}): none was "
                         "given, and none in the certificate directory fits",
                         From(leaf), expected == nullptr ? "of unknown kind" : KeyText(expected)),
             "give the file with its key, too",
             {}}};
  }
  for (const FoundKey& key : given.keys) {
    faults.push_back(
        {fmt::format("the key in {} ({}) belongs to no certificate: the one of {} is for a key {}",
                     key.from, KeyText(key.key.get()), From(leaf),
                     expected == nullptr ? "of unknown kind" : KeyText(expected)),
         "give the key that the certificate was made for, or have a certificate issued for this "
         "key",
         {}});
  }
  return faults;
}

// Of several certificates of one key (renewals, say) the one that lives longest.
const FoundCertificate* Longest(const std::vector<Match>& matches) {
  return std::ranges::max_element(matches, {},
                                  [](const Match& match) {
                                    return PeriodOf(match.certificate->certificate.get()).not_after;
                                  })
      ->certificate;
}

class Planner {
 public:
  Planner(const Material& given, const Material& known, const ImportOptions& options)
      : given_(given), known_(known), options_(options) {}

  std::expected<ImportPlan, std::vector<Error>> Run() {
    if (!FindPair()) return std::unexpected(std::move(faults_));
    FindChain();
    JudgeAll();
    ChooseName();
    NoteLostNames();
    if (!faults_.empty()) return std::unexpected(std::move(faults_));
    return std::move(plan_);
  }

 private:
  bool FindPair() {
    std::vector<Match> matches = Matches(given_, given_.keys);
    if (matches.empty() && given_.keys.empty()) matches = Matches(given_, known_.keys);
    if (matches.empty()) {
      faults_ = NoMatch(given_);
      return false;
    }
    const FoundKey* key = matches.front().key;
    for (const Match& match : matches) {
      if (match.key == key) continue;
      faults_.push_back({fmt::format("there are several pairs: one of {} and one of {}",
                                     From(*matches.front().certificate), From(*match.certificate)),
                         "import one at a time",
                         {}});
      return false;
    }
    leaf_ = Longest(matches);
    plan_.key = key->key.get();
    plan_.key_from = key->from;
    plan_.leaf_from = leaf_->from;
    for (const FoundKey& other : given_.keys) {
      if (&other == key) continue;
      plan_.warnings.push_back(
          {fmt::format("the key in {} ({}) belongs to no certificate here and is left out",
                       other.from, KeyText(other.key.get())),
           {},
           {}});
    }
    return true;
  }

  void FindChain() {
    X509* leaf = leaf_->certificate.get();
    std::vector<X509*> pool;
    for (const FoundCertificate& found : given_.certificates) {
      pool.push_back(found.certificate.get());
    }
    const size_t own = pool.size();
    for (const FoundCertificate& found : known_.certificates) {
      pool.push_back(found.certificate.get());
    }
    const OrderedChain ordered = OrderChain(leaf, pool);
    plan_.chain = ordered.chain;
    for (size_t i = 1; i < plan_.chain.size(); ++i) {
      const auto at = std::ranges::find(pool, plan_.chain[i]) - pool.begin();
      if (static_cast<size_t>(at) < own) continue;
      plan_.notes.push_back(fmt::format("the intermediate {} is taken from {}",
                                        Subject(plan_.chain[i]),
                                        known_.certificates[static_cast<size_t>(at) - own].from));
    }
    for (X509* unused : ordered.unused) NoteUnused(unused);
    NoteOrder();
  }

  void NoteUnused(X509* unused) {
    const auto found = std::ranges::find_if(given_.certificates, [&](const auto& candidate) {
      return candidate.certificate.get() == unused;
    });
    if (found == given_.certificates.end()) return;
    if (IsIssuedBy(plan_.chain.back(), unused)) {
      root_given_ = true;
      plan_.notes.push_back(fmt::format(
          "the root {} is left out: clients have it, or do not trust it", From(*found)));
    } else {
      plan_.warnings.push_back(
          {fmt::format("the certificate of {} is no part of the chain and left out", From(*found)),
           {},
           {}});
    }
  }

  // Said when the files, as they are, would not have served.
  void NoteOrder() {
    std::vector<X509*> as_given;
    for (const FoundCertificate& found : given_.certificates) {
      if (std::ranges::find(plan_.chain, found.certificate.get()) != plan_.chain.end()) {
        as_given.push_back(found.certificate.get());
      }
    }
    std::vector<X509*> in_order;
    for (X509* certificate : plan_.chain) {
      if (std::ranges::find(as_given, certificate) != as_given.end()) {
        in_order.push_back(certificate);
      }
    }
    if (as_given != in_order) plan_.notes.push_back("the chain is put in order, leaf first");
  }

  void JudgeAll() {
    for (X509* certificate : plan_.chain) {
      const bool is_leaf = certificate == plan_.chain.front();
      const std::string what =
          fmt::format("the {}certificate {}", is_leaf ? "" : "intermediate ", Subject(certificate));
      for (Error& fault :
           FaultsOf(certificate, is_leaf ? Role::kServer : Role::kAuthority, what, options_.now)) {
        faults_.push_back(std::move(fault));
      }
    }
    const std::string what = fmt::format("the certificate {}", Subject(plan_.chain.front()));
    for (Error& remark : RemarksOf(plan_.chain.front(), what, options_.now)) {
      plan_.warnings.push_back(std::move(remark));
    }
    const bool signs =
        EVP_PKEY_can_sign(plan_.key) == 1 && EVP_PKEY_get_base_id(plan_.key) != EVP_PKEY_DSA;
    if (!signs) {
      faults_.push_back(
          {fmt::format("the {} key in {} cannot serve TLS", KeyType(plan_.key), plan_.key_from),
           "use an EC, RSA or Ed25519 key, and a certificate for it",
           {}});
    } else if (!KeyIsWhole(plan_.key)) {
      faults_.push_back({fmt::format("the key in {} is damaged: what it signs, its own public half "
                                     "does not verify",
                                     plan_.key_from),
                         "copy it anew from where it was made",
                         {}});
    }
    ERR_clear_error();
    if (root_given_) return;  // then nothing can be missing below it
    const std::optional<Error> missing = MissingIntermediate(plan_.chain, TrustAnchors());
    if (missing.has_value()) plan_.warnings.push_back(*missing);
  }

  void ChooseName() {
    plan_.name = options_.name;
    if (plan_.name.empty()) {
      const std::vector<std::string> hosts = HostNames(plan_.chain.front());
      if (!hosts.empty()) plan_.name = StoreNameFor(hosts.front());
    }
    if (plan_.name.empty()) {
      faults_.push_back({fmt::format("the certificate {} names no host to call it by",
                                     Subject(plan_.chain.front())),
                         "say what to call it: --name NAME",
                         {}});
    } else if (!IsStoreName(plan_.name)) {
      faults_.push_back({fmt::format("\"{}\" is no good name for a certificate", plan_.name),
                         "use letters, digits, \".\", \"-\" and \"_\", not beginning with \".\"",
                         {}});
    }
  }

  void NoteLostNames() {
    const std::vector<std::string> hosts = HostNames(plan_.chain.front());
    std::vector<std::string> lost;
    for (const std::string& name : options_.names) {
      if (std::ranges::find(hosts, name) == hosts.end()) lost.push_back(name);
    }
    if (lost.empty()) return;
    plan_.warnings.push_back(
        {fmt::format("the certificate is no longer for {}, which the one in service is for",
                     fmt::join(lost, ", ")),
         "have it issued with that name, too, if clients use it",
         {}});
  }

  const Material& given_;
  const Material& known_;
  const ImportOptions& options_;
  const FoundCertificate* leaf_ = nullptr;
  bool root_given_ = false;
  ImportPlan plan_;
  std::vector<Error> faults_;
};

}  // namespace

std::expected<ImportPlan, std::vector<Error>> PlanImport(const Material& given,
                                                         const Material& known,
                                                         const ImportOptions& options) {
  std::expected<ImportPlan, std::vector<Error>> plan = Planner(given, known, options).Run();
  ERR_clear_error();
  return plan;
}

Result<PairTexts> TextsOf(const ImportPlan& plan, const SecretBytes* passphrase) {
  PairTexts texts;
  for (X509* certificate : plan.chain) {
    const Result<std::string> pem = CertificatePem(certificate);
    if (!pem) return std::unexpected(pem.error());
    texts.certificate_pem += *pem;
  }
  Result<SecretBytes> key = KeyPem(plan.key, passphrase);
  if (!key) return std::unexpected(key.error());
  texts.key_pem = std::move(*key);
  return texts;
}

}  // namespace postern::pki
