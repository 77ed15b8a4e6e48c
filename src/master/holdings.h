// Holdings: which worker holds which part of which generation. A part lives as long as the current
// generation or any worker holds it; dropping the last hold wipes and frees it (generation/part.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "postern/generation/part.h"

namespace postern::master {

class Holdings {
 public:
  // `worker` was sent `parts` as generation `number`.
  void Sent(uint32_t worker, uint64_t number, const std::vector<generation::PartPtr>& parts);
  // `worker` serves generation `number` now, and so holds all of its parts.
  void Switched(uint32_t worker, uint64_t number);
  // `worker` says that it has unmapped `part`. What it never held changes nothing, nor does a part
  // of the generation that it serves: there it means that a second mapping, of an older generation,
  // is gone.
  void Released(uint32_t worker, generation::PartId part);
  // `worker` is gone, and its mappings with it.
  void Died(uint32_t worker);
  // Forget takes back what was sent as generation `number`, which nobody will ever use: what
  // belongs to no other generation goes at once, whoever still has it mapped.
  void Forget(uint64_t number);
  // Pin holds the parts of generation `number` for the master itself, Unpin lets them go.
  void Pin(uint64_t number, const std::vector<generation::PartPtr>& parts);
  void Unpin(uint64_t number);

  // What is alive, by id.
  struct Live {
    generation::PartPtr part;
    std::set<uint64_t> generations;  // live generations that it belongs to
    std::set<uint32_t> workers;      // who holds it
  };
  std::vector<Live> List() const;

 private:
  struct Entry {
    generation::PartPtr part;
    std::set<uint64_t> generations;  // all that it was sent for
    std::set<uint64_t> pins;
    std::set<uint32_t> workers;
  };
  Entry& Find(const generation::PartPtr& part);
  void DropUnused();

  std::map<generation::PartId, Entry> entries_;
  std::map<uint32_t, uint64_t> serves_;  // generation by worker
};

}  // namespace postern::master
