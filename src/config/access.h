// Readers of what limits clients, in [limits] and in listeners.
#pragma once

#include "postern/config/access.h"
#include "sections.h"

namespace postern::config {

// connections, connections_per_address, allow and deny of a listener; the lists of [limits] where
// it has none of its own.
void ReadListenerAccess(Reading& reading, TableReader& table, ListenerAccess& access);

}  // namespace postern::config
