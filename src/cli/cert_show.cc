// cert show: certificates, requests and keys in words. `openssl x509 -text` shows every bit; this
// shows what an administrator decides by.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/os/clock.h"
#include "postern/pki/chain.h"
#include "postern/pki/describe.h"
#include "postern/pki/judge.h"
#include "postern/pki/request.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  PassphraseOption passphrase;
  std::vector<std::string> what;
};

std::string Field(std::string_view name, const std::string& value) {
  return fmt::format("  {:<12} {}\n", name, value.empty() ? "(none)" : value);
}

// A key of the store that was made beside the one in service (`postern cert csr`).
bool Waits(const std::string& path) { return path.ends_with(pki::kWaitingSuffix); }

std::string KeyFields(const EVP_PKEY* key) {
  return Field("key", pki::KeyType(key)) + Field("key SHA-256", pki::PublicKeyDigest(key));
}

// RFC 7672 section 3.1: DANE-EE(3), SPKI(1), SHA-256(1) is what mail servers publish. Ports and
// hosts are the administrator's.
std::string Tlsa(const X509* certificate) {
  const std::vector<std::string> hosts = pki::HostNames(certificate);
  const auto host =
      std::ranges::find_if(hosts, [](const std::string& name) { return !name.starts_with('*'); });
  return Field("TLSA",
               fmt::format("_25._tcp.{}. IN TLSA 3 1 1 {}", host == hosts.end() ? "HOST" : *host,
                           pki::PublicKeyDigest(X509_get0_pubkey(certificate))));
}

std::string CertificateText(X509* certificate, const std::string& from, bool is_leaf) {
  const pki::Period period = pki::PeriodOf(certificate);
  std::string text = fmt::format("certificate in {}\n", from);
  text += Field("subject", pki::Subject(certificate));
  if (is_leaf) text += Field("names", Joined(pki::AlternativeNames(certificate)));
  text += Field("issuer", pki::Issuer(certificate));
  text += Field("valid", fmt::format("from {}, {}", pki::TimeText(period.not_before),
                                     ValidityText(period.not_after, os::WallSeconds())));
  if (X509_get0_pubkey(certificate) != nullptr) text += KeyFields(X509_get0_pubkey(certificate));
  text += Field("SHA-256", pki::Fingerprint(certificate, EVP_sha256()));
  text += Field("SHA-1", pki::Fingerprint(certificate, EVP_sha1()));
  if (is_leaf && X509_get0_pubkey(certificate) != nullptr) text += Tlsa(certificate);
  return text;
}

std::string RequestText(X509_REQ* request, const std::string& from) {
  std::string text = fmt::format("certificate request in {}\n", from);
  text += Field("subject", pki::NameText(X509_REQ_get_subject_name(request)));
  text += Field("names", Joined(pki::AlternativeNames(request)));
  if (X509_REQ_get0_pubkey(request) != nullptr) text += KeyFields(X509_REQ_get0_pubkey(request));
  text += Field("signature", pki::RequestIsWhole(request) ? "good" : "BAD: the request is damaged");
  return text;
}

std::string ChainText(const std::vector<X509*>& chain, const std::optional<Error>& missing) {
  std::string text = "chain\n";
  for (size_t i = 0; i < chain.size(); ++i) {
    text += fmt::format("  {}  {}\n", i + 1, pki::Subject(chain[i]));
  }
  text += fmt::format(
      "  {}  {}{}\n", chain.size() + 1, pki::Issuer(chain.back()),
      missing.has_value() ? ": not here, and not known to this machine" : " (the root, not sent)");
  return text;
}

// Warnings about everything that is shown.
std::vector<Error> Judge(const pki::Material& material, const std::vector<X509*>& chain) {
  std::vector<Error> warnings;
  const int64_t now = os::WallSeconds();
  const auto add = [&](std::vector<Error> more) {
    for (Error& warning : more) warnings.push_back(std::move(warning));
  };
  for (const pki::FoundCertificate& found : material.certificates) {
    X509* certificate = found.certificate.get();
    const std::string what = fmt::format("the certificate {}", pki::Subject(certificate));
    const bool is_leaf = chain.empty() || certificate == chain.front();
    add(pki::FaultsOf(certificate, is_leaf ? pki::Role::kServer : pki::Role::kAuthority, what,
                      now));
    if (!chain.empty() && certificate == chain.front()) {
      add(pki::RemarksOf(certificate, what, now));
    }
  }
  if (chain.empty()) return warnings;
  for (const pki::FoundKey& found : material.keys) {
    if (EVP_PKEY_eq(X509_get0_pubkey(chain.front()), found.key.get()) == 1) continue;
    if (Waits(found.from)) continue;
    warnings.push_back({fmt::format("the key in {} does not belong to the certificate {}",
                                    found.from, pki::Subject(chain.front())),
                        "`postern cert import` finds out which belong together",
                        {}});
  }
  return warnings;
}

// Shows all of `material`; `name` is the store's, or empty.
void ShowMaterial(const pki::Material& material, const std::string& name) {
  std::vector<X509*> all;
  for (const auto& found : material.certificates) all.push_back(found.certificate.get());
  std::vector<X509*> chain;
  if (!all.empty()) chain = pki::OrderChain(all.front(), all).chain;
  std::string text;
  for (const auto& found : material.certificates) {
    text += CertificateText(found.certificate.get(), found.from,
                            found.certificate.get() == chain.front());
  }
  std::optional<Error> missing;
  if (!chain.empty() && X509_self_signed(chain.back(), 0) != 1) {
    missing = pki::MissingIntermediate(chain, pki::TrustAnchors());
    text += ChainText(chain, missing);
  }
  for (const auto& found : material.keys) {
    text += fmt::format("private key in {}\n", found.from) + KeyFields(found.key.get());
    const bool fits =
        !chain.empty() && EVP_PKEY_eq(X509_get0_pubkey(chain.front()), found.key.get()) == 1;
    if (chain.empty()) continue;
    text += Field("certificate", fits                ? "fits"
                                 : Waits(found.from) ? "none yet: this key waits for its own"
                                                     : "DOES NOT FIT");
  }
  for (const auto& found : material.requests) text += RequestText(found.request.get(), found.from);
  for (const std::string& other : material.passed_over) text += "also " + other + "\n";
  (void)pki::OpenSslErrors();
  Print(text);
  std::vector<Error> warnings = Judge(material, chain);
  if (missing.has_value()) warnings.push_back(std::move(*missing));
  if (!name.empty() && name != "default" && !chain.empty()) {
    const std::vector<std::string> hosts = pki::HostNames(chain.front());
    const bool named = std::ranges::any_of(hosts, [&](const std::string& host) {
      return host == name || pki::StoreNameFor(host) == name;
    });
    if (!named) {
      warnings.push_back({fmt::format("the certificate is called {}, and is not for a host of that "
                                      "name",
                                      name),
                          "no harm, if it is on purpose",
                          {}});
    }
  }
  PrintWarnings(warnings);
}

// Reads what there is of NAME in the store. What cannot be opened is said and left out.
bool ReadStored(const std::string& directory, const std::string& name,
                const pki::AskPassphrase& ask, pki::Material& material) {
  const pki::StoreNames files = pki::NamesIn(directory, name);
  bool found = false;
  const std::string waiting = files.key + std::string(pki::kWaitingSuffix);
  for (const std::string& path :
       {files.certificate, files.chain, files.key, waiting, files.request}) {
    if (!Exists(path)) continue;
    found = true;
    if (Status read = pki::ReadMaterial(path, ask, material); !read) PrintError(read.error());
  }
  return found;
}

int Show(const Options& options) {
  const bool needs_place = std::ranges::any_of(options.what, [](const std::string& what) {
    return what.find('/') == std::string::npos && !Exists(what);
  });
  std::optional<Place> place;
  if (needs_place || options.place.config_option->count() > 0) {
    place = FindPlace(options.place);
    if (!place.has_value()) return kFailed;
  }
  const auto ask =
      options.passphrase.Ask(place.has_value() ? place->passphrase : pki::PassphraseSource());
  if (!ask.has_value()) return kFailed;
  int status = kOk;
  for (const std::string& what : options.what) {
    pki::Material material;
    const bool is_file = what.find('/') != std::string::npos || Exists(what);
    if (is_file) {
      if (Status read = pki::ReadMaterial(what, *ask, material); !read) {
        PrintError(read.error());
        status = kFailed;
        continue;
      }
    } else if (!ReadStored(place->directory, what, *ask, material)) {
      PrintError({fmt::format("there is no file {0}, and no {0}.crt, {0}.key or {0}.csr in {1}",
                              what, place->directory),
                  "`postern cert list` shows what there is",
                  {}});
      status = kFailed;
      continue;
    }
    ShowMaterial(material, is_file ? std::string() : what);
  }
  return status;
}

}  // namespace

void AddCertShow(CLI::App& cert, int& status) {
  CLI::App* show = cert.add_subcommand("show", "Show certificates, requests and keys in words");
  auto options = std::make_shared<Options>();
  show->add_option("what", options->what,
                   "A file of any form (PEM, DER, PKCS#7, PKCS#12), or the NAME of a pair in the "
                   "certificate directory")
      ->type_name("FILE|NAME")
      ->required();
  options->place.AddTo(*show);
  options->passphrase.AddTo(*show);
  show->footer(R"(
Shows names, issuer, validity, key, fingerprints, the chain, and the TLSA record (DANE) for mail
servers; private keys themselves are never shown. Warnings (expiry, weak keys, missing names,
missing intermediates) are on standard error.
Exit status: 0 when all could be read, 1 when not.)");
  show->callback([options, &status] { status = Show(*options); });
}

}  // namespace postern::cli
