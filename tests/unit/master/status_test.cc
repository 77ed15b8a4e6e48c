#include "master/status.h"

#include "tests/unit/catch.h"
#include "tests/unit/master/parts.h"

namespace postern::master {
namespace {

StatusReport Example() {
  StatusReport report;
  report.state = "serving";
  report.pid = 4711;
  report.uptime_ms = (26 * 3600 + 61) * 1000;
  report.config_path = "/etc/postern/postern.toml";
  report.generation = 3;
  report.now_s = 1'000'000;
  StatusReport::Worker up;
  up.pid = 4712;
  up.cpu = 1;
  up.state = "serving";
  up.uptime_ms = 61'000;
  up.restarts = 2;
  up.connections = 17;
  up.full = 100;
  up.resumed = 50;
  up.failed = 3;
  up.refused[static_cast<size_t>(session::Refusal::kTooFast)] = 12;
  up.penalties = 2;
  up.bytes_in = 999;
  up.bytes_out = 1'234'567'890;
  StatusReport::Worker down;
  down.id = 1;
  down.state = "down";
  down.accept_errors = 5;
  report.workers = {up, down};
  report.listeners = {{"imaps", "imap", "[::]:993", "dovecot"}};
  report.certificates = 2;
  report.soonest_name = "mail.example.com";
  report.soonest_expiry_s = 1'000'000 + 3 * 86'400;
  report.parts = {{7, "keys", 2048, {2, 3}, {0, 1}}};
  return report;
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("status: the text for people") {
  StatusReport report = Example();
  const std::string text = FormatStatus(report);
  CHECK(Has(text, " is serving, process 4711, up 1 d 2 h, generation 3\n"));
  CHECK(Has(text, "\"mail.example.com\", expires 1970-01-15 13:46 UTC (in 3 days)\n"));
  CHECK(Has(text,
            "   0  4712    1  serving  1 min 1 s         2       17   100       50       3"
            "  999 B  1.2 GB\n"));
  CHECK(Has(text, "   1     -    -  down             -"));
  CHECK(Has(text, "  worker 1: 5 accepts that failed\n"));
  CHECK(Has(text, "  imaps  imap     [::]:993  dovecot\n"));
  CHECK(Has(text, "   7  keys  2.0 KB  2,3          0,1\n"));
  CHECK(Has(text, "  connections refused  reason\n                   12  too-fast\n"));
  CHECK_FALSE(Has(text, "have to pause"));
  CHECK(Has(text, "none since the start"));
  for (size_t from = 0; from < text.size();) {
    const size_t to = text.find('\n', from);
    CHECK(to - from <= 100);
    from = to + 1;
  }

  report.soonest_expiry_s = 999'999;
  report.last_reload = ReloadResult{false, 1'000'000, 1'250, "a: bad\nb: bad\n", "SIGHUP"};
  report.watch = "polling";
  report.waiting = {"x.key: no match"};
  const std::string refused = FormatStatus(report);
  CHECK(Has(refused, "EXPIRED 1970-01-12 13:46 UTC"));
  CHECK(Has(refused,
            "the last one, by SIGHUP, was REFUSED 1970-01-12 13:46 UTC after 1.250 s:\n"
            "    a: bad\n    b: bad\n"));
  CHECK(Has(refused, "; watched by polling\n  waiting: x.key: no match\n"));
  const std::string json = FormatStatusJson(report);
  CHECK(Has(json, R"("watch":"polling","waiting":["x.key: no match"]})"));
  CHECK(Has(json, R"("by":"SIGHUP")"));
}

TEST_CASE("status: without troubles none are shown") {
  StatusReport report = Example();
  report.workers.pop_back();
  CHECK_FALSE(Has(FormatStatus(report), "worth a look"));
}

TEST_CASE("status: JSON for programs") {
  StatusReport report = Example();
  report.config_path = "/etc/\"odd\"\n.toml";
  const std::string json = FormatStatusJson(report);
  CHECK(Has(json, R"("state":"serving","pid":4711,"uptime_s":93661,)"));
  CHECK(Has(json, R"("configuration":"/etc/\"odd\"\n.toml")"));
  CHECK(Has(json, R"("certificates":{"count":2,"soonest_name":"mail.example.com",)"));
  CHECK(Has(json, R"("handshakes_full":100,"handshakes_resumed":50,"handshakes_failed":3,)"));
  CHECK(Has(json, R"("too-fast":12,"paused":0},"faults":{"handshake":0,"dialog":0,"login":0},)"
                  R"("penalties":2,)"));
  CHECK(Has(json, R"("addresses":{"slots":0,"used":0,"paused":0})"));
  CHECK(Has(json, R"("parts":[{"id":7,"kind":"keys","size":2048,"generations":[2,3],)"
                  R"("workers":[0,1]}])"));
  CHECK(Has(json, R"("last_reload":null})"));
  CHECK(json.find('\n') == json.size() - 1);
}

TEST_CASE("status: a dead worker's gauges do not count, its counters do") {
  shm::WorkerCounters counters;
  counters.connections.Set(9);
  counters.handshakes_full.Set(4);
  WorkerView view;
  view.counters = &counters;
  view.state = WorkerState::kDown;
  CHECK(DescribeWorker(view, 100).connections == 0);
  CHECK(DescribeWorker(view, 100).full == 4);
  view.state = WorkerState::kServing;
  view.started_ms = 40;
  CHECK(DescribeWorker(view, 100).connections == 9);
  CHECK(DescribeWorker(view, 100).uptime_ms == 60);
}

TEST_CASE("status: parts and the certificate that expires first") {
  StatusReport report;
  auto made = std::const_pointer_cast<generation::Generation>(MakeGeneration(4));
  made->soonest_name = "soon";
  made->soonest_expiry_s = 100;
  DescribeGeneration(report, {made, ListenerSet()}, config::Config());
  CHECK(report.generation == 4);
  CHECK(report.soonest_name == "soon");
  CHECK(report.soonest_expiry_s == 100);

  Holdings holdings;
  holdings.Pin(4, made->parts);
  holdings.Sent(2, 4, made->parts);
  DescribeParts(report, holdings);
  REQUIRE(report.parts.size() == 2);
  CHECK(report.parts[0].kind == "settings");
  CHECK(report.parts[0].workers == std::vector<uint32_t>{2});
}

}  // namespace postern::master
