// What `postern status` shows: plain data, and its two forms.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "master/holdings.h"
#include "master/reloader.h"
#include "master/supervisor.h"
#include "postern/mail/client_dialog.h"
#include "postern/session/admission.h"
#include "postern/shm/address_table.h"
#include "postern/shm/session_id_cache.h"
#include "postern/tls/handshake.h"

namespace postern::master {

struct StatusReport {
  std::string state;  // "starting", "serving", "draining", "ending"
  pid_t pid = 0;
  uint64_t uptime_ms = 0;
  std::string config_path;
  uint64_t generation = 0;  // 0 before the first
  int64_t now_s = 0;        // wall clock

  struct Worker {
    uint32_t id = 0;
    pid_t pid = 0;
    int cpu = -1;
    std::string state;
    uint64_t uptime_ms = 0;
    uint64_t restarts = 0;
    uint64_t generation = 0;
    uint64_t connections = 0;
    uint64_t handshaking = 0;
    uint64_t accepted = 0;
    uint64_t full = 0;
    uint64_t resumed = 0;
    uint64_t failed = 0;
    std::array<uint64_t, tls::kHandshakeFailures>
        failures{};  // of `failed`, by tls::HandshakeFailure
    uint64_t plain = 0;
    std::array<uint64_t, mail::kDialogEnds> dialogs_ended{};  // by mail::DialogEnd
    std::array<uint64_t, session::kRefusals> refused{};       // by session::Refusal
    std::array<uint64_t, session::kFaults> faults{};          // by session::Fault
    uint64_t penalties = 0;
    uint64_t addresses_untracked = 0;
    uint64_t unread = 0;
    uint64_t backend_failed = 0;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    uint64_t accept_paused = 0;
    uint64_t accept_errors = 0;
    uint64_t buffers_starved = 0;
    uint64_t log_lines_dropped = 0;
  };
  std::vector<Worker> workers;
  shm::AddressTableMaster::Usage addresses;

  struct Listener {
    std::string name;
    std::string service;
    std::string address;
    std::string backend;
  };
  std::vector<Listener> listeners;

  uint32_t certificates = 0;
  std::string soonest_name;  // of the certificate that expires first; empty without certificates
  int64_t soonest_expiry_s = 0;

  struct Part {
    uint64_t id = 0;
    std::string kind;
    uint64_t size = 0;
    std::vector<uint64_t> generations;
    std::vector<uint32_t> workers;
  };
  std::vector<Part> parts;

  // Masters that upgrades have retired, which still hold connections.
  struct Retired {
    pid_t pid = 0;
    uint64_t connections = 0;
  };
  std::vector<Retired> retired;
  pid_t successor = 0;  // of an upgrade that is under way

  shm::SessionIdCounts session_ids;
  uint32_t session_id_slots = 0;  // 0: there is no cache

  bool reload_running = false;
  std::optional<ReloadResult> last_reload;
  std::string watch = "off";         // of certificate files: "off", "inotify", "polling"
  std::vector<std::string> waiting;  // files that are not served as they are, with the reason
};

// Each fills its part of the report.
StatusReport::Worker DescribeWorker(const WorkerView& view, uint64_t now_ms);
void DescribeParts(StatusReport& report, const Holdings& holdings);
void DescribeGeneration(StatusReport& report, const Proposal& current,
                        const config::Config& config);

// FormatStatus is for people, FormatStatusJson for programs: one object, one line.
std::string FormatStatus(const StatusReport& report);
std::string FormatStatusJson(const StatusReport& report);

}  // namespace postern::master
