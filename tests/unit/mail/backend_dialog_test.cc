// What holds for the dialogs with servers of all protocols: bounds, octets that nobody asked for,
// and lines that are none.
#include "postern/mail/backend_dialog.h"

#include <string>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"
#include "tests/unit/mail/backend_transcript.h"

namespace postern::mail {
namespace {

// A protocol with what its server says on the way to TLS.
struct Tongue {
  DialogProtocol protocol;
  std::vector<std::string> answers;  // the greeting, and so on; the last one is to STARTTLS
  std::string line;                  // one of an answer that goes on
};

const std::vector<Tongue>& Tongues() {
  static const std::vector<Tongue> tongues = {
      {DialogProtocol::kSmtp,
       {"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"},
       "220-mx\r\n"},
      {DialogProtocol::kLmtp,
       {"220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "220-go\r\n220 go\r\n"},
       "220-mx\r\n"},
      {DialogProtocol::kImap, {"* OK mx\r\n", "* OK x\r\nP1 OK go\r\n"}, ""},
      {DialogProtocol::kPop3, {"+OK mx\r\n", "+OK go\r\n"}, ""},
      {DialogProtocol::kSieve, {"\"STARTTLS\"\r\nOK\r\n", "OK go\r\n"}, "\"SIEVE\" \"x\"\r\n"},
  };
  return tongues;
}

BackendRules Rules(const Tongue& tongue) {
  BackendRules rules{.protocol = tongue.protocol, .host_name = "front.example.com"};
  rules.starttls = true;
  return rules;
}

// Plays the dialog up to the answer to STARTTLS, which is left out.
void PlayToStartTls(BackendPlayer& player, const Tongue& tongue) {
  for (size_t i = 0; i + 1 < tongue.answers.size(); ++i) {
    player.Feed(Speaker::kServer, tongue.answers[i]);
    REQUIRE(player.End() == "more");
  }
}

}  // namespace

TEST_CASE("back end dialogs: octets behind the answer to STARTTLS", "[dialog][injection]") {
  for (const Tongue& tongue : Tongues()) {
    for (const std::string& behind : std::vector<std::string>{
             "\r\n", "\n", "\r", " ", "x", std::string(1, '\0'), "\x15\x03\x01", "220 mx\r\n",
             "250-mx\r\n250 XCLIENT ADDR\r\n", "P2 OK\r\n", "* PREAUTH\r\n", "+OK\r\n",
             "\"SASL\" \"PLAIN\"\r\nOK\r\n", tongue.answers.back()}) {
      const std::string said = tongue.answers.back() + behind;
      for (size_t cut = 0; cut <= said.size(); ++cut) {
        BackendPlayer player(Rules(tongue));
        PlayToStartTls(player, tongue);
        const std::string before = player.to_server();
        if (cut > 0) player.Feed(Speaker::kServer, said.substr(0, cut));
        if (cut == tongue.answers.back().size()) {
          // What follows runs into the handshake.
          REQUIRE(player.End() == "starttls");
        } else {
          if (!player.over()) player.Feed(Speaker::kServer, said.substr(cut));
          REQUIRE(player.last().failure == BackendFailure::kInjection);
          REQUIRE(
              player.End().starts_with("failed injection: sent octets behind its answer to "
                                       "STARTTLS, before the handshake: \""));
        }
        REQUIRE(player.to_server() == before);
        REQUIRE(player.to_client().empty());
      }
    }
  }
}

TEST_CASE("back end dialogs: answers to what has not been asked", "[dialog][injection]") {
  for (const Tongue& tongue : Tongues()) {
    for (size_t turn = 0; turn + 1 < tongue.answers.size(); ++turn) {
      for (const std::string& behind : {tongue.answers[turn + 1], std::string("2")}) {
        BackendPlayer player(Rules(tongue));
        for (size_t i = 0; i < turn; ++i) player.Feed(Speaker::kServer, tongue.answers[i]);
        player.Feed(Speaker::kServer, tongue.answers[turn] + behind);
        REQUIRE(player.End().starts_with("failed protocol: speaks out of turn: \""));
        REQUIRE(player.to_client().empty());
      }
    }
  }
}

TEST_CASE("back end dialogs: lines that are none", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    for (const auto& [octet, words] : std::vector<std::pair<std::string, std::string>>{
             {"\n", "failed protocol: sends a bare LF"},
             {"\rx", "failed protocol: sends a bare CR"},
             {std::string(1, '\0'), "failed protocol: sends NUL in a line"}}) {
      const std::string greeting = tongue.answers.front();
      const std::string said = greeting.substr(0, 3) + octet + greeting.substr(3);
      for (size_t cut = 0; cut < said.size(); ++cut) {
        BackendPlayer player(Rules(tongue));
        player.Feed(Speaker::kServer, said.substr(0, cut));
        if (!player.over()) player.Feed(Speaker::kServer, said.substr(cut));
        REQUIRE(player.End() == words);
      }
    }
  }
}

TEST_CASE("back end dialogs: answers are bounded", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    BackendPlayer player(Rules(tongue));
    for (size_t i = 0; i < limits::kMaxDialogLine - 1; ++i) player.Feed(Speaker::kServer, "2");
    REQUIRE(player.End() == "more");
    player.Feed(Speaker::kServer, "2");
    CHECK(player.End() == "failed protocol: sends a line that is too long");
  }
  for (const Tongue& tongue : Tongues()) {
    if (tongue.line.empty()) continue;
    BackendPlayer player(Rules(tongue));
    for (size_t size = 0; size + tongue.line.size() <= limits::kMaxServerAnswer;
         size += tongue.line.size()) {
      player.Feed(Speaker::kServer, tongue.line);
      REQUIRE(player.End() == "more");
    }
    player.Feed(Speaker::kServer, tongue.line);
    CHECK(player.End() == "failed protocol: sends an answer that is too long");
  }
  // The bound is an answer's, not a dialog's.
  for (const Tongue& tongue : Tongues()) {
    if (tongue.line.empty()) continue;
    BackendPlayer player(Rules(tongue));
    for (size_t size = 0; size + 2 * tongue.line.size() <= limits::kMaxServerAnswer;
         size += tongue.line.size()) {
      player.Feed(Speaker::kServer, tongue.line);
    }
    PlayToStartTls(player, tongue);
    player.Feed(Speaker::kServer, tongue.answers.back());
    CHECK(player.End() == "starttls");
  }
}

TEST_CASE("back end dialogs: literals are bounded", "[dialog]") {
  for (const DialogProtocol protocol : {DialogProtocol::kImap, DialogProtocol::kSieve}) {
    for (const char* mark : {"{16384}", "{4294967295}", "{99999999999999999999}", "{16380+}"}) {
      BackendRules rules{.protocol = protocol, .host_name = "front.example.com"};
      rules.starttls = true;
      BackendPlayer player(rules);
      player.Feed(Speaker::kServer, std::string("\"x\" ") + mark + "\r\n");
      CHECK(player.End() == "failed protocol: sends an answer that is too long");
    }
  }
}

TEST_CASE("back end dialogs: the words for the log are bounded and plain", "[dialog]") {
  BackendRules rules{.protocol = DialogProtocol::kPop3, .host_name = "front.example.com"};
  rules.starttls = true;
  BackendPlayer player(rules);
  player.Feed(Speaker::kServer, "-ERR \x1B[31m\xC3\xA4\"" + std::string(1000, 'x') + "\r\n");
  const std::string& detail = player.dialog().failure_detail();
  CHECK(detail.starts_with("refuses to serve: \"-ERR ?[31m???xxx"));
  CHECK(detail.ends_with("xxx...\""));
  CHECK(detail.size() < 200);
}

TEST_CASE("back end dialogs: an empty read changes nothing", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    BackendPlayer player(Rules(tongue));
    player.Feed(Speaker::kServer, "");
    CHECK(player.End() == "more");
    PlayToStartTls(player, tongue);
    player.Feed(Speaker::kServer, "");
    CHECK(player.End() == "more");
  }
}

}  // namespace postern::mail
