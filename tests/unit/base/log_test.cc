#include "postern/base/log.h"

#include <string>
#include <vector>

#include "tests/unit/catch.h"

namespace postern {
namespace {

class Recorder : public LogSink {
 public:
  void Write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

// With installs a recorder for one test and takes it away again.
struct With {
  explicit With(LogFormat format) {
    GlobalLogging().sink = &recorder;
    GlobalLogging().format = format;
    GlobalLogging().process = "test";
  }
  ~With() { GlobalLogging() = Logging{}; }
  Recorder recorder;
};

std::string Logfmt(std::string_view value) {
  std::string out;
  AppendLogfmtValue(out, value);
  return out;
}

std::string Json(std::string_view value) {
  std::string out;
  AppendJsonString(out, value);
  return out;
}

}  // namespace

TEST_CASE("log: a peer cannot forge lines or fields") {
  CHECK(Logfmt("plain") == "plain");
  CHECK(Logfmt("") == "\"\"");
  CHECK(Logfmt("a b") == "\"a b\"");
  CHECK(Logfmt("x\nlevel=error") == "\"x\\nlevel=error\"");
  CHECK(Logfmt("say \"hi\" \\") == "\"say \\\"hi\\\" \\\\\"");
  CHECK(Logfmt(std::string_view("\0\x7f", 2)) == "\"\\x00\\x7f\"");
  CHECK(Logfmt("\xc3\xa9") == "\"\xc3\xa9\"");
  CHECK(Logfmt("\xff\xc3") == "\"\\xff\\xc3\"");
  CHECK(Logfmt("\xed\xa0\x80") == "\"\\xed\\xa0\\x80\"");  // a surrogate is no UTF-8
  CHECK(Json("a\"b\n\x01") == "\"a\\\"b\\n\\u0001\"");
  CHECK(Json("\xc0\xaf") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST_CASE("log: one line per event, in either format") {
  {
    With with(LogFormat::kLogfmt);
    LogLine(LogLevel::kInfo, "connection closed")
        .Field("bytes", 12)
        .Field("sni", "")
        .Field("ok", true);
    REQUIRE(with.recorder.lines.size() == 1);
    const std::string& line = with.recorder.lines[0];
    CHECK(line.starts_with("time="));
    CHECK(
        line.ends_with("Z level=info process=test event=\"connection closed\" bytes=12 ok=true\n"));
  }
  {
    With with(LogFormat::kJson);
    LogLine line(LogLevel::kError, "x");
    line.FieldMs("duration", 1050);
  }
  {
    With with(LogFormat::kJson);
    LogLine(LogLevel::kError, "x").Field("why", "a \"b\"");
    REQUIRE(with.recorder.lines.size() == 1);
    CHECK(with.recorder.lines[0].ends_with(
        ",\"level\":\"error\",\"process\":\"test\",\"event\":\"x\",\"why\":\"a \\\"b\\\"\"}\n"));
  }
}

TEST_CASE("log: below the least level nothing is written") {
  With with(LogFormat::kLogfmt);
  LogLine(LogLevel::kDebug, "x").Field("a", 1);
  CHECK(with.recorder.lines.empty());
}

}  // namespace postern
