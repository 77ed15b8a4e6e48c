// Config: what the configuration file says, checked and with every default filled in. It knows
// nothing of descriptors, certificates' content or name resolution. The reference for
// administrators is docs/configuration.md.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/log.h"
#include "postern/base/result.h"
#include "postern/config/access.h"
#include "postern/config/backend_tls.h"
#include "postern/config/policy.h"
#include "postern/config/proxy.h"
#include "postern/pki/passphrase.h"

namespace postern::config {

enum class Service : uint8_t { kImap, kPop3, kSmtp, kSubmission, kLmtp, kSieve, kHttp, kRaw };
std::string_view ToString(Service service);  // "imap", as written in the file

// How a connection to a listener begins.
enum class TlsMode : uint8_t {
  kImplicit,  // with TLS
  kStartTls,  // in plain text, until the protocol's command for TLS
  kAuto,      // as the client likes: its first octets tell
  kOff,       // in plain text, and so it goes on
};
std::string_view ToString(TlsMode mode);  // "starttls", as written in the file

// One address that a listener binds. dual_stack: an IPv6 wildcard that takes IPv4 clients too
// (written "*").
struct ListenAddress {
  std::string ip;  // numeric
  uint16_t port = 0;
  bool dual_stack = false;
  Where where;
};

struct Timeouts {
  uint64_t handshake_ms = 10'000;
  uint64_t dialog_ms = 60'000;  // in plain text, before TLS
  // 0: the service's own default (docs/configuration.md).
  uint64_t idle_ms = 0;
  // Of a handshake; 0: all of handshake_ms, which else begins with that octet.
  uint64_t first_byte_ms = 0;
  uint64_t unread_ms = 300'000;  // what waits for a client that reads nothing of it
};

// [listeners.NAME]
struct Listener {
  std::string name;
  std::vector<ListenAddress> addresses;
  Service service = Service::kRaw;
  TlsMode tls = TlsMode::kImplicit;
  bool require_tls = true;         // kStartTls and kAuto: nothing is passed on without TLS
  uint64_t greeting_delay_ms = 0;  // SMTP: who speaks within it, before the greeting, is refused
  // What Postern calls itself towards clients and servers. Empty: the name of the machine.
  std::string host_name = {};
  std::string policy = std::string(kDefaultPolicy);  // a name in Config::policies, checked
  ClientCertificates clients;
  ProxyAcceptance proxy;
  std::string backend;      // a name in Config::backends, checked
  Timeouts timeouts;        // the file's [timeouts], overridden per listener; idle_ms never 0 here
  bool strict_sni = false;  // clients that name no host we have a certificate for are refused
  ListenerAccess access = {};
  Where where;
};

// One server of a back end: "host:port", "[v6]:port" or "unix:/path".
struct Server {
  std::string text;  // as written
  std::string host;  // empty for a UNIX socket
  uint16_t port = 0;
  std::string unix_path;
  Where where;
};

// [backends.NAME]
struct Backend {
  std::string name;
  std::vector<Server> servers;
  uint64_t connect_timeout_ms = 5'000;
  uint64_t greeting_timeout_ms = 30'000;  // from there until the server is ready for a client
  bool ehlo_probe = true;                 // SMTP and LMTP: ask for EHLO's keywords beforehand
  ProxyOut proxy = ProxyOut::kOff;
  BackendTls tls = {};
  bool identify_clients = false;                    // who the client is, in the service's own words
  LoginSource identify_login = LoginSource::kNone;  // with identify_clients
  Where identify_where = {};
  Where login_where = {};
  Where where;
};

// A certificate with its key: [[certificates.pair]].
struct CertificatePair {
  std::string name;         // for logs and for binding tickets; default: the first DNS name in it
  std::string certificate;  // path, PEM, chain included
  std::string key;          // path, PEM
  Where where;
  // Of the key, when it is encrypted; that of [certificates] unless it has its own.
  pki::PassphraseSource passphrase = {};
  std::string ocsp = {};  // path of an OCSP response; empty: none is stapled
};

// [certificates]
struct Certificates {
  // Pairs NAME.crt and NAME.key; "default" serves clients without SNI or with an unknown name. When
  // there is no default pair here and `pairs` is empty, Postern makes a self-signed one at start.
  std::string directory;
  bool directory_set = false;  // the file names it (then it must be usable)
  std::vector<CertificatePair> pairs;
  pki::PassphraseSource passphrase;  // of the encrypted keys in the directory
  // Name of the pair for clients without SNI or with an unknown name: a `name` of `pairs` or a
  // NAME in the directory. Empty: "default" if there is such a pair, else the first of `pairs`.
  std::string default_name;
  bool strict_sni = false;  // for listeners that do not say otherwise
  bool watch = false;       // reload by itself when files change
  Where where;
};

// What the kernel is asked to hold workers to, beyond their user (docs/sandbox.md).
enum class SandboxMode : uint8_t {
  kOn,
  kLog,  // a system call that is not on the list is let through and noted in the kernel's log
  kOff,
};
std::string_view ToString(SandboxMode mode);  // "on", as written in the file

// [process]
struct Process {
  uint32_t workers = 0;  // 0: one per CPU that the master may use
  bool pin = true;       // pin each worker to a CPU
  std::string user;      // empty: "postern" if that user exists, else "nobody" (root only)
  std::string group;
  SandboxMode sandbox = SandboxMode::kOn;
  std::string pid_file;        // empty: none
  std::string control_socket;  // empty: none
  Where where;
};

enum class LogDestination : uint8_t { kStderr, kFile, kSyslog };
// [log]
struct Log {
  LogDestination destination = LogDestination::kStderr;
  std::string file;  // for kFile
  LogFormat format = LogFormat::kLogfmt;
  LogLevel level = LogLevel::kInfo;
};

// [limits]; each holds for the machine. `connections` and `handshakes` Postern divides among its
// workers.
struct Limits {
  uint32_t connections = 100'000;
  uint32_t handshakes = 0;  // connections whose handshake is not over yet; 0: no limit
  AddressLimits of_address = {};
  // For listeners that do not say otherwise; each has what holds for it in its own `access`.
  std::vector<os::Network> allow = {};
  std::vector<os::Network> deny = {};
  uint32_t addresses = 65'536;       // that are remembered
  uint32_t memory_reserve_mib = 64;  // with less of it left accepting stops; 0: it never does
  // Buffer slots per worker and side (limits::kSlotSize octets each).
  uint32_t buffers = 1024;
};

// [tickets]
struct Tickets {
  bool enabled = true;
  uint64_t lifetime_s = 86'400;  // RFC 8446 section 4.6.1: at most 604,800
  uint64_t rotate_s = 28'800;
  uint32_t count = 2;  // of TLS 1.3, in each handshake
  // Keys that several machines share; the first one seals. Empty: keys of this machine's own, made
  // anew every rotate_s.
  std::vector<std::string> files = {};
  Where where;
};

// [session_cache]: for clients without tickets.
struct SessionCache {
  uint32_t entries = 8'192;     // 0: none
  uint64_t lifetime_s = 3'600;  // RFC 5246 appendix F.1.4: at most 24 hours
  Where where;
};

struct Config {
  std::string path;  // the file this came from
  Process process;
  Log log;
  Certificates certificates;
  std::vector<Listener> listeners;
  std::vector<Backend> backends;
  // The built-in ones, then those of the file.
  std::vector<Policy> policies{BuiltInPolicies().begin(), BuiltInPolicies().end()};
  std::string default_policy = std::string(kDefaultPolicy);  // [tls] policy
  Limits limits;
  Tickets tickets;
  SessionCache session_cache;
  uint64_t drain_timeout_ms = 30'000;    // [timeouts] drain
  uint64_t prepare_timeout_ms = 10'000;  // [timeouts] prepare: a worker's answer at a reload
};

// Loaded is a configuration that can serve, with what the administrator should look at all the
// same.
struct Loaded {
  Config config;
  std::vector<Error> warnings;
};

// Parse checks `text` and reports every fault at once, in the order of the file: syntax, unknown
// keys (with the nearest known one), wrong types and ranges, references to what is not there, two
// listeners on one address. Relative paths are taken from the directory of `path`.
std::expected<Loaded, std::vector<Error>> Parse(std::string_view text, const std::string& path);
// Load is Parse on a file's content.
std::expected<Loaded, std::vector<Error>> Load(const std::string& path);

// LoadCertificates reads [certificates] alone, as far as it can be read; nothing when it has faults
// of its own or when a syntax error may hide part of it. For a check that goes on after faults
// elsewhere.
std::optional<Certificates> LoadCertificates(const std::string& path);
// LoadBackends does the same for [backends]; none when they, or [certificates], have faults.
std::vector<Backend> LoadBackends(const std::string& path);

// Control is how to reach the Postern that runs with a configuration.
struct Control {
  std::string socket;  // [process] control_socket; empty: none
  uint64_t prepare_timeout_ms = 10'000;
};
// LoadControl reads these keys alone: what is wrong elsewhere must not keep an administrator from
// stopping what runs. Faults: no such file, a syntax error (the keys may be hidden by it), faults
// of [process] and [timeouts].
std::expected<Control, std::vector<Error>> LoadControl(const std::string& path);

}  // namespace postern::config
