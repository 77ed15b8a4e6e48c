// Round robin with a short memory for failures. Health checks and weights are another feature
// (A10); this is what keeps a dead server from being felt by every client meanwhile.
#include "postern/relay/backend_picker.h"

#include <algorithm>

namespace postern::relay {

void BackendPicker::Order(std::string_view backend, std::vector<Candidate>& candidates,
                          uint64_t now_ms) {
  if (candidates.size() < 2) return;
  auto turn = turns_.find(backend);
  if (turn == turns_.end()) turn = turns_.emplace(std::string(backend), 0).first;
  // Rotate by servers, not by addresses: the addresses of one server stay together, in the
  // resolver's order of preference.
  std::vector<std::string_view> servers;
  for (const Candidate& candidate : candidates) {
    if (std::find(servers.begin(), servers.end(), candidate.server) == servers.end()) {
      servers.push_back(candidate.server);
    }
  }
  const size_t count = servers.size();
  const size_t first = static_cast<size_t>(turn->second++ % count);
  const auto rank = [&](const Candidate& candidate) {
    const auto at = std::find(servers.begin(), servers.end(), candidate.server);
    const size_t place = static_cast<size_t>(at - servers.begin());
    return (place + count - first) % count;
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& a, const Candidate& b) {
                     const bool a_last = Penalized(a, now_ms);
                     const bool b_last = Penalized(b, now_ms);
                     return a_last != b_last ? b_last : rank(a) < rank(b);
                   });
}

bool BackendPicker::Penalized(const Candidate& candidate, uint64_t now_ms) const {
  if (failed_.empty()) return false;
  const auto entry = failed_.find(candidate.address->ToString());
  return entry != failed_.end() && entry->second > now_ms;
}

void BackendPicker::Failed(const os::SocketAddress& address, uint64_t now_ms) {
  // What is over goes now: servers come and go with reloads, and nothing else would forget them.
  std::erase_if(failed_, [now_ms](const auto& entry) { return entry.second <= now_ms; });
  failed_[address.ToString()] = now_ms + kPenaltyMs;
}

void BackendPicker::Succeeded(const os::SocketAddress& address) {
  if (!failed_.empty()) failed_.erase(address.ToString());
}

}  // namespace postern::relay
