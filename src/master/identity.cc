// The workers' user. Looked up once at the start: a reload cannot change it.
#include "postern/master/identity.h"

#include <fmt/format.h>
#include <unistd.h>

namespace postern::master {
namespace {

Result<os::Identity> Own(const config::Process& process) {
  os::Identity own{::geteuid(), ::getegid(), fmt::to_string(::geteuid()),
                   fmt::to_string(::getegid())};
  if (process.user.empty() && process.group.empty()) return own;
  Result<os::Identity> wanted =
      process.user.empty() ? own : os::LookUpIdentity(process.user, process.group);
  if (!wanted) return wanted;
  if (wanted->uid == own.uid && wanted->gid == own.gid && !process.user.empty()) return wanted;
  return Fail("[process] user and group need a start as root",
              "start as root, or leave them out to keep the starting user", process.where);
}

}  // namespace

Result<os::Identity> WorkerIdentity(const config::Process& process) {
  if (::geteuid() != 0) return Own(process);
  if (!process.user.empty()) {
    Result<os::Identity> named = os::LookUpIdentity(process.user, process.group);
    if (!named) return Fail(named.error().what, named.error().remedy, process.where);
    return named;
  }
  if (Result<os::Identity> postern = os::LookUpIdentity("postern", process.group)) return postern;
  return os::LookUpIdentity("nobody", process.group);
}

}  // namespace postern::master
