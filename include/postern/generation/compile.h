// Compile: configuration and certificates to a generation (the master's side).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/generation/part.h"
#include "postern/os/socket_address.h"

namespace postern::generation {

// A socket that the generation listens on; its place in Generation::sockets is its number in the
// settings, the same in master and workers.
struct ListenSocket {
  os::SocketAddress address;
  bool v6_only = true;
  std::string listener;  // the listener's name, for messages
  Where where;
};

// CertificateSummary is what `postern check` shows of a certificate.
struct CertificateSummary {
  std::string name;                // the administrator's
  std::vector<std::string> names;  // host names it serves for; may be empty
  std::string key_type;            // "EC P-256"
  int64_t not_before = 0;          // seconds since 1970
  int64_t not_after = 0;
  std::string certificate_path;
  std::string key_path;
  bool is_default = false;
  std::string backend = {};  // the back end whose servers it is shown to; else it is for clients
};

struct Sources;  // what was read from which file, to read only changed files next time (private)

// Occasion is why a generation is compiled.
enum class Occasion : uint8_t {
  kStart,   // somebody may be asked for passphrases
  kReload,  // nobody may: a key that was not read before and is to be asked for is a fault
  kWatch,   // files have changed by themselves, and perhaps are half written
};

// Whether Generation::summaries are made. They take as much memory as all else that the master
// keeps of a certificate beside its octets; who serves has no use for them.
enum class Summaries : uint8_t { kMade, kLeftOut };

struct Generation {
  uint64_t number = 0;
  std::vector<PartPtr> parts;  // exactly one kSettings, one kIndex, then the segments
  std::vector<ListenSocket> sockets;
  std::vector<Error> warnings;                // expired certificates, back ends that do not resolve
  std::vector<CertificateSummary> summaries;  // pairs as configured, then the directory by name
  std::string soonest_name;  // of the certificate that expires first; empty without certificates
  int64_t soonest_expiry_s = 0;
  uint32_t certificates = 0;       // how many it holds
  uint32_t certificates_read = 0;  // of these, how many were read from files for this generation
  // kWatch alone: why files are not served as they are. What served before them goes on.
  std::vector<Error> waiting;
  std::shared_ptr<const Sources> sources;
};
using GenerationPtr = std::shared_ptr<const Generation>;

// Compile reads certificates, resolves the back ends' names and builds the parts. Certificates
// whose files are unchanged since `previous` (may be null) are taken from its segments; segments
// are compacted when less than half of what they hold is still named. An index that would be the
// same is the previous one; settings are always new, since they carry the generation's number. A
// back end's name that resolved for `previous` and does not now keeps its addresses, with a
// warning. It blocks on files and the resolver and touches no global state but the counters of ids:
// the master runs it on its loader thread. Every fault is reported at once.
//
// With kWatch, a pair, an OCSP response or the authorities of clients that cannot be read hold up
// nobody else: `previous` lends what it has of them, a pair that it does not have is left out, and
// Generation::waiting says why. What is no matter of single files is a fault all the same.
std::expected<GenerationPtr, std::vector<Error>> Compile(const config::Loaded& loaded,
                                                         const GenerationPtr& previous,
                                                         uint64_t number,
                                                         Occasion occasion = Occasion::kReload,
                                                         Summaries summaries = Summaries::kMade);

// ServesTheSame: clients cannot tell the two apart, which have the same configuration.
bool ServesTheSame(const Generation& a, const Generation& b);

// CheckCertificates is the part of Compile that reads certificates, for its faults.
std::vector<Error> CheckCertificates(const config::Certificates& certificates, bool may_ask);
// CheckBackendFiles is the part that reads what back ends name for TLS: authorities and our pairs.
std::vector<Error> CheckBackendFiles(const std::vector<config::Backend>& backends, bool may_ask);

// NeedsSelfSigned says whether a fresh install must first make the pair that it serves on
// (pki::InstallSelfSigned in certificates.directory): no pair is configured, no other default is
// asked for, and the directory is not there or holds neither default.crt nor default.key.
bool NeedsSelfSigned(const config::Certificates& certificates);

}  // namespace postern::generation
