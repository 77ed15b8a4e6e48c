// The dialogs before TLS: what they cost a worker, whole dialogs and lines as they come.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>

#include "postern/mail/client_dialog.h"
#include "postern/mail/http_redirect.h"
#include "verify.h"

namespace postern::bench {
namespace {

using mail::ClientDialog;
using mail::DialogProtocol;

const mail::EhloKeywords& Keywords() {
  // Postfix's.
  static const mail::EhloKeywords keywords = {
      "PIPELINING",          "SIZE 10240000", "VRFY", "ETRN",     "STARTTLS", "AUTH PLAIN LOGIN",
      "ENHANCEDSTATUSCODES", "8BITMIME",      "DSN",  "SMTPUTF8", "CHUNKING"};
  return keywords;
}

// A connection's dialog up to the handshake: its object, the greeting, and each of the client's
// lines as a segment of its own.
void DialogToTls(benchmark::State& state, DialogProtocol protocol, std::string_view first,
                 std::string_view starttls) {
  std::string reply;
  for (auto _ : state) {
    reply.clear();
    const auto dialog = mail::MakeClientDialog({protocol, "mail.example.com", true});
    dialog->Greet(reply);
    ClientDialog::Step step = dialog->Take(AsBytes(first), reply);
    if (step.next == ClientDialog::Next::kKeywords) dialog->AnswerEhlo(&Keywords(), reply);
    step = dialog->Take(AsBytes(starttls), reply);
    if (step.next != ClientDialog::Next::kStartTls) return Wrong(state, "no STARTTLS");
    benchmark::DoNotOptimize(reply.data());
  }
  PerCore(state);
}

// One line of a dialog that goes on. A dialog ends after limits::kMaxDialogCommands of them, so
// each takes 50.
void DialogLines(benchmark::State& state, DialogProtocol protocol, std::string_view line,
                 bool at_once) {
  constexpr int kLines = 50;
  std::string all;
  for (int i = 0; i < kLines; ++i) all += line;
  std::string reply;
  for (auto _ : state) {
    reply.clear();
    const auto dialog = mail::MakeClientDialog({protocol, "mail.example.com", true});
    if (at_once) {
      if (dialog->Take(AsBytes(all), reply).consumed != all.size())
        return Wrong(state, "not all was taken");
    } else {
      for (int i = 0; i < kLines; ++i) {
        if (dialog->Take(AsBytes(line), reply).consumed != line.size())
          return Wrong(state, "not all was taken");
      }
    }
    benchmark::DoNotOptimize(reply.data());
  }
  PerCore(state, kLines);
}

// Octets that come one by one are looked at once each.
void DialogOctetByOctet(benchmark::State& state) {
  const std::string line = "1 ID (\"name\" \"" + std::string(1000, 'x') + "\")\r\n";
  std::string reply;
  for (auto _ : state) {
    reply.clear();
    const auto dialog = mail::MakeClientDialog({DialogProtocol::kImap, "mail.example.com", true});
    size_t consumed = 0;
    for (size_t size = 1; size <= line.size(); ++size) {
      consumed = dialog->Take(AsBytes(std::string_view(line).substr(0, size)), reply).consumed;
    }
    if (consumed != line.size()) return Wrong(state, "not all was taken");
  }
  PerCore(state, static_cast<int64_t>(line.size()));
}

void HttpRedirect(benchmark::State& state) {
  const std::string request =
      "GET /mail/?_task=mail HTTP/1.1\r\nHost: web.example.com\r\nUser-Agent: Mozilla/5.0 (X11; "
      "Linux x86_64)\r\n"
      "Accept: text/html,application/xhtml+xml\r\nAccept-Language: de,en\r\nCookie: " +
      std::string(1500, 'c') + "\r\n\r\n";
  const mail::RedirectRules rules{443, "web.example.com", std::nullopt};
  for (auto _ : state) {
    const mail::HttpRedirect verdict = mail::RedirectToHttps(AsBytes(request), rules);
    if (verdict.state != mail::HttpRedirect::State::kRedirect) return Wrong(state, "no redirect");
  }
  PerCore(state);
}

BENCHMARK_CAPTURE(DialogToTls, smtp, DialogProtocol::kSmtp, "EHLO client.example.org\r\n",
                  "STARTTLS\r\n");
BENCHMARK_CAPTURE(DialogToTls, imap, DialogProtocol::kImap, "1 CAPABILITY\r\n", "2 STARTTLS\r\n");
BENCHMARK_CAPTURE(DialogToTls, pop3, DialogProtocol::kPop3, "CAPA\r\n", "STLS\r\n");
BENCHMARK_CAPTURE(DialogToTls, sieve, DialogProtocol::kSieve, "CAPABILITY\r\n", "STARTTLS\r\n");
BENCHMARK_CAPTURE(DialogLines, smtp_noop, DialogProtocol::kSmtp, "NOOP\r\n", false);
BENCHMARK_CAPTURE(DialogLines, smtp_noop_at_once, DialogProtocol::kSmtp, "NOOP\r\n", true);
BENCHMARK_CAPTURE(DialogLines, imap_noop, DialogProtocol::kImap, "a1 NOOP\r\n", false);
BENCHMARK_CAPTURE(DialogLines, imap_id, DialogProtocol::kImap,
                  "a1 ID (\"name\" \"Thunderbird\" \"version\" \"128.0\")\r\n", false);
BENCHMARK_CAPTURE(DialogLines, pop3_capa, DialogProtocol::kPop3, "CAPA\r\n", false);
BENCHMARK_CAPTURE(DialogLines, sieve_noop, DialogProtocol::kSieve, "NOOP \"tag\"\r\n", false);
BENCHMARK(DialogOctetByOctet);
BENCHMARK(HttpRedirect);

}  // namespace
}  // namespace postern::bench
