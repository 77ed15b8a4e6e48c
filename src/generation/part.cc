// Part: the master's hold on one memfd.
#include "postern/generation/part.h"

#include <utility>

namespace postern::generation {

std::string_view ToString(PartKind kind) {
  switch (kind) {
    case PartKind::kSettings:
      return "settings";
    case PartKind::kIndex:
      return "index";
    case PartKind::kCertificates:
      return "certificates";
    case PartKind::kKeys:
      return "keys";
  }
  return "unknown";
}

Part::Part(PartId id, PartKind kind, os::UniqueFd fd, size_t size, os::Mapping writable)
    : id_(id), kind_(kind), fd_(std::move(fd)), size_(size), writable_(std::move(writable)) {}

Part::~Part() {
  // A worker that still maps it (it should not) would see zeros, too, rather than keep the keys.
  if (writable_.valid()) writable_.Wipe();
}

}  // namespace postern::generation
