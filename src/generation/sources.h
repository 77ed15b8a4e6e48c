// Sources: what a generation was made from, kept beside it so that the next one reads only what
// changed. The master's side only; nothing of this is shared.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/generation/part.h"
#include "postern/os/socket_address.h"
#include "postern/pki/certificate.h"
#include "postern/pki/trust.h"

namespace postern::generation {

// A batch is a segment of certificates and the segment of their keys, written together. A
// certificate has its chain and its key in one batch.
struct Batch {
  PartPtr certificates;
  PartPtr keys;

  size_t size() const { return certificates->size() + keys->size(); }
};
using BatchPtr = std::shared_ptr<const Batch>;

// Where a certificate is stored.
struct Location {
  BatchPtr batch;  // null: nowhere yet
  uint64_t chain_offset = 0;
  std::vector<uint32_t> chain_lengths;
  uint64_t key_offset = 0;
  uint32_t key_length = 0;
  uint32_t staple_length = 0;  // the OCSP response stands right behind the chain

  // Octets in both segments.
  uint64_t size() const;
};

struct StoredCertificate {
  std::string certificate_path;
  std::string key_path;
  std::string chain_path;   // empty: none
  std::string staple_path;  // empty: none
  std::string given_name;   // in configuration or directory; empty: taken from the certificate
  pki::FileStamp certificate_stamp;
  pki::FileStamp key_stamp;
  pki::FileStamp chain_stamp;
  pki::FileStamp staple_stamp;  // when there is a staple

  // Equal means: the same chain, key and name. What caches contexts relies on it.
  uint64_t identity = 0;
  std::string name;
  std::vector<std::string> names;
  std::vector<pki::Period> periods;
  std::string key_type;
  pki::KeyClass key_kind = pki::KeyClass::kOther;
  pki::SchemeSet schemes = 0;
  bool must_staple = false;
  int64_t staple_until = 0;
  std::vector<Error> weaknesses;

  Location location;
};
// Shared between generations: a hundred thousand of them are not copied for one that changed.
using StoredPtr = std::shared_ptr<const StoredCertificate>;

struct Sources {
  std::vector<StoredPtr> certificates;
  // The authorities of clients, numbered as the sets of files in the configuration.
  std::vector<pki::Trust> trust;
  // Addresses by "host:port" text, of the names that resolved.
  std::map<std::string, std::vector<os::SocketAddress>> resolved;
};

// Numbers that are never given twice in the life of the process, whichever of the generations made
// with them are used in the end.
PartId NextPartId();
uint64_t NextIdentity();

}  // namespace postern::generation
