#include "tls/openssl_error.h"

#include <openssl/err.h>

namespace postern::tls {

std::string TakeOpensslError() {
  const unsigned long code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace postern::tls
