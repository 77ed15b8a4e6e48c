// Readers of the PROXY protocol's keys, in listeners and back ends.
#pragma once

#include "postern/config/proxy.h"
#include "sections.h"

namespace postern::config {

// proxy_protocol, proxy_from and proxy_timeout of a listener.
void ReadProxyIn(Reading& reading, TableReader& table, ProxyAcceptance& proxy);
// proxy_protocol of a back end.
void ReadProxyOut(TableReader& table, ProxyOut& proxy);
// identify_clients and identify_login of a back end.
void ReadIdentification(TableReader& table, Backend& backend);

}  // namespace postern::config
