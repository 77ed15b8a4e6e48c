// What holds for the dialogs of all protocols: bounds, and octets behind STARTTLS.
#include "postern/mail/client_dialog.h"

#include <string>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

// A protocol with what the tests below say in it.
struct Tongue {
  DialogProtocol protocol;
  std::string start;     // what comes before STARTTLS
  std::string starttls;  // with its line end
  std::string go_ahead;  // the answer to it
  std::string goodbye;   // what the last line begins with when Postern ends the dialog
  std::string harmless;  // a command that is answered and changes nothing
  std::string refused;   // one that is not
  std::string too_long;  // the start of a line that does not end
};

const std::vector<Tongue>& Tongues() {
  static const std::vector<Tongue> tongues = {
      {DialogProtocol::kSmtp, "EHLO x\r\n", "STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n",
       "554 5.5.0 ", "NOOP\r\n", "AUTH PLAIN\r\n", "NOOP "},
      {DialogProtocol::kLmtp, "LHLO x\r\n", "STARTTLS\r\n", "220 2.0.0 Ready to start TLS\r\n",
       "554 5.5.0 ", "NOOP\r\n", "AUTH PLAIN\r\n", "NOOP "},
      {DialogProtocol::kImap, "0 CAPABILITY\r\n", "1 STARTTLS\r\n",
       "1 OK Begin TLS negotiation now\r\n", "* BYE ", "2 NOOP\r\n", "3 SELECT INBOX\r\n",
       "4 LOGIN "},
      {DialogProtocol::kImap, "0 CAPABILITY\n", "1 STARTTLS\n",
       "1 OK Begin TLS negotiation now\r\n", "* BYE ", "2 NOOP\n", "3 SELECT INBOX\n", "4 FOO "},
      {DialogProtocol::kPop3, "CAPA\r\n", "STLS\r\n", "+OK Begin TLS negotiation now\r\n", "-ERR ",
       "CAPA\r\n", "STAT\r\n", "FOO "},
      {DialogProtocol::kPop3, "", "stls\n", "+OK Begin TLS negotiation now\r\n", "-ERR ", "CAPA\n",
       "STAT\n", "PASS "},
      {DialogProtocol::kSieve, "NOOP\r\n", "STARTTLS\r\n", "OK \"Begin TLS negotiation now\"\r\n",
       "BYE \"", "NOOP\r\n", "LISTSCRIPTS\r\n", "NOOP \""},
  };
  return tongues;
}

DialogRules Rules(const Tongue& tongue, bool require_tls = true) {
  return {tongue.protocol, "mail.example.com", require_tls};
}

std::string LastLine(std::string reply) {
  if (reply.ends_with("\r\n")) reply.resize(reply.size() - 2);
  return reply.substr(reply.rfind('\n') + 1);
}

std::string Repeat(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("client dialogs: octets behind STARTTLS never reach anybody", "[dialog][injection]") {
  for (const Tongue& tongue : Tongues()) {
    for (const bool require_tls : {true, false}) {
      for (const std::string& behind : std::vector<std::string>{
               tongue.harmless, tongue.refused, tongue.starttls, "\r\n", "\n", "\r", " ", "x",
               std::string(1, '\0'), "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
               "1 LOGIN u p\r\n", "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
               "USER u\r\nPASS p\r\n", "AUTHENTICATE \"PLAIN\" \"AA==\"\r\n",
               std::string(20'000, 'x')}) {
        const std::string before = tongue.start + tongue.starttls;
        const std::string all = before + behind;
        INFO("said: " << all.substr(0, 100) << ", TLS required: " << require_tls);
        for (size_t cut = 0; cut < before.size() + 20 && cut <= all.size(); ++cut) {
          INFO("cut at " << cut);
          Player player(Rules(tongue, require_tls), nullptr);
          player.Feed(std::string_view(all).substr(0, cut));
          if (cut == before.size()) {
            // The one place where the dialog cannot see them: from here on the octets are the
            // handshake's.
            REQUIRE(player.End() == "starttls");
            REQUIRE(player.reply().ends_with(tongue.go_ahead));
            continue;
          }
          if (!player.over()) player.Feed(std::string_view(all).substr(cut));
          REQUIRE(player.End() == "close injection");
          REQUIRE(player.left().empty());
          REQUIRE_FALSE(player.reply().find(tongue.go_ahead) != std::string::npos);
          REQUIRE(LastLine(player.reply()).starts_with(tongue.goodbye));
        }
      }
    }
  }
}

TEST_CASE("client dialogs: a line that does not end is cut off", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    INFO("line: " << tongue.too_long);
    // The longest line that is read, and one octet more.
    const std::string end = tongue.protocol == DialogProtocol::kSieve ? "\"\r\n" : "\r\n";
    std::string longest = tongue.too_long;
    longest.resize(limits::kMaxDialogLine - end.size(), 'x');
    {
      Player player(Rules(tongue), nullptr);
      player.Feed(longest + end);
      CHECK(player.End() == "more");
      CHECK_FALSE(player.reply().empty());
      CHECK(player.left().empty());
    }
    for (const size_t pace : {size_t{1}, size_t{1000}, size_t{20'000}}) {
      Player player(Rules(tongue), nullptr);
      const std::string all = longest + "x" + end;
      for (size_t at = 0; at < all.size() && !player.over(); at += pace) {
        player.Feed(std::string_view(all).substr(at, pace));
      }
      CHECK(player.End() == "close line-too-long");
      CHECK(player.reply().ends_with("\r\n"));
      CHECK(player.reply().find("Line too long") != std::string::npos);
    }
  }
}

TEST_CASE("client dialogs: a spoilt line has its bound as well", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    Player player(Rules(tongue), nullptr);
    player.Feed(std::string(1, '\0') + std::string(limits::kMaxDialogLine, 'x'));
    CHECK(player.End() == "close line-too-long");
  }
}

TEST_CASE("client dialogs: errors are counted", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    Player player(Rules(tongue), nullptr);
    player.Feed(Repeat(tongue.harmless + tongue.refused, limits::kMaxDialogErrors - 1));
    REQUIRE(player.End() == "more");
    player.Feed(tongue.refused);
    CHECK(player.End() == "close too-many-errors");
    CHECK(player.reply().find("Too many errors") != std::string::npos);
  }
}

TEST_CASE("client dialogs: commands are counted", "[dialog]") {
  for (const Tongue& tongue : Tongues()) {
    Player player(Rules(tongue), nullptr);
    player.Feed(Repeat(tongue.harmless, limits::kMaxDialogCommands));
    REQUIRE(player.End() == "more");
    player.Feed(tongue.starttls);
    CHECK(player.End() == "close too-many-commands");
    CHECK(player.reply().find("Too many commands") != std::string::npos);
  }
}

TEST_CASE("client dialogs: TLS where plain text is spoken first", "[dialog]") {
  const std::string hello =
      std::string("\x16\x03\x01\x02\n\x01\x00\r\n", 9) + std::string(600, '\xFF');
  for (const Tongue& tongue : Tongues()) {
    for (size_t cut = 0; cut < hello.size(); ++cut) {
      Player player(Rules(tongue), nullptr);
      player.Feed(hello.substr(0, cut));
      if (!player.over()) player.Feed(hello.substr(cut));
      REQUIRE(player.End() == "close foreign");
      REQUIRE(player.reply().empty());
    }
  }
}

TEST_CASE("client dialogs: the ends have names", "[dialog]") {
  CHECK(ToString(DialogEnd::kNone) == "none");
  CHECK(ToString(DialogEnd::kQuit) == "quit");
  CHECK(ToString(DialogEnd::kInjection) == "injection");
  CHECK(ToString(DialogEnd::kLineTooLong) == "line-too-long");
  CHECK(ToString(DialogEnd::kTooManyErrors) == "too-many-errors");
  CHECK(ToString(DialogEnd::kTooManyCommands) == "too-many-commands");
  CHECK(ToString(DialogEnd::kSpokeFirst) == "spoke-first");
  CHECK(ToString(DialogEnd::kForeign) == "foreign");
}

}  // namespace postern::mail
