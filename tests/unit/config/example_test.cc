// The example that Postern comes with has to work as it is, and so has what it shows in comments.
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "postern/config/config.h"
#include "postern/os/files.h"
#include "tests/unit/catch.h"
#include "tests/unit/config/example_path.h"

namespace postern::config {
namespace {

// The example with every commented-out key and table switched on.
std::string Uncommented(const std::string& text) {
  std::string result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    // "# key = value" and "# [table]"; prose and indented lines of other programs stay comments.
    const bool key = line.starts_with("# ") && line.find(" = ") != std::string::npos &&
                     line.find(' ', 2) == line.find(" = ");
    if (key || line.starts_with("# [")) line.erase(0, 2);
    result += line + '\n';
    begin = end + 1;
  }
  return result;
}

}  // namespace

TEST_CASE("example: conf/postern.toml is sound as it is") {
  const auto loaded = Load(kExamplePath);
  REQUIRE(loaded.has_value());
  CHECK(loaded->warnings.empty());
  REQUIRE(loaded->config.listeners.size() == 3);
  CHECK(loaded->config.listeners[0].addresses[0].port == 993);
  CHECK(loaded->config.listeners[1].addresses[0].port == 995);
  CHECK(loaded->config.listeners[2].addresses[0].port == 465);
  CHECK_FALSE(loaded->config.certificates.directory_set);
  CHECK(loaded->config.certificates.pairs.empty());
}

TEST_CASE("example: what it shows in comments is true") {
  const auto plain = Load(kExamplePath);
  REQUIRE(plain.has_value());
  const Result<std::string> text = os::ReadFile(kExamplePath);
  REQUIRE(text.has_value());
  const auto loaded = Parse(Uncommented(*text), kExamplePath);
  if (!loaded.has_value()) {
    for (const Error& error : loaded.error()) FAIL_CHECK(error.ToString());
  }
  REQUIRE(loaded.has_value());
  const Config& a = plain->config;
  const Config& b = loaded->config;
  CHECK(b.listeners.size() == a.listeners.size() + 7);
  CHECK(b.certificates.pairs.size() == 1);
  CHECK(b.policies.size() == a.policies.size() + 1);
  CHECK(a.listeners[0].policy == b.listeners[0].policy);
  // Commented-out keys show the defaults, except for those that say they are examples.
  CHECK(a.process.workers == b.process.workers);
  CHECK(a.process.pin == b.process.pin);
  CHECK(a.process.pid_file == b.process.pid_file);
  CHECK(a.process.control_socket == b.process.control_socket);
  CHECK(a.log.destination == b.log.destination);
  CHECK(a.log.format == b.log.format);
  CHECK(a.log.level == b.log.level);
  CHECK(a.certificates.directory == b.certificates.directory);
  CHECK(a.limits.connections == b.limits.connections);
  CHECK(a.limits.buffers == b.limits.buffers);
  CHECK(a.limits.handshakes == b.limits.handshakes);
  CHECK(a.limits.of_address.failure_window_ms == b.limits.of_address.failure_window_ms);
  CHECK(a.limits.of_address.penalty_ms == b.limits.of_address.penalty_ms);
  CHECK(a.limits.of_address.penalty_max_ms == b.limits.of_address.penalty_max_ms);
  CHECK(a.limits.addresses == b.limits.addresses);
  CHECK(a.limits.memory_reserve_mib == b.limits.memory_reserve_mib);
  CHECK(a.listeners[0].timeouts.unread_ms == b.listeners[0].timeouts.unread_ms);
  CHECK(a.listeners[0].timeouts.dialog_ms == b.listeners[0].timeouts.dialog_ms);
  CHECK(a.listeners[0].timeouts.handshake_ms == b.listeners[0].timeouts.handshake_ms);
  CHECK(a.drain_timeout_ms == b.drain_timeout_ms);
  CHECK(a.prepare_timeout_ms == b.prepare_timeout_ms);
  CHECK(a.backends[0].connect_timeout_ms == b.backends[0].connect_timeout_ms);
  CHECK(a.backends[0].greeting_timeout_ms == b.backends[0].greeting_timeout_ms);
  CHECK(a.backends[0].ehlo_probe == b.backends[0].ehlo_probe);
  CHECK(a.backends[0].proxy == b.backends[0].proxy);
  CHECK(a.tickets.enabled == b.tickets.enabled);
  CHECK(a.tickets.lifetime_s == b.tickets.lifetime_s);
  CHECK(a.tickets.rotate_s == b.tickets.rotate_s);
  CHECK(a.tickets.count == b.tickets.count);
  CHECK(a.session_cache.entries == b.session_cache.entries);
  CHECK(a.session_cache.lifetime_s == b.session_cache.lifetime_s);
}

TEST_CASE("example: how to reach what runs can be told in spite of faults elsewhere") {
  char path[] = "/tmp/postern-config-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  const auto write = [&](std::string_view text) {
    REQUIRE(::ftruncate(fd, 0) == 0);
    REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  };
  write("[process]\ncontrol_socket = \"c.sock\"\n[listeners.x]\nport = -1\n[nonsense]\n");
  auto control = LoadControl(path);
  REQUIRE(control.has_value());
  CHECK(control->socket == "/tmp/c.sock");
  CHECK(control->prepare_timeout_ms == 10'000);
  // Behind a syntax error the keys may be hidden: no guess.
  write("[process]\ncontrol_socket = c.sock\n");
  CHECK_FALSE(LoadControl(path).has_value());
  write("[process]\ncontrol_socket = 5\n");
  CHECK_FALSE(LoadControl(path).has_value());
  ::close(fd);
  ::unlink(path);
  CHECK_FALSE(LoadControl(path).has_value());
}

TEST_CASE("example: a file that is not there is one clear fault") {
  const auto loaded = Load("/nonexistent/postern.toml");
  REQUIRE_FALSE(loaded.has_value());
  REQUIRE(loaded.error().size() == 1);
  CHECK(loaded.error()[0].what.find("/nonexistent/postern.toml") != std::string::npos);
  CHECK_FALSE(loaded.error()[0].remedy.empty());
}

}  // namespace postern::config
