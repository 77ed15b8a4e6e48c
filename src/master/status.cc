// The status report, gathered.
#include "master/status.h"

#include <algorithm>

namespace postern::master {

StatusReport::Worker DescribeWorker(const WorkerView& view, uint64_t now_ms) {
  const shm::WorkerCounters& counters = *view.counters;
  StatusReport::Worker worker;
  worker.id = view.id;
  worker.pid = view.pid;
  worker.cpu = view.cpu;
  worker.state = ToString(view.state);
  worker.restarts = view.restarts;
  worker.accepted = counters.accepted.Get();
  worker.full = counters.handshakes_full.Get();
  worker.resumed = counters.handshakes_resumed.Get();
  worker.failed = counters.handshakes_failed.Get();
  for (size_t i = 0; i < worker.failures.size(); ++i) {
    worker.failures[i] = counters.failures[i].Get();
  }
  worker.plain = counters.plain.Get();
  for (size_t i = 0; i < worker.dialogs_ended.size(); ++i) {
    worker.dialogs_ended[i] = counters.dialogs_ended[i].Get();
  }
  for (size_t i = 0; i < worker.refused.size(); ++i) worker.refused[i] = counters.refused[i].Get();
  for (size_t i = 0; i < worker.faults.size(); ++i) worker.faults[i] = counters.faults[i].Get();
  worker.penalties = counters.penalties.Get();
  worker.addresses_untracked = counters.addresses_untracked.Get();
  worker.unread = counters.unread.Get();
  worker.backend_failed = counters.backend_failed.Get();
  worker.bytes_in = counters.bytes_from_clients.Get();
  worker.bytes_out = counters.bytes_to_clients.Get();
  worker.accept_paused = counters.accept_paused.Get();
  worker.accept_errors = counters.accept_errors.Get();
  worker.buffers_starved = counters.buffers_starved.Get();
  worker.log_lines_dropped = counters.log_lines_dropped.Get();
  // The gauges of a dead worker stand as it left them.
  if (view.state == WorkerState::kDown) return worker;
  worker.uptime_ms = now_ms - std::min(now_ms, view.started_ms);
  worker.generation = counters.generation.Get();
  worker.connections = counters.connections.Get();
  worker.handshaking = counters.handshaking.Get();
  return worker;
}

void DescribeParts(StatusReport& report, const Holdings& holdings) {
  for (const Holdings::Live& live : holdings.List()) {
    StatusReport::Part part;
    part.id = live.part->id();
    part.kind = generation::ToString(live.part->kind());
    part.size = live.part->size();
    part.generations.assign(live.generations.begin(), live.generations.end());
    part.workers.assign(live.workers.begin(), live.workers.end());
    report.parts.push_back(std::move(part));
  }
}

void DescribeGeneration(StatusReport& report, const Proposal& current,
                        const config::Config& config) {
  if (current.generation == nullptr) return;
  const generation::Generation& generation = *current.generation;
  report.generation = generation.number;
  report.certificates = generation.certificates;
  report.soonest_name = generation.soonest_name;
  report.soonest_expiry_s = generation.soonest_expiry_s;
  for (size_t i = 0; i < current.listeners.size(); ++i) {
    StatusReport::Listener listener;
    listener.name = generation.sockets[i].listener;
    listener.address = current.listeners.bound(i).ToString();
    const auto configured =
        std::find_if(config.listeners.begin(), config.listeners.end(),
                     [&](const config::Listener& l) { return l.name == listener.name; });
    if (configured != config.listeners.end()) {
      listener.service = config::ToString(configured->service);
      listener.backend = configured->backend;
    }
    report.listeners.push_back(std::move(listener));
  }
}

}  // namespace postern::master
