// Which files the configured certificates are in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/config/config.h"
#include "postern/pki/certificate.h"

namespace postern::generation {

struct CertificateFiles {
  std::string given_name;  // empty: to be taken from the certificate
  pki::PairFiles files;
  Where where;
  bool from_directory = false;
  std::string staple_path = {};  // an OCSP response; empty: none
};

// ListCertificates gives the pairs as configured, then those of the directory in the order of their
// names. In the directory NAME.crt, NAME.key, NAME.chain and NAME.ocsp count, hidden files do not;
// a NAME.key alone waits for its certificate and is passed over. A directory that holds keys and is
// open to others is a fault. So is a NAME.crt without its key, unless `keyless`: then it is listed
// like the others, and the fault is found at its reading.
std::vector<CertificateFiles> ListCertificates(const config::Certificates& certificates,
                                               std::vector<Error>& faults, bool keyless = false);

// FilesForServers gives the pair that the servers of `backend` are shown, when there is one. Its
// name ("backend:imap") cannot be one of an administrator's.
std::optional<CertificateFiles> FilesForServers(const config::Backend& backend);

}  // namespace postern::generation
