// The order matters: what takes capabilities first (the root directory, the bounding set), then the
// user, then the capabilities that a root by name would have left, then no_new_privs, which
// Landlock and seccomp ask for, and the filter last, since it forbids most of the rest.
#include "postern/worker/sandbox.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <ctime>

#include "postern/os/empty_root.h"
#include "postern/os/landlock.h"
#include "postern/os/process.h"
#include "postern/os/system_call_filter.h"
#include "system_calls.h"

namespace postern::worker {
namespace {

// What libraries would read from files later, when they no longer can.
Status ReadLibraryFiles() {
  ::tzset();  // /etc/localtime
  // openssl.cnf, and the modules that it names. A broken one is for the whole program to tell, and
  // OpenSSL goes on with what it was told until there.
  if (::OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_CIPHERS |
                                OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                            nullptr) != 1) {
    return Fail("OpenSSL cannot be set up", "is its configuration (openssl version -d) in order?");
  }
  return {};
}

// The worker's user, and no capability in any set.
Status DropPrivileges(const SandboxOptions& options) {
  if (Status limited = os::LimitBoundingSet(0); !limited) return limited;
  if (Status became = os::BecomeIdentity(options.uid, options.gid); !became) return became;
  if (Status limited = os::LimitCapabilities(0); !limited) return limited;
  return os::NoNewPrivileges();
}

void RestrictFiles(SandboxGaps& gaps) {
  const Result<os::LandlockLimits> limits = os::RestrictByLandlock();
  if (!limits) {
    gaps.landlock = limits.error().ToString();
  } else if (!limits->bind) {
    gaps.landlock_old = "binding ports is not covered before Linux 6.7, signals not before 6.12";
  } else if (!limits->scoped) {
    gaps.landlock_old = "signals are not covered before Linux 6.12";
  }
}

os::RestOfCalls Rest(config::SandboxMode mode) {
  if (SandboxIsRelaxed()) return os::RestOfCalls::kAllow;
  return mode == config::SandboxMode::kLog ? os::RestOfCalls::kLog : os::RestOfCalls::kRefuse;
}

}  // namespace

bool SandboxIsRelaxed() {
#ifdef POSTERN_SANITIZED
  return true;
#else
  return false;
#endif
}

Status EmptyRootPossible(const config::Config& config) {
  if (config.process.sandbox == config::SandboxMode::kOff) {
    return Fail("[process] sandbox is \"off\"", "set it to \"on\"");
  }
  if (SandboxIsRelaxed()) return Fail("this build has sanitizers, which open files");
  if (::geteuid() != 0) return Fail("only root may change the root directory", "start as root");
  for (const config::Backend& backend : config.backends) {
    for (const config::Server& server : backend.servers) {
      if (server.unix_path.empty()) continue;
      return Fail(fmt::format("the path of unix:{} has to lead somewhere", server.unix_path),
                  "let that server listen on a loopback address", backend.where);
    }
  }
  return os::CanEnterEmptyRoot();
}

os::CapabilitySet MasterCapabilities() {
  return os::Capabilities({CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_IPC_LOCK,
                           CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SYS_CHROOT});
}

Result<SandboxGaps> EnterSandboxUnfiltered(const SandboxOptions& options) {
  if (Status read = ReadLibraryFiles(); !read) return std::unexpected(read.error());
  const bool confined = options.mode != config::SandboxMode::kOff && !SandboxIsRelaxed();
  if (confined && options.empty_root) {
    if (Status entered = os::EnterEmptyRoot(); !entered) return std::unexpected(entered.error());
  }
  if (Status dropped = DropPrivileges(options); !dropped) return std::unexpected(dropped.error());
  SandboxGaps gaps;
  if (confined) RestrictFiles(gaps);
  return gaps;
}

Result<SandboxGaps> EnterSandbox(const SandboxOptions& options) {
  Result<SandboxGaps> gaps = EnterSandboxUnfiltered(options);
  if (!gaps || options.mode == config::SandboxMode::kOff) return gaps;
  const Status filtered = os::FilterSystemCalls(
      SystemCallRules({.unix_sockets = !options.empty_root}), Rest(options.mode));
  if (!filtered) return std::unexpected(filtered.error());
  return gaps;
}

}  // namespace postern::worker
