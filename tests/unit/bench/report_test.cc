#include "bench/load/report.h"

#include "tests/unit/catch.h"

using namespace postern::bench;

namespace {

Tally Example() {
  Tally tally;
  tally.seconds = 2;
  tally.count = 300;
  for (uint64_t i = 1; i <= 300; ++i) tally.latency.Add(i * 100);
  tally.full = 300;
  tally.versions["TLSv1.3"] = 300;
  tally.groups["X25519"] = 300;
  tally.ciphers["TLS_AES_128_GCM_SHA256"] = 300;
  tally.cpu_seconds = 0.03;
  tally.interval_s = 0.5;
  tally.intervals = {70, 80, 70, 80};
  return tally;
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

LoadOptions Target() {
  LoadOptions options;
  options.host = "127.0.0.1";
  options.port = 993;
  return options;
}

}  // namespace

TEST_CASE("A tally goes to another process and back", "[bench]") {
  Tally tally = Example();
  tally.Fail("a \"reason\" with \xff in it", 3);
  const auto back = Deserialize(Serialize(tally));
  REQUIRE(back);
  CHECK(back->count == 300);
  CHECK(back->failed() == 3);
  CHECK(back->latency.Places() == tally.latency.Places());
  CHECK(back->latency.max() == 30'000);
  CHECK(back->intervals == tally.intervals);
  CHECK(back->versions == tally.versions);
  for (const char* wrong : {"", "{}", "{\"count\":1", "[1]"}) CHECK_FALSE(Deserialize(wrong));
}

TEST_CASE("Tallies of several processes add up", "[bench]") {
  Tally sum;
  Tally wrong = Example();
  wrong.bytes_checked = true;
  wrong.bytes_right = false;
  wrong.seconds = 3;
  sum.Merge(Example());
  sum.Merge(wrong);
  CHECK(sum.count == 600);
  CHECK(sum.seconds == 3);
  CHECK(sum.versions["TLSv1.3"] == 600);
  CHECK(sum.intervals == std::vector<uint64_t>{140, 160, 140, 160});
  CHECK_FALSE(sum.bytes_right);
  CHECK(sum.latency.total() == 600);
}

TEST_CASE("The JSON says what was measured and what it cost", "[bench]") {
  const std::string json = ReportJson(Target(), Example());
  for (const char* part : {R"("mode": "handshake")", R"("target": "127.0.0.1:993")",
                           R"("per_second": 150.0)", R"("total": 0)", R"("TLSv1.3": 300)",
                           R"("cpu_us_per_unit": 100.0)", R"("certificate_verified": false)"}) {
    INFO(part);
    CHECK(Has(json, part));
  }
  CHECK_FALSE(Has(json, "bytes_right"));  // no octets were compared
}

TEST_CASE("The page carries all it needs, and escapes what servers say", "[bench]") {
  Tally tally = Example();
  const std::string good = ReportHtml(Target(), tally);
  CHECK(Has(good, "<polyline"));
  CHECK(Has(good, "<rect"));
  CHECK_FALSE(Has(good, "http://"));
  CHECK_FALSE(Has(good, "https://"));
  CHECK_FALSE(Has(good, "class=\"bad\""));
  tally.Fail("<script>alert(1)</script>");
  const std::string bad = ReportHtml(Target(), tally);
  CHECK(Has(bad, "class=\"bad\""));
  CHECK_FALSE(Has(bad, "<script>"));
  CHECK(Has(bad, "&lt;script&gt;"));
}

TEST_CASE("A result without a single unit is still one", "[bench]") {
  Tally nothing;
  nothing.Fail("connect: Connection refused", 20);
  CHECK(Has(ReportTable(Target(), nothing), "connect: Connection refused"));
  CHECK_FALSE(Has(ReportHtml(Target(), nothing), "<svg"));
  CHECK_FALSE(Has(ReportJson(Target(), nothing), "latency_us"));
}

TEST_CASE("Durations in the unit that suits them", "[bench]") {
  CHECK(Duration(350) == "350 µs");
  CHECK(Duration(1250) == "1.25 ms");
  CHECK(Duration(2'000'000) == "2.00 s");
}
