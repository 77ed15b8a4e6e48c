// What whoever breaks into a worker would try. None of it does harm where it works.
#pragma once

#include <span>

#include "postern/ring/ring.h"

namespace postern::worker {

struct Attempt {
  const char* what;
  // Returns 0 when it worked, else the errno value that it was refused with. `ring` was made before
  // the sandbox was entered.
  int (*run)(ring::Ring& ring);
};

std::span<const Attempt> Attempts();

}  // namespace postern::worker
