#include "mail/line_reader.h"

#include <string>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

using Kind = LineReader::Kind;
using namespace std::string_literals;

// What a reader finds in `wire`, given in pieces of `pace` octets: lines, "!" for a fault, "-" for
// the end of a line that had one, "..." for a line too long.
std::vector<std::string> Read(LineEnds ends, const std::string& wire, size_t pace) {
  LineReader reader(ends);
  std::vector<std::string> found;
  size_t from = 0;
  size_t to = 0;
  while (to < wire.size()) {
    to = std::min(to + pace, wire.size());
    while (true) {
      const auto next = reader.Next(std::string_view(wire).substr(from, to - from));
      from += next.size;
      if (next.kind == Kind::kMore) break;
      if (next.kind == Kind::kLine) found.emplace_back(next.line);
      if (next.kind == Kind::kFault) found.emplace_back("!");
      if (next.kind == Kind::kSkipped) found.emplace_back("-");
      if (next.kind != Kind::kTooLong) continue;
      found.emplace_back("...");
      return found;
    }
  }
  return found;
}

using Lines = std::vector<std::string>;

struct Case {
  std::string wire;
  Lines crlf;    // LineEnds::kCrLf
  Lines any_lf;  // LineEnds::kAnyLf
};

}  // namespace

TEST_CASE("line reader: where lines end") {
  for (const Case& c : std::vector<Case>{
           {"", {}, {}},
           {"a", {}, {}},
           {"a\r", {}, {}},
           {"a\r\n", {"a"}, {"a"}},
           {"\r\n", {""}, {""}},
           {"a\r\nb\r\n", {"a", "b"}, {"a", "b"}},
           {"a\nb\r\n", {"!", "-"}, {"a", "b"}},
           {"a\nb\n", {"!"}, {"a", "b"}},
           {"\n\n", {"!"}, {"", ""}},
           {"a\rb\r\nc\r\n", {"!", "-", "c"}, {"!", "-", "c"}},
           {"a\rb\nc\r\n", {"!", "-"}, {"!", "-", "c"}},
           {"a\r\r\nb\r\n", {"!", "-", "b"}, {"!", "-", "b"}},
           {"\r\r\r\n", {"!", "-"}, {"!", "-"}},
           {"a\0b\r\n"s, {"!", "-"}, {"!", "-"}},
           {"\0\0\r\0\r\nb\r\n"s, {"!", "-", "b"}, {"!", "-", "b"}},
           {"\n\r\nb\r\n", {"!", "-", "b"}, {"", "", "b"}},
           {"\xFF\x80\x01\r\n", {"\xFF\x80\x01"}, {"\xFF\x80\x01"}},
       }) {
    for (const size_t pace : {size_t{1}, size_t{2}, size_t{3}, size_t{100}}) {
      INFO("wire: " << c.wire << ", pace: " << pace);
      CHECK(Read(LineEnds::kCrLf, c.wire, pace) == c.crlf);
      CHECK(Read(LineEnds::kAnyLf, c.wire, pace) == c.any_lf);
    }
  }
}

TEST_CASE("line reader: the fault is named") {
  const auto fault = [](LineEnds ends, const std::string& wire) {
    LineReader reader(ends);
    const auto found = reader.Next(wire);
    REQUIRE(found.kind == Kind::kFault);
    return found.fault;
  };
  CHECK(fault(LineEnds::kCrLf, "a\nb") == LineFault::kBareLf);
  CHECK(fault(LineEnds::kCrLf, "a\rb") == LineFault::kBareCr);
  CHECK(fault(LineEnds::kAnyLf, "a\r\r") == LineFault::kBareCr);
  CHECK(fault(LineEnds::kAnyLf, "a\0"s) == LineFault::kNul);
}

TEST_CASE("line reader: the bound") {
  const std::string longest = std::string(limits::kMaxDialogLine - 2, 'x');
  for (const size_t pace : {size_t{1}, size_t{999}, size_t{100'000}}) {
    CHECK(Read(LineEnds::kCrLf, longest + "\r\n", pace) == Lines{longest});
    CHECK(Read(LineEnds::kCrLf, longest + "x\r\n", pace) == Lines{"..."});
    CHECK(Read(LineEnds::kCrLf, "\n" + longest + "x\r\n", pace) == Lines{"!", "..."});
    CHECK(Read(LineEnds::kAnyLf, longest + "x\n", pace) == Lines{longest + "x"});
    CHECK(Read(LineEnds::kAnyLf, longest + "xx\n", pace) == Lines{"..."});
  }
}

}  // namespace postern::mail
