// Collecting the certificates of a generation: which there are, what they are called, which one is
// the default; read from files or taken over from the generation before.
#pragma once

#include <memory>
#include <vector>

#include "generation/segments.h"
#include "generation/sources.h"
#include "postern/config/config.h"
#include "postern/generation/compile.h"

namespace postern::generation {

struct Collected {
  std::vector<Candidate> certificates;  // the first that has a name serves it
  uint32_t default_certificate = 0;
  uint32_t read = 0;           // how many were read from files
  std::vector<Error> waiting;  // as in Generation
  // By back end: the number of the certificate that its servers are shown, or kNoCertificate. They
  // come behind all others and have no names, so that no client is served by them.
  std::vector<uint32_t> of_backend;
};

// `previous` may be null. What comes back is usable when `faults` got nothing.
Collected Collect(const config::Certificates& certificates,
                  const std::vector<config::Backend>& backends, const Sources* previous,
                  SegmentCache& cache, Occasion occasion, std::vector<Error>& faults,
                  std::vector<Error>& warnings);

// CollectForBackends is the part that is about the pairs for servers.
Collected CollectForBackends(const std::vector<config::Backend>& backends, SegmentCache& cache,
                             bool may_ask, std::vector<Error>& faults,
                             std::vector<Error>& warnings);

}  // namespace postern::generation
