// Fuzzing of what `postern cert import` and `show` read: PEM, DER, PKCS#7, PKCS#12, encrypted keys.
// The files come from authorities, colleagues and old servers; a damaged one must be refused in
// words.
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/pki/describe.h"
#include "postern/pki/import.h"
#include "postern/pki/judge.h"

namespace {

using postern::pki::SecretBytes;

// The corpus is encrypted under "secret"; who asks again gets no other answer.
postern::Result<SecretBytes> Answer(const std::string& what, int attempt) {
  POSTERN_CHECK(!what.empty());
  if (attempt > 0) return postern::Fail("wrong", "give another one");
  const std::string secret = "secret";
  return SecretBytes(std::vector<unsigned char>(secret.begin(), secret.end()));
}

// What `show` says: without control characters, whatever the certificate holds.
void Describe(const postern::pki::Material& material) {
  for (const auto& found : material.certificates) {
    X509* certificate = found.certificate.get();
    std::string text = postern::pki::Subject(certificate) + postern::pki::Issuer(certificate) +
                       postern::pki::IssuerUrl(certificate);
    for (const std::string& name : postern::pki::AlternativeNames(certificate)) text += name;
    for (const std::string& name : postern::pki::HostNames(certificate)) text += name;
    for (const char c : text) POSTERN_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
    postern::pki::FaultsOf(certificate, postern::pki::Role::kServer, "it", 0);
  }
  for (const auto& found : material.requests) postern::pki::AlternativeNames(found.request.get());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  postern::pki::Material material;
  const auto done = postern::pki::DecodeMaterial(
      SecretBytes(std::vector<unsigned char>(data, data + size)), "a.file", Answer, material);
  // OpenSSL's queue must be empty afterwards, or the next caller takes our errors for its own.
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  if (!done.has_value()) {
    POSTERN_CHECK(!done.error().what.empty() && !done.error().remedy.empty());
    return 0;
  }
  Describe(material);
  postern::pki::OpenSslErrors();
  // A fixed time, so that a corpus means the same next year.
  const postern::pki::ImportOptions options{"name", {}, 1'800'000'000};
  const auto plan = postern::pki::PlanImport(material, {}, options);
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  if (!plan.has_value()) {
    POSTERN_CHECK(!plan.error().empty());
    return 0;
  }
  POSTERN_CHECK(!plan->chain.empty() && plan->chain.size() <= postern::pki::kMaxChain);
  const auto texts = postern::pki::TextsOf(*plan);
  POSTERN_CHECK(texts.has_value() && !texts->certificate_pem.empty());
  return 0;
}
