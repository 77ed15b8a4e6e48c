// The status report in its two forms. The text is for a terminal of 100 columns: one table per
// subject, numbers to the right, sizes rounded to what a person reads.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <string_view>

#include "master/status.h"
#include "postern/base/log.h"

namespace postern::master {
namespace {

// "3 d 4 h", "2 h 5 min", "12 s": the two largest units.
std::string Span(uint64_t ms) {
  const uint64_t s = ms / 1000;
  if (s >= 86'400) return fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3'600);
  if (s >= 3'600) return fmt::format("{} h {} min", s / 3'600, s % 3'600 / 60);
  if (s >= 60) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

// "512 B", "4.2 KB", "17 MB", in powers of 1,000.
std::string Size(uint64_t octets) {
  static constexpr std::array<std::string_view, 6> kUnits = {"B", "KB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(octets);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 || value >= 99.5) return fmt::format("{:.0f} {}", value, kUnits[unit]);
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string UtcTime(int64_t seconds) {
  const time_t when = seconds;
  std::tm parts{};
  ::gmtime_r(&when, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min);
}

std::string Expiry(int64_t at_s, int64_t now_s) {
  const int64_t days = (at_s - now_s) / 86'400;
  if (at_s <= now_s) return fmt::format("EXPIRED {}", UtcTime(at_s));
  return fmt::format("expires {} (in {} day{})", UtcTime(at_s), days, days == 1 ? "" : "s");
}

template <typename T>
std::string Join(const std::vector<T>& numbers) {
  return numbers.empty() ? "-" : fmt::format("{}", fmt::join(numbers, ","));
}

// A table: columns as wide as their widest cell; those named in `right` are set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> head, std::string_view right)
      : rows_{std::move(head)}, right_(right) {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string ToString() const {
    std::vector<size_t> widths(rows_[0].size(), 0);
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows_) {
      std::string line = " ";
      for (size_t i = 0; i < row.size(); ++i) {
        line += right_[i] == 'r' ? fmt::format(" {:>{}}", row[i], widths[i])
                                 : fmt::format(" {:<{}}", row[i], widths[i]);
        line += ' ';
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::string_view right_;
};

std::string Workers(const StatusReport& report) {
  Table table({"id", "pid", "cpu", "state", "up", "restarts", "clients", "full", "resumed",
               "failed", "in", "out"},
              "rrrlrrrrrrrr");
  for (const StatusReport::Worker& w : report.workers) {
    table.Add({fmt::to_string(w.id), w.pid == 0 ? "-" : fmt::to_string(w.pid),
               w.cpu < 0 ? "-" : fmt::to_string(w.cpu), w.state,
               w.pid == 0 ? "-" : Span(w.uptime_ms), fmt::to_string(w.restarts),
               fmt::to_string(w.connections), fmt::to_string(w.full), fmt::to_string(w.resumed),
               fmt::to_string(w.failed), Size(w.bytes_in), Size(w.bytes_out)});
  }
  return "\nworkers (handshakes: full, resumed, failed; octets of clients: in, out)\n" +
         table.ToString();
}

std::string FailureName(size_t number) {
  return std::string(tls::ToString(static_cast<tls::HandshakeFailure>(number)));
}

// Why handshakes failed, all workers together; the log says it for each.
std::string Failures(const StatusReport& report) {
  Table table({"handshakes failed", "reason"}, "rl");
  bool any = false;
  for (size_t i = 0; i < tls::kHandshakeFailures; ++i) {
    uint64_t sum = 0;
    for (const StatusReport::Worker& w : report.workers) sum += w.failures[i];
    if (sum == 0) continue;
    any = true;
    table.Add({fmt::to_string(sum), FailureName(i)});
  }
  return any ? '\n' + table.ToString() : std::string();
}

std::string DialogEndName(size_t number) {
  return std::string(mail::ToString(static_cast<mail::DialogEnd>(number)));
}

std::string RefusalName(size_t number) {
  return std::string(session::ToString(static_cast<session::Refusal>(number)));
}

std::string FaultName(size_t number) {
  return std::string(session::ToString(static_cast<session::Fault>(number)));
}

// Who was not let in and why, all workers together.
std::string Refusals(const StatusReport& report) {
  Table table({"connections refused", "reason"}, "rl");
  bool any = false;
  for (size_t i = 0; i < session::kRefusals; ++i) {
    uint64_t sum = 0;
    for (const StatusReport::Worker& w : report.workers) sum += w.refused[i];
    if (sum == 0) continue;
    any = true;
    table.Add({fmt::to_string(sum), RefusalName(i)});
  }
  std::string text = any ? '\n' + table.ToString() : std::string();
  if (report.addresses.paused > 0) {
    text += fmt::format("\naddresses that have to pause now: {}\n", report.addresses.paused);
  }
  return text;
}

// What an administrator should look at, and which is silent when all is well.
std::string Troubles(const StatusReport& report) {
  std::string text;
  const auto note = [&](uint32_t id, uint64_t count, std::string_view what) {
    if (count > 0) text += fmt::format("  worker {}: {} {}\n", id, count, what);
  };
  for (const StatusReport::Worker& w : report.workers) {
    note(w.id, w.backend_failed, "connections for which no back end could be had");
    note(w.id, w.accept_paused, "times that accepting stopped at a limit");
    note(w.id, w.accept_errors, "accepts that failed");
    note(w.id, w.buffers_starved, "receives that found no free buffer");
    note(w.id, w.addresses_untracked, "connections that limits.addresses had no room for");
    note(w.id, w.unread, "clients that read nothing of what they were sent");
    note(w.id, w.log_lines_dropped, "log lines lost");
  }
  return text.empty() ? text : "\nworth a look (since the start)\n" + text;
}

std::string Listeners(const StatusReport& report) {
  Table table({"name", "service", "address", "backend"}, "llll");
  for (const StatusReport::Listener& l : report.listeners) {
    table.Add({l.name, l.service, l.address, l.backend});
  }
  return "\nlisteners\n" + table.ToString();
}

// For clients without tickets: silent until there is one.
std::string SessionIds(const StatusReport& report) {
  const shm::SessionIdCounts& counts = report.session_ids;
  if (counts.hits + counts.misses + counts.stores + counts.refused == 0) return {};
  return fmt::format(
      "\nsessions by ID (room for {}): {} kept, {} evicted, {} refused; {} found, {} not found\n",
      report.session_id_slots, counts.stores, counts.evictions, counts.refused, counts.hits,
      counts.misses);
}

std::string Parts(const StatusReport& report) {
  Table table({"id", "kind", "size", "generations", "workers"}, "rlrll");
  uint64_t sum = 0;
  for (const StatusReport::Part& p : report.parts) {
    sum += p.size;
    table.Add({fmt::to_string(p.id), p.kind, Size(p.size), Join(p.generations), Join(p.workers)});
  }
  return fmt::format("\nparts of generations in memory ({})\n{}", Size(sum), table.ToString());
}

std::string LastReload(const StatusReport& report) {
  std::string text = "\nreload\n";
  if (report.reload_running) text += "  one is running\n";
  if (!report.last_reload) return text + "  none since the start\n";
  const ReloadResult& last = *report.last_reload;
  text += fmt::format("  the last one{} {} {} after {}.{:03} s:\n",
                      last.by.empty() ? std::string() : fmt::format(", by {},", last.by),
                      last.ok ? "was done" : "was REFUSED", UtcTime(last.at_s), last.took_ms / 1000,
                      last.took_ms % 1000);
  std::string_view rest = last.text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    text += fmt::format("    {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return text;
}

std::string Upgrades(const StatusReport& report) {
  std::string text;
  if (report.successor != 0) {
    text += fmt::format("  process {} is starting, to take over\n", report.successor);
  }
  for (const StatusReport::Retired& r : report.retired) {
    text += fmt::format("  process {} is retired and holds {} connection{}\n", r.pid, r.connections,
                        r.connections == 1 ? "" : "s");
  }
  return text.empty() ? text : "\nupgrade\n" + text;
}

// --- JSON ---

// Fields of one object; numbers and booleans as they are, text escaped.
class Object {
 public:
  Object& Text(std::string_view key, std::string_view value) {
    Key(key);
    AppendJsonString(text_, value);
    return *this;
  }
  template <typename T>
  Object& Number(std::string_view key, T value) {
    return Raw(key, fmt::to_string(value));
  }
  Object& Flag(std::string_view key, bool value) { return Raw(key, value ? "true" : "false"); }
  Object& Raw(std::string_view key, std::string_view value) {
    Key(key);
    text_ += value;
    return *this;
  }
  std::string ToString() const { return "{" + text_ + "}"; }

 private:
  void Key(std::string_view key) {
    if (!text_.empty()) text_ += ',';
    AppendJsonString(text_, key);
    text_ += ':';
  }
  std::string text_;
};

template <typename T, typename F>
std::string Array(const std::vector<T>& items, F format) {
  std::string text;
  for (const T& item : items) text += (text.empty() ? "" : ",") + format(item);
  return "[" + text + "]";
}

std::string WorkerJson(const StatusReport::Worker& w) {
  Object object;
  object.Number("id", w.id).Number("pid", w.pid).Number("cpu", w.cpu).Text("state", w.state);
  object.Number("uptime_s", w.uptime_ms / 1000).Number("restarts", w.restarts);
  object.Number("generation", w.generation).Number("connections", w.connections);
  object.Number("handshaking", w.handshaking).Number("accepted", w.accepted);
  object.Number("handshakes_full", w.full).Number("handshakes_resumed", w.resumed);
  object.Number("handshakes_failed", w.failed).Number("backend_failed", w.backend_failed);
  object.Number("bytes_from_clients", w.bytes_in).Number("bytes_to_clients", w.bytes_out);
  object.Number("accept_paused", w.accept_paused).Number("accept_errors", w.accept_errors);
  object.Number("buffers_starved", w.buffers_starved);
  Object failures;  // from 1 on: 0 is none
  for (size_t i = 1; i < w.failures.size(); ++i) failures.Number(FailureName(i), w.failures[i]);
  object.Raw("handshake_failures", failures.ToString());
  object.Number("plain", w.plain);
  Object dialogs;  // likewise
  for (size_t i = 1; i < w.dialogs_ended.size(); ++i) {
    dialogs.Number(DialogEndName(i), w.dialogs_ended[i]);
  }
  object.Raw("dialogs_ended", dialogs.ToString());
  Object refused;  // likewise
  for (size_t i = 1; i < w.refused.size(); ++i) refused.Number(RefusalName(i), w.refused[i]);
  object.Raw("refused", refused.ToString());
  Object faults;
  for (size_t i = 0; i < w.faults.size(); ++i) faults.Number(FaultName(i), w.faults[i]);
  object.Raw("faults", faults.ToString()).Number("penalties", w.penalties);
  object.Number("addresses_untracked", w.addresses_untracked).Number("unread", w.unread);
  object.Number("log_lines_dropped", w.log_lines_dropped);
  return object.ToString();
}

std::string PartJson(const StatusReport::Part& p) {
  const auto number = [](auto n) { return fmt::to_string(n); };
  Object object;
  object.Number("id", p.id).Text("kind", p.kind).Number("size", p.size);
  object.Raw("generations", Array(p.generations, number));
  object.Raw("workers", Array(p.workers, number));
  return object.ToString();
}

std::string ListenerJson(const StatusReport::Listener& l) {
  Object object;
  object.Text("name", l.name).Text("service", l.service).Text("address", l.address);
  object.Text("backend", l.backend);
  return object.ToString();
}

}  // namespace

std::string FormatStatus(const StatusReport& report) {
  std::string text =
      fmt::format("Postern {} is {}, process {}, up {}, generation {}\n", POSTERN_VERSION,
                  report.state, report.pid, Span(report.uptime_ms), report.generation);
  text += fmt::format("configuration {}\n", report.config_path);
  text += fmt::format("certificates  {}", report.certificates);
  if (!report.soonest_name.empty()) {
    text += fmt::format("; the first to go is \"{}\", {}", report.soonest_name,
                        Expiry(report.soonest_expiry_s, report.now_s));
  }
  if (report.watch != "off") text += fmt::format("; watched by {}", report.watch);
  for (const std::string& reason : report.waiting) text += "\n  waiting: " + reason;
  return text + "\n" + Workers(report) + Failures(report) + Refusals(report) + Troubles(report) +
         Listeners(report) + SessionIds(report) + Parts(report) + LastReload(report) +
         Upgrades(report);
}

std::string FormatStatusJson(const StatusReport& report) {
  Object object;
  object.Text("version", POSTERN_VERSION).Text("state", report.state).Number("pid", report.pid);
  object.Number("uptime_s", report.uptime_ms / 1000).Text("configuration", report.config_path);
  object.Number("generation", report.generation);
  Object certificates;
  certificates.Number("count", report.certificates);
  if (!report.soonest_name.empty()) {
    certificates.Text("soonest_name", report.soonest_name);
    certificates.Number("soonest_expiry", report.soonest_expiry_s);
  }
  certificates.Text("watch", report.watch);
  certificates.Raw("waiting", Array(report.waiting, [](const std::string& reason) {
                     std::string text;
                     AppendJsonString(text, reason);
                     return text;
                   }));
  object.Raw("certificates", certificates.ToString());
  Object sessions;
  sessions.Number("slots", report.session_id_slots).Number("stores", report.session_ids.stores);
  sessions.Number("hits", report.session_ids.hits).Number("misses", report.session_ids.misses);
  sessions.Number("evictions", report.session_ids.evictions);
  sessions.Number("refused", report.session_ids.refused);
  object.Raw("session_ids", sessions.ToString());
  object.Raw("workers", Array(report.workers, WorkerJson));
  Object addresses;
  addresses.Number("slots", report.addresses.slots).Number("used", report.addresses.used);
  addresses.Number("paused", report.addresses.paused);
  object.Raw("addresses", addresses.ToString());
  object.Raw("listeners", Array(report.listeners, ListenerJson));
  object.Raw("parts", Array(report.parts, PartJson));
  object.Raw("retired", Array(report.retired, [](const StatusReport::Retired& r) {
               return Object().Number("pid", r.pid).Number("connections", r.connections).ToString();
             }));
  object.Number("successor", report.successor);
  object.Flag("reload_running", report.reload_running);
  if (report.last_reload) {
    Object last;
    last.Flag("ok", report.last_reload->ok).Number("at", report.last_reload->at_s);
    last.Number("took_ms", report.last_reload->took_ms).Text("text", report.last_reload->text);
    last.Text("by", report.last_reload->by);
    object.Raw("last_reload", last.ToString());
  } else {
    object.Raw("last_reload", "null");
  }
  return object.ToString() + "\n";
}

}  // namespace postern::master
