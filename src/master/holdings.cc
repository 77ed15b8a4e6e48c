// Book-keeping of parts. The master counts on a worker's word for when a part may be wiped; a
// worker that lies or forgets keeps memory alive until it dies, and can make nobody else lose a
// part: the current generation is pinned.
#include "master/holdings.h"

#include <algorithm>
#include <iterator>

namespace postern::master {

Holdings::Entry& Holdings::Find(const generation::PartPtr& part) {
  Entry& entry = entries_[part->id()];
  if (entry.part == nullptr) entry.part = part;
  return entry;
}

void Holdings::Sent(uint32_t worker, uint64_t number,
                    const std::vector<generation::PartPtr>& parts) {
  for (const generation::PartPtr& part : parts) {
    Entry& entry = Find(part);
    entry.generations.insert(number);
    entry.workers.insert(worker);
  }
}

void Holdings::Switched(uint32_t worker, uint64_t number) { serves_[worker] = number; }

void Holdings::Released(uint32_t worker, generation::PartId part) {
  const auto found = entries_.find(part);
  if (found == entries_.end()) return;
  const auto serves = serves_.find(worker);
  if (serves != serves_.end() && found->second.generations.contains(serves->second)) return;
  found->second.workers.erase(worker);
  DropUnused();
}

void Holdings::Died(uint32_t worker) {
  serves_.erase(worker);
  for (auto& [id, entry] : entries_) entry.workers.erase(worker);
  DropUnused();
}

void Holdings::Pin(uint64_t number, const std::vector<generation::PartPtr>& parts) {
  for (const generation::PartPtr& part : parts) {
    Entry& entry = Find(part);
    entry.generations.insert(number);
    entry.pins.insert(number);
  }
}

void Holdings::Unpin(uint64_t number) {
  for (auto& [id, entry] : entries_) entry.pins.erase(number);
  DropUnused();
}

void Holdings::Forget(uint64_t number) {
  for (auto& [id, entry] : entries_) {
    entry.pins.erase(number);
    entry.generations.erase(number);
    if (entry.generations.empty()) entry.workers.clear();
  }
  DropUnused();
}

void Holdings::DropUnused() {
  std::erase_if(entries_, [](const auto& item) {
    return item.second.workers.empty() && item.second.pins.empty();
  });
}

// A generation lives as long as its settings do: connections hold those until they end, and every
// generation has settings of its own, while segments outlive many generations.
std::vector<Holdings::Live> Holdings::List() const {
  std::set<uint64_t> alive;
  for (const auto& [id, entry] : entries_) {
    if (entry.part->kind() != generation::PartKind::kSettings) continue;
    alive.insert(entry.generations.begin(), entry.generations.end());
  }
  std::vector<Live> list;
  for (const auto& [id, entry] : entries_) {
    Live live{entry.part, {}, entry.workers};
    std::set_intersection(entry.generations.begin(), entry.generations.end(), alive.begin(),
                          alive.end(), std::inserter(live.generations, live.generations.end()));
    list.push_back(std::move(live));
  }
  return list;
}

}  // namespace postern::master
