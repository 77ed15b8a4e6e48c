// JSON by nlohmann's library: between our processes (a tally whole, nothing rounded) and as the
// result. It is included here alone, since it takes long to compile.
#include <openssl/crypto.h>

#include <nlohmann/json.hpp>

#include "bench/load/tally.h"

namespace postern::bench {
namespace {

using Json = nlohmann::ordered_json;

Json Places(const Histogram& histogram) {
  Json places = Json::array();
  for (const auto& [upper, count] : histogram.Places()) places.push_back({upper, count});
  return places;
}

Json Options(const LoadOptions& options) {
  Json json = {{"processes", options.processes},
               {"connections", options.connections},
               {"tls", NameOf(options.tls)},
               {"timeout_s", options.timeout_s}};
  const auto text = [&json](const char* name, const std::string& value) {
    if (!value.empty()) json[name] = value;
  };
  const auto number = [&json](const char* name, double value) {
    if (value != 0) json[name] = value;
  };
  number("duration_s", options.mode == ModeKind::kIdle ? 0 : options.duration_s);
  if (options.count != 0) json["count"] = options.count;
  number("warmup_s", options.warmup_s);
  number("rate", options.rate);
  if (!options.cpus.empty()) json["cpus"] = options.cpus;
  text("groups", options.groups);
  text("sigalgs", options.sigalgs);
  text("ciphers", options.ciphers);
  text("ciphersuites", options.ciphersuites);
  text("sni", options.sni);
  text("ca", options.ca);
  if (options.starttls) json["starttls"] = NameOf(*options.starttls);
  switch (options.mode) {
    case ModeKind::kHandshake:
      json["resume"] = options.resume;
      json["no_tickets"] = options.no_tickets;
      json["greeting"] = options.greeting;
      break;
    case ModeKind::kIdle:
      json["hold_s"] = options.hold_s;
      json["service"] = NameOf(options.service);
      break;
    case ModeKind::kBulk:
      json["direction"] = NameOf(options.direction);
      json["bytes"] = options.bytes;
      break;
    case ModeKind::kEcho:
      json["size"] = options.size;
      break;
    case ModeKind::kMix:
      json["service"] = NameOf(options.service);
      json["user"] = options.login.name;
      number("think_s", options.think_s);
      break;
    case ModeKind::kChurn:
      json["greeting"] = options.greeting;
      text("reload_command", options.reload_command);
      number("reload_every_s", options.reload_every_s);
      break;
  }
  return json;
}

Json Verified(const LoadOptions& options, const Tally& tally) {
  Json json = {{"full", tally.full},
               {"resumed", tally.resumed},
               {"versions", tally.versions},
               {"groups", tally.groups},
               {"ciphers", tally.ciphers}};
  if (tally.bytes_checked) json["bytes_right"] = tally.bytes_right;
  if (options.tls != TlsChoice::kPlain) json["certificate_verified"] = !options.ca.empty();
  return json;
}

Json Intervals(const Tally& tally) {
  Json json = Json::array();
  double at = 0;
  for (const uint64_t count : tally.intervals) {
    at += tally.interval_s;
    json.push_back({std::min(at, std::max(tally.seconds, tally.interval_s)), count});
  }
  return json;
}

}  // namespace

std::string Serialize(const Tally& tally) {
  const Json json = {{"seconds", tally.seconds},
                     {"count", tally.count},
                     {"failures", tally.failures},
                     {"places", Places(tally.latency)},
                     {"min", tally.latency.min()},
                     {"max", tally.latency.max()},
                     {"sent", tally.sent},
                     {"received", tally.received},
                     {"full", tally.full},
                     {"resumed", tally.resumed},
                     {"versions", tally.versions},
                     {"groups", tally.groups},
                     {"ciphers", tally.ciphers},
                     {"bytes_checked", tally.bytes_checked},
                     {"bytes_right", tally.bytes_right},
                     {"cpu_seconds", tally.cpu_seconds},
                     {"interval_s", tally.interval_s},
                     {"intervals", tally.intervals},
                     {"specific", tally.specific}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Tally> Deserialize(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Tally tally;
    json.at("seconds").get_to(tally.seconds);
    json.at("count").get_to(tally.count);
    tally.failures = json.at("failures").get<Counts>();
    for (const Json& place : json.at("places")) {
      tally.latency.AddPlace(place.at(0).get<uint64_t>(), place.at(1).get<uint64_t>());
    }
    if (tally.latency.total() != 0) {
      tally.latency.SetEnds(json.at("min").get<uint64_t>(), json.at("max").get<uint64_t>());
    }
    json.at("sent").get_to(tally.sent);
    json.at("received").get_to(tally.received);
    json.at("full").get_to(tally.full);
    json.at("resumed").get_to(tally.resumed);
    tally.versions = json.at("versions").get<Counts>();
    tally.groups = json.at("groups").get<Counts>();
    tally.ciphers = json.at("ciphers").get<Counts>();
    json.at("bytes_checked").get_to(tally.bytes_checked);
    json.at("bytes_right").get_to(tally.bytes_right);
    json.at("cpu_seconds").get_to(tally.cpu_seconds);
    json.at("interval_s").get_to(tally.interval_s);
    tally.intervals = json.at("intervals").get<std::vector<uint64_t>>();
    tally.specific = json.at("specific").get<Counts>();
    return tally;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::string ReportJson(const LoadOptions& options, const Tally& tally) {
  const auto count = static_cast<double>(tally.count);
  Json json = {{"tool", "postern-bench"},
               {"version", POSTERN_VERSION},
               {"openssl", OpenSSL_version(OPENSSL_VERSION)},
               {"mode", NameOf(options.mode)},
               {"target", options.TargetText()},
               {"options", Options(options)},
               {"seconds", tally.seconds},
               {"units", UnitsOf(options.mode)},
               {"count", tally.count}};
  if (tally.seconds > 0) json["per_second"] = count / tally.seconds;
  json["failures"] = {{"total", tally.failed()}, {"by_reason", tally.failures}};
  if (tally.latency.total() != 0) {
    json["latency_us"] = {
        {"min", tally.latency.min()},           {"p50", tally.latency.Percentile(0.5)},
        {"p90", tally.latency.Percentile(0.9)}, {"p99", tally.latency.Percentile(0.99)},
        {"max", tally.latency.max()},           {"histogram", Places(tally.latency)}};
  }
  json["bytes"] = {{"sent", tally.sent}, {"received", tally.received}};
  json["verified"] = Verified(options, tally);
  json["generator"] = {{"processes", options.processes}, {"cpu_seconds", tally.cpu_seconds}};
  if (tally.count != 0) json["generator"]["cpu_us_per_unit"] = tally.cpu_seconds * 1e6 / count;
  json["intervals"] = Intervals(tally);
  if (!tally.specific.empty()) json["mode_specific"] = tally.specific;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace postern::bench
