#include "postern/config/config.h"

#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/catch.h"

namespace postern::config {
namespace {

constexpr const char* kPath = "/etc/postern/postern.toml";

// The least that serves.
constexpr std::string_view kLeast = R"([listeners.imaps]
address = "*"
port = 993
service = "imap"
backend = "dovecot"
[backends.dovecot]
servers = ["127.0.0.1:143"]
)";

// Every fault of `text`, one per line, as the administrator sees them; "none" when it can serve.
std::string Faults(std::string_view text) {
  const auto loaded = Parse(text, "f");
  if (loaded.has_value()) return "none";
  std::string lines;
  for (const Error& error : loaded.error()) {
    CHECK_FALSE(error.remedy.empty());
    lines += error.ToString() + '\n';
  }
  return lines;
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string WithLeast(std::string_view text) { return std::string(kLeast).append(text); }

std::string Warnings(std::string_view text) {
  const auto loaded = Parse(text, "f");
  REQUIRE(loaded.has_value());
  std::string lines;
  for (const Error& warning : loaded->warnings) lines += warning.ToString() + '\n';
  return lines;
}

}  // namespace

TEST_CASE("config: the least configuration has every default") {
  const auto loaded = Parse(kLeast, kPath);
  REQUIRE(loaded.has_value());
  CHECK(loaded->warnings.empty());
  const Config& config = loaded->config;
  CHECK(config.path == kPath);
  CHECK(config.process.workers == 0);
  CHECK(config.process.pin);
  CHECK(config.process.user.empty());
  CHECK(config.process.pid_file == "/run/postern/postern.pid");
  CHECK(config.process.control_socket == "/run/postern/control.sock");
  CHECK(config.log.destination == LogDestination::kStderr);
  CHECK(config.certificates.directory == "/etc/postern/certs");
  CHECK_FALSE(config.certificates.directory_set);
  CHECK(config.limits.connections == 100'000);
  CHECK(config.limits.buffers == 1024);
  CHECK(config.drain_timeout_ms == 30'000);
  CHECK(config.prepare_timeout_ms == 10'000);
  CHECK(config.tickets.enabled);
  CHECK(config.tickets.lifetime_s == 86'400);
  CHECK(config.tickets.rotate_s == 28'800);
  CHECK(config.tickets.count == 2);
  CHECK(config.session_cache.entries == 8'192);
  CHECK(config.session_cache.lifetime_s == 3'600);
  REQUIRE(config.listeners.size() == 1);
  const Listener& listener = config.listeners[0];
  CHECK(listener.name == "imaps");
  CHECK(listener.service == Service::kImap);
  CHECK(listener.tls == TlsMode::kImplicit);
  CHECK(listener.backend == "dovecot");
  CHECK(listener.timeouts.handshake_ms == 10'000);
  CHECK(listener.timeouts.idle_ms == 35 * 60'000);
  CHECK(listener.where.ToString() == "/etc/postern/postern.toml:1:1");
  REQUIRE(listener.addresses.size() == 1);
  CHECK(listener.addresses[0].dual_stack);
  CHECK(listener.addresses[0].port == 993);
  REQUIRE(config.backends.size() == 1);
  CHECK(config.backends[0].connect_timeout_ms == 5'000);
  CHECK(config.backends[0].greeting_timeout_ms == 30'000);
  CHECK(config.backends[0].ehlo_probe);
  CHECK(config.backends[0].servers[0].host == "127.0.0.1");
}

TEST_CASE("config: every key is read") {
  const auto loaded = Parse(R"(
[process]
workers = 4
pin = false
user = "postern"
group = "mail"
pid_file = "run/postern.pid"
control_socket = ""
[log]
destination = "./postern.log"
format = "json"
level = "debug"
[certificates]
directory = "certs"
default = "mail"
[[certificates.pair]]
name = "mail"
certificate = "mail/fullchain.pem"
key = "/keys/mail.pem"
[[certificates.pair]]
certificate = "web.pem"
key = "../web.key"
[listeners.second]
address = ["192.0.2.1", "[2001:db8::1]:9993"]
port = 993
service = "imap"
tls = "implicit"
backend = "b"
handshake_timeout = "5s"
idle_timeout = 3600
[listeners.first]
address = "*:995"
service = "pop3"
backend = "b"
[backends.b]
servers = ["imap.example.com:143", "unix:/run/imap"]
connect_timeout = "250ms"
greeting_timeout = "12s"
ehlo_probe = false
[limits]
connections = 10
buffers = 64
[timeouts]
handshake = "20s"
idle = "45m"
drain = 0
prepare = "1m"
[tickets]
enabled = false
lifetime = "7d"
rotate = "1h"
count = 0
[session_cache]
entries = 0
lifetime = "24h"
)",
                            kPath);
  REQUIRE(loaded.has_value());
  const Config& config = loaded->config;
  CHECK(config.process.workers == 4);
  CHECK_FALSE(config.process.pin);
  CHECK(config.process.user == "postern");
  CHECK(config.process.group == "mail");
  CHECK(config.process.pid_file == "/etc/postern/run/postern.pid");
  CHECK(config.process.control_socket.empty());
  CHECK(config.log.destination == LogDestination::kFile);
  CHECK(config.log.file == "/etc/postern/postern.log");
  CHECK(config.log.format == LogFormat::kJson);
  CHECK(config.log.level == LogLevel::kDebug);
  CHECK(config.certificates.directory == "/etc/postern/certs");
  CHECK(config.certificates.directory_set);
  CHECK(config.certificates.default_name == "mail");
  REQUIRE(config.certificates.pairs.size() == 2);
  CHECK(config.certificates.pairs[0].name == "mail");
  CHECK(config.certificates.pairs[0].certificate == "/etc/postern/mail/fullchain.pem");
  CHECK(config.certificates.pairs[0].key == "/keys/mail.pem");
  CHECK(config.certificates.pairs[0].where.line == 16);
  CHECK(config.certificates.pairs[1].name.empty());
  CHECK(config.certificates.pairs[1].key == "/etc/web.key");
  // Listeners come in the order of the file, not of their names.
  REQUIRE(config.listeners.size() == 2);
  CHECK(config.listeners[0].name == "second");
  REQUIRE(config.listeners[0].addresses.size() == 2);
  CHECK(config.listeners[0].addresses[0].port == 993);
  CHECK(config.listeners[0].addresses[1].port == 9993);
  CHECK(config.listeners[0].timeouts.handshake_ms == 5'000);
  CHECK(config.listeners[0].timeouts.idle_ms == 3'600'000);
  CHECK(config.listeners[1].timeouts.handshake_ms == 20'000);
  CHECK(config.listeners[1].timeouts.idle_ms == 45 * 60'000);
  REQUIRE(config.backends.size() == 1);
  CHECK(config.backends[0].servers[1].unix_path == "/run/imap");
  CHECK(config.backends[0].connect_timeout_ms == 250);
  CHECK(config.backends[0].greeting_timeout_ms == 12'000);
  CHECK_FALSE(config.backends[0].ehlo_probe);
  CHECK(config.limits.connections == 10);
  CHECK(config.limits.buffers == 64);
  CHECK(config.drain_timeout_ms == 0);
  CHECK(config.prepare_timeout_ms == 60'000);
  CHECK_FALSE(config.tickets.enabled);
  CHECK(config.tickets.lifetime_s == 604'800);
  CHECK(config.tickets.rotate_s == 3'600);
  CHECK(config.tickets.count == 0);
  CHECK(config.session_cache.entries == 0);
  CHECK(config.session_cache.lifetime_s == 86'400);
}

TEST_CASE("config: idle timeouts follow the service") {
  for (const auto& [service, minutes] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"imap", 35},
                                                               {"sieve", 35},
                                                               {"pop3", 11},
                                                               {"smtp", 11},
                                                               {"submission", 11},
                                                               {"http", 2},
                                                               {"raw", 60}}) {
    INFO(service);
    std::string text(kLeast);
    text.replace(text.find("\"imap\""), 6, '"' + std::string(service) + '"');
    const auto loaded = Parse(text, kPath);
    REQUIRE(loaded.has_value());
    CHECK(loaded->config.listeners[0].timeouts.idle_ms == minutes * 60'000);
    CHECK(ToString(loaded->config.listeners[0].service) == service);
  }
}

TEST_CASE("config: every fault is reported at once, in the order of the file") {
  CHECK(Faults(R"([process]
workrs = 4
workers = 1000
[listners.x]
[listeners.imaps]
adress = "*"
port = 0
service = "impa"
tls = "start-tls"
backend = "dovecto"
idle_timeout = "10 minutes"
[backends.dovecot]
servers = ["127.0.0.1:143", "127.0.0.1", "unix:imap", 5]
[log]
level = "warn"
)") == R"(f:2:1: unknown key "workrs" in [process]; did you mean "workers"?
f:3:11: workers = 1000 in [process] is out of range; write a whole number from 0 to 256, without quotes
f:4:2: unknown table "listners" in this file; did you mean "listeners"?
f:5:1: [listeners.imaps] has no address; add address = "*" for every address of this machine, or name single ones
f:6:1: unknown key "adress" in [listeners.imaps]; did you mean "address"?
f:7:8: port = 0 in [listeners.imaps] is out of range; write a whole number from 1 to 65535, without quotes
f:8:11: unknown service "impa" in [listeners.imaps]; did you mean "imap"? known values are "imap", "pop3", "smtp", "submission", "lmtp", "sieve", "http" or "raw"
f:9:7: unknown tls "start-tls" in [listeners.imaps]; did you mean "starttls"? known values are "implicit", "starttls", "auto" or "off"
f:10:11: the back end "dovecto" of [listeners.imaps] is not defined; did you mean "dovecot"?
f:11:16: idle_timeout = "10 minutes" in [listeners.imaps] is no duration; write a number with its unit (ms, s, m, h or d), for example "10s" or "35m"
f:13:29: "127.0.0.1" has no port; write "host:port", "[IPv6 address]:port" or "unix:/path", for example "127.0.0.1:143"
f:13:42: the UNIX socket in "unix:imap" has no absolute path; begin the path with "/", for example "unix:/run/dovecot/imap"
f:13:55: servers in [backends.dovecot] is an integer, it has to be a text; write a text in double quotes, or a list of such: ["a", "b"]
f:15:9: unknown level "warn" in [log]; did you mean "warning"? known values are "debug", "info", "notice", "warning" or "error"
)");
}

TEST_CASE("config: an unknown key near to none is answered with all that there are") {
  CHECK(Faults(WithLeast("[tickets]\ncolour = 1\n")) ==
        "f:9:1: unknown key \"colour\" in [tickets]; use one of \"enabled\", \"lifetime\", "
        "\"rotate\", \"count\" or \"files\"\n");
}

TEST_CASE("config: ticket keys from files") {
  const auto loaded =
      Parse(WithLeast("[tickets]\nfiles = [\"new.key\", \"/run/old.key\"]\n"), "/etc/f");
  REQUIRE(loaded);
  CHECK(loaded->config.tickets.files == std::vector<std::string>{"/etc/new.key", "/run/old.key"});
  CHECK(Faults(WithLeast("[tickets]\nfiles = \"k\"\nrotate = \"1h\"\n")) ==
        "f:10:10: rotate in [tickets] is of no use with files; remove it; write new keys into the "
        "files, and reload\n");
  CHECK(Faults(WithLeast("[tickets]\nfiles = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n")) ==
        "f:9:9: files in [tickets] names 5 files; name at most 4: the key that seals first, then "
        "those "
        "that only open\n");
  CHECK(Faults(WithLeast("[tickets]\nfiles = \"\"\n")) ==
        "f:9:9: files in [tickets] names an empty path; write a path, or remove the key\n");
}

TEST_CASE("config: what is missing is named") {
  CHECK(Faults("") ==
        "f: there is no listener; add a table [listeners.NAME] with address, port, service and "
        "backend\n");
  CHECK(Faults("[listeners]\n").starts_with("f: there is no listener"));
  const std::string faults = Faults("[listeners.x]\n[backends.y]\n[[certificates.pair]]\n");
  for (const char* part :
       {"f:1:1: [listeners.x] has no address", "f:1:1: [listeners.x] has no port",
        "f:1:1: [listeners.x] has no service", "f:1:1: [listeners.x] has no backend",
        "f:2:1: [backends.y] has no servers", "f:3:1: [[certificates.pair]] has no certificate",
        "f:3:1: [[certificates.pair]] has no key"}) {
    INFO(part);
    CHECK(faults.find(part) != std::string::npos);
  }
  CHECK(Faults(R"([listeners.x]
address = ["192.0.2.1:1", "192.0.2.2"]
service = "raw"
backend = "y"
[backends.y]
servers = []
)") == "f:1:1: [listeners.x] has no port; add port = NUMBER, for example 993 for IMAP over TLS\n"
       "f:6:11: servers in [backends.y] is an empty list; name at least one\n");
}

TEST_CASE("config: wrong types say what is there and what belongs there") {
  struct Case {
    const char* text;
    const char* fault;
  };
  const Case cases[] = {
      {"log = 3\n[x]", "f:1:7: log in this file is an integer, it has to be a table"},
      {"listeners = []", "listeners in this file is a list, it has to be a table of tables"},
      {"[[listeners]]\nport = 3",
       "listeners in this file is a list, it has to be a table of tables"},
      {"[listeners]\nport = 3", "\"port\" in [listeners] is an integer, it has to be a table"},
      {"[process]\npin = \"yes\"", "pin in [process] is a text, it has to be true or false"},
      {"[process]\nworkers = 1.5",
       "workers in [process] is a number with a fraction, it has to be an integer"},
      {"[process]\nuser = 1979-05-27", "user in [process] is a date or time, it has to be a text"},
      {"[certificates.pair]\nkey = \"x\"",
       "pair in [certificates] is a table, it has to be a list of tables; begin each pair with the "
       "line [[certificates.pair]], brackets doubled"},
      {"[certificates]\npair = [1]", "a certificate pair is an integer, it has to be a table"},
      {"[timeouts]\ndrain = true", "drain in [timeouts] is true or false, it has to be a text"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    INFO(Faults(c.text));
    CHECK(Faults(c.text).find(c.fault) != std::string::npos);
  }
}

TEST_CASE("config: values out of range") {
  struct Case {
    const char* text;
    const char* fault;
  };
  const Case cases[] = {
      {"[timeouts]\nhandshake = \"11m\"", "write a duration from \"100ms\" to \"10m\""},
      {"[timeouts]\nidle = 0", "idle = 0 in [timeouts] is out of range"},
      {"[timeouts]\nidle = -5", "idle = -5 in [timeouts] is no duration"},
      {"[timeouts]\nidle = 9223372036854775807", "idle = 9223372036854775807 in [timeouts] is "},
      {"[tickets]\nlifetime = \"8d\"", "write a duration from \"1s\" to \"7d\""},
      {"[tickets]\nlifetime = \"1500ms\"",
       "lifetime in [tickets] is not a whole number of seconds"},
      {"[tickets]\ncount = 9", "write a whole number from 0 to 8"},
      {"[session_cache]\nentries = 1048577", "write a whole number from 0 to 1048576"},
      {"[session_cache]\nlifetime = \"25h\"", "write a duration from \"1s\" to "},
      {"[limits]\nconnections = 0", "write a whole number from 1 to 10000000"},
      {"[limits]\nbuffers = 1000",
       "buffers = 1000 in [limits] is no power of two; write 512 or 1024"},
      {"[limits]\nbuffers = -1", "buffers = -1 in [limits] is out of range"},
      {"[log]\ndestination = \"stdout\"", "unknown destination \"stdout\" in [log]"},
      {"[log]\ndestination = \"/var/log/\"", "unknown destination \"/var/log/\" in [log]"},
      {"[certificates]\ndirectory = \"\"", "directory in [certificates] is empty"},
      {"[certificates]\ndirectory = \"a\\u0000b\"", "directory in [certificates] holds a control"},
      {"[certificates]\ndefault = \"a b\"", "\"a b\" is no good name for a certificate"},
      {"[process]\npid_file = \"/x\"\ncontrol_socket = \"/x\"", "are the same path"},
      {"[listeners.\"a b\"]", "\"a b\" is no good name for a listener"},
      {"[listeners.\"\"]", "the name of a listener is empty"},
      {"[backends.\"a\\nb\"]", "\"a\\x0ab\" is no good name for a back end"},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    INFO(Faults(c.text));
    CHECK(Faults(c.text).find(c.fault) != std::string::npos);
  }
  const std::string socket = "[process]\ncontrol_socket = \"/" + std::string(107, 'a') + '"';
  CHECK(Faults(socket).find("has 108 octets") != std::string::npos);
  const std::string user = "[process]\nuser = \"" + std::string(5000, 'a') + '"';
  CHECK(Faults(user).find("user in [process] is longer than 4096 octets") != std::string::npos);
}

TEST_CASE("config: two listeners on one address are refused") {
  const auto both = [](std::string_view a, std::string_view b) {
    std::string text;
    for (const auto& [name, address] : {std::pair("a", a), std::pair("b", b)}) {
      text +=
          std::string("[listeners.") + name + "]\nservice = \"raw\"\nbackend = \"x\"\nport = 993\n";
      text += "address = " + std::string(address) + '\n';
    }
    return Faults(text + "[backends.x]\nservers = \"unix:/x\"\n");
  };
  CHECK(both(R"("*")", R"("0.0.0.0")") ==
        "f:10:11: 0.0.0.0:993 of [listeners.b] is taken by *:993 of [listeners.a] on line 5; give "
        "one of them another address or port\n");
  CHECK(both(R"("0.0.0.0")", R"("*")").find("*:993 of [listeners.b] is taken") !=
        std::string::npos);
  CHECK(both(R"("*")", R"("::")").find("[::]:993 of [listeners.b] is taken") != std::string::npos);
  CHECK(both(R"("*")", R"("*")").find("is taken by *:993") != std::string::npos);
  CHECK(both(R"("2001:db8::1")", R"("[2001:0DB8::1]:993")").find("is taken by") !=
        std::string::npos);
  CHECK(both(R"("192.0.2.1")", R"("::ffff:192.0.2.1")").find("is taken by") != std::string::npos);
  CHECK(both(R"(["192.0.2.1", "192.0.2.1"])", R"("*:1")")
            .find("is taken by 192.0.2.1:993 of the same listener on line 5; remove one") !=
        std::string::npos);
  // Each of these has its own connections.
  CHECK(both(R"("0.0.0.0")", R"("::")") == "none");
  CHECK(both(R"("*")", R"("*:994")") == "none");
  CHECK(both(R"("*")", R"("192.0.2.1")") == "none");
  CHECK(both(R"("192.0.2.1")", R"("192.0.2.2")") == "none");
}

TEST_CASE("config: names stand once") {
  CHECK(
      Faults(WithLeast("[listeners.imaps]  # again\nport = 1\n"))
          .ends_with(": the table \"[listeners.imaps]\" stands twice; give one of the two another "
                     "name, or put all keys under the first\n"));
  CHECK(Faults(WithLeast("servers = []\n"))
            .ends_with(": the key \"servers\" stands twice; remove one of the two\n"));
  const std::string pair =
      "[[certificates.pair]]\nname = \"m\"\ncertificate = \"c\"\nkey = \"k\"\n";
  CHECK(Faults(WithLeast(pair + pair)) ==
        "f:12:1: two certificates have the name \"m\"; the other is on line 8; give one of them "
        "another name\n");
}

TEST_CASE("config: a back end that is Postern itself is refused") {
  std::string text(kLeast);
  text.replace(text.find("127.0.0.1:143"), 13, "127.0.0.1:993");
  CHECK(Faults(text) ==
        "f:7:12: the server \"127.0.0.1:993\" of [backends.dovecot] is [listeners.imaps] itself; "
        "name the address and port where the mail server listens\n");
}

TEST_CASE("config: all syntax errors are shown, and no false ones behind them") {
  // Three broken lines, and a fault of content that can still be told. What may have stood on the
  // broken lines (the port, the back end's servers) is not called missing.
  const std::string faults = Faults(R"([listeners.imaps]
address = "*"
port 993
service = imap
backend = "dovecot"
prt = 5
[backends.dovecot]
servers = "127.0.0.1:143
)");
  INFO(faults);
  const std::vector<std::string> lines = Lines(faults);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("f:3:6: syntax error: "));
  CHECK(
      lines[0].ends_with("; write key = value, or begin the line with \"#\" to make it a comment"));
  CHECK(lines[1].starts_with("f:4:1"));
  CHECK(
      lines[1].ends_with(": syntax error: the value \"imap\" is no number, no true or false, and "
                         "no text; put text in double quotes, as in \"imap\" or \"10s\""));
  CHECK(lines[2] == "f:6:1: unknown key \"prt\" in [listeners.imaps]; did you mean \"port\"?");
  CHECK(lines[3].starts_with("f:8:"));
  CHECK(
      lines[3].ends_with(": syntax error: the text is not closed on its line; put a \" behind it"));
}

TEST_CASE("config: a broken table header takes its keys with it") {
  const std::vector<std::string> lines =
      Lines(Faults(WithLeast("[log\nlevel = \"info\"\n[limits]\nconections = 3\n")));
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("f:8:5: syntax error: "));
  CHECK(lines[0].ends_with("for example [listeners.imaps]"));
  CHECK(lines[1].starts_with("f:11:1: unknown key \"conections\" in [limits]"));
}

TEST_CASE("config: characters that cannot stand outside of a text") {
  CHECK(
      Faults(WithLeast("[log]\nlevel = \u201cinfo\u201d\nk\u00e9y = 1\n[\u045e]\n")) ==
      "f:9:9: syntax error: a typographic quote or space, as text processors make them; type it "
      "again as a plain \" or a plain space\n"
      "f:10:2: syntax error: the character \"\u00e9\" stands outside of a text; put text in double "
      "quotes, and begin a comment with \"#\"\n"
      "f:11:2: syntax error: the character \"\u045e\" stands outside of a text; put text in double "
      "quotes, and begin a comment with \"#\"\n");
  CHECK(Faults(WithLeast("k = \xe9\n")) ==
        "f:8:5: syntax error: an octet that is not UTF-8; save the file as UTF-8\n");
  // In texts and comments, and as the mark that some editors begin a file with, they are at home.
  CHECK(Faults("\xef\xbb\xbf" + WithLeast("# \u201c\n[process]\nuser = '\u00e9'\n")) == "none");
}

TEST_CASE("config: behind an error inside a list nothing is guessed") {
  const std::vector<std::string> lines =
      Lines(Faults("[backends.x]\nservers = [\n  \"a:1\"\n  \"b:1\"\n]\nfoo\n"));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("f:4:3: syntax error"));
}

TEST_CASE("config: warnings do not keep it from serving") {
  CHECK(Warnings(WithLeast("[backends.spare]\nservers = [\"a:1\", \"a:1\"]\n")) ==
        "f:8:1: no listener uses [backends.spare]; remove it, or name it as the backend of a "
        "listener\n"
        "f:9:19: the server \"a:1\" stands twice in [backends.spare]; remove one of the two\n");
  CHECK(Warnings(WithLeast("[tickets]\nlifetime = \"2d\"\n")) ==
        "f:8:1: tickets live for 2d, their keys only for 1d; in [tickets] set rotate to a third of "
        "lifetime or more: \"16h\"\n");
  CHECK(Warnings(WithLeast("[tickets]\nlifetime = \"2d\"\nenabled = false\n")).empty());
  std::string text(kLeast);
  text.replace(text.find("993"), 3, "143\nidle_timeout = \"5m\"");
  text.replace(text.find("127.0.0.1:143"), 13, "unix:/run/imap");
  CHECK(Warnings(text) ==
        "f:1:1: the idle timeout 5m of [listeners.imaps] is shorter than the 30m of RFC 9051 "
        "section 5.4; set idle_timeout to \"30m\" or more\n"
        "f:2:11: [listeners.imaps] begins with TLS on port 143, which is for IMAP, which begins "
        "without TLS; use port 993 for IMAP over TLS, or tls = \"starttls\"\n");
}

TEST_CASE("config: no input harms the process") {
  // Nested so deeply that the tree could not be destroyed without a stack overflow.
  std::string dotted = "a";
  for (int i = 0; i < 1'000'000; ++i) dotted += ".a";
  const char* const too_deep = "nested too deeply";
  CHECK(Faults(dotted + " = 1").find(too_deep) != std::string::npos);
  CHECK(Faults('[' + dotted + ']').find(too_deep) != std::string::npos);
  CHECK(Faults("a = " + std::string(100'000, '[')).find(too_deep) != std::string::npos);
  CHECK(Faults("x = \"\"\"\n[[[\n" + dotted + "\"\"\"\n" + dotted + " = 1").find(too_deep) !=
        std::string::npos);
  // A long path in a text is no nesting.
  CHECK(Faults(WithLeast("[process]\npid_file = \"/" + std::string(2000, '.') + "\"\n")) == "none");
  for (const std::string_view text :
       {std::string_view("\0", 1), std::string_view("\xff\xfe"), std::string_view("\xef\xbb\xbf"),
        std::string_view("\r"), std::string_view("\n\r\n"), std::string_view("["),
        std::string_view("[["), std::string_view("="), std::string_view("a = \"\\"),
        std::string_view("a = '''"), std::string_view("a = \"\"\""),
        std::string_view("a.b = 1\na = 1"), std::string_view("a = {b = {c = 1}, b.d = 2}"),
        std::string_view("\"\" = 1")}) {
    INFO(text);
    CHECK(Faults(text) != "none");
  }
}

TEST_CASE("config: passphrases come from somewhere else, for all pairs or for each") {
  const auto loaded = Parse(WithLeast("[certificates]\n"
                                      "passphrase = \"file:secrets/all\"\n"
                                      "[[certificates.pair]]\ncertificate = \"a\"\nkey = \"a\"\n"
                                      "[[certificates.pair]]\ncertificate = \"b\"\nkey = \"b\"\n"
                                      "passphrase = \"credential:b\"\n"),
                            "/etc/postern/postern.toml");
  REQUIRE(loaded.has_value());
  const Certificates& certificates = loaded->config.certificates;
  CHECK(ToString(certificates.passphrase) == "file:/etc/postern/secrets/all");
  REQUIRE(certificates.pairs.size() == 2);
  CHECK(certificates.pairs[0].passphrase == certificates.passphrase);
  CHECK(ToString(certificates.pairs[1].passphrase) == "credential:b");
  // A passphrase itself is refused and shown to nobody.
  const std::string fault = Faults(WithLeast("[certificates]\npassphrase = \"Tr0ub4dor\"\n"));
  CHECK(fault.find("a passphrase itself must not stand here") != std::string::npos);
  CHECK(fault.find("credential:NAME") != std::string::npos);
  CHECK(fault.find("Tr0ub4dor") == std::string::npos);
}

}  // namespace postern::config
