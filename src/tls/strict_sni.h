// strict_sni: clients that name no host which a certificate has are refused.
#pragma once

#include <string>
#include <string_view>

#include "tls/client_offer.h"

namespace postern::tls {

// RFC 6066 section 3.
inline constexpr int kStrictSniAlert = SSL_AD_UNRECOGNIZED_NAME;

// ExplainStrictSni says why, and that `default_certificate` would have been served.
std::string ExplainStrictSni(const ClientOffer& offer, std::string_view default_certificate);

}  // namespace postern::tls
