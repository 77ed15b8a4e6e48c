// The refusal of strict_sni. Without it a client that asks for an unknown name is served the
// default certificate, which it then refuses by itself, with a message about a wrong name that its
// user cannot read as "this server does not know your domain".
//
// RFC 8446 section 9.2 would have missing_extension for clients without any name. libssl turns that
// one into handshake_failure before a version is chosen, so they get unrecognized_name too, which
// at least says what it is about.
#include "tls/strict_sni.h"

#include <fmt/format.h>

namespace postern::tls {

std::string ExplainStrictSni(const ClientOffer& offer, std::string_view default_certificate) {
  return fmt::format(
      "{}; strict_sni = false would serve it the certificate {}",
      offer.sni.empty()
          ? std::string("the client names no host (SNI)")
          : fmt::format("no certificate is for {}, which the client asks for", offer.sni),
      default_certificate);
}

}  // namespace postern::tls
