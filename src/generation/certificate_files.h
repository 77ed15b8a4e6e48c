// Which files the configured certificates are in.
#pragma once

#include <string>
#include <vector>

#include "postern/config/config.h"

namespace postern::generation {

struct CertificateFiles {
  std::string given_name;  // empty: to be taken from the certificate
  std::string certificate_path;
  std::string key_path;
  std::string staple_path;  // empty: none
  Where where;
  bool from_directory = false;
};

// ListCertificates gives the pairs as configured, then those of the directory in the order of their
// names. In the directory only NAME.crt, NAME.key and NAME.ocsp count, hidden files do not; a
// NAME.key alone waits for its certificate and is passed over.
std::vector<CertificateFiles> ListCertificates(const config::Certificates& certificates,
                                               std::vector<Error>& faults);

}  // namespace postern::generation
