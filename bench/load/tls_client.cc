// The client shares the machine with the server it measures, so it does nothing it was not asked
// to: without --ca no chain is built (libssl verifies even when nobody asks for the outcome), the
// context is shared by all connections, and libssl reads from where the kernel put the octets. What
// it always does is check the server's signature, or it would not have measured a handshake.
#include "bench/load/tls_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>

#include "postern/base/check.h"
#include "tls/openssl_error.h"

namespace postern::bench {
namespace {

constexpr const char* kDefaultGroups = "X25519:P-256";

int NewSession(SSL* ssl, SSL_SESSION* session) {
  auto* store = static_cast<SessionStore*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  store->Add(SessionPtr(session));
  return 1;  // the reference is ours now
}

bool IsAddress(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::unexpected<Error> Refused(const char* option, const std::string& value) {
  return Fail(fmt::format("{} \"{}\": {}", option, value, tls::TakeOpensslError()),
              "see what this OpenSSL knows: openssl list, openssl ciphers");
}

// The first of names between separators that `knows` refuses by itself; empty: none, so it is
// something about the list.
template <typename Knows>
std::string_view FirstUnknown(std::string_view names, Knows knows) {
  constexpr std::string_view kSeparators = ":/";  // OpenSSL 3.5 has "/" between sets of groups
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find_first_of(kSeparators));
    if (!name.empty() && !knows(std::string(name))) return name;
    names.remove_prefix(std::min(name.size() + 1, names.size()));
  }
  return {};
}

template <typename Knows>
std::unexpected<Error> RefusedList(const char* option, const std::string& names, Knows knows) {
  const std::string_view unknown = FirstUnknown(names, knows);
  std::unexpected<Error> refused = Refused(option, names);
  if (unknown.empty()) return refused;
  return Fail(fmt::format("{}: there is no \"{}\" in {}", option, unknown,
                          OpenSSL_version(OPENSSL_VERSION)));
}

Status SetVersion(SSL_CTX* context, TlsChoice tls) {
  const int least = tls == TlsChoice::k13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  const int most = tls == TlsChoice::k12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  if (SSL_CTX_set_min_proto_version(context, least) == 1 &&
      SSL_CTX_set_max_proto_version(context, most) == 1) {
    return {};
  }
  return Fail("cannot set the TLS version: " + tls::TakeOpensslError());
}

Status SetOffers(SSL_CTX* context, const LoadOptions& options) {
  const std::string groups = options.groups.empty() ? kDefaultGroups : options.groups;
  const auto sets_groups = [context](const std::string& names) {
    return SSL_CTX_set1_groups_list(context, names.c_str()) == 1;
  };
  if (!sets_groups(groups)) return RefusedList("--groups", groups, sets_groups);
  const auto sets_sigalgs = [context](const std::string& names) {
    return SSL_CTX_set1_sigalgs_list(context, names.c_str()) == 1;
  };
  if (!options.sigalgs.empty() && !sets_sigalgs(options.sigalgs)) {
    return RefusedList("--sigalgs", options.sigalgs, sets_sigalgs);
  }
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) != 1) {
    return Refused("--ciphers", options.ciphers);
  }
  if (!options.ciphersuites.empty() &&
      SSL_CTX_set_ciphersuites(context, options.ciphersuites.c_str()) != 1) {
    return Refused("--ciphersuites", options.ciphersuites);
  }
  return {};
}

Status SetVerification(SSL_CTX* context, const LoadOptions& options) {
  if (options.ca.empty()) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_cert_verify_callback(
        context, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
    return {};
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(context, options.ca.c_str(), nullptr) != 1) {
    return Refused("--ca", options.ca);
  }
  // The name that was asked for has to be in the certificate, or else the address.
  const std::string& name = options.sni.empty() ? options.host : options.sni;
  X509_VERIFY_PARAM* parameters = SSL_CTX_get0_param(context);
  const int set = IsAddress(name)
                      ? X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str())
                      : X509_VERIFY_PARAM_set1_host(parameters, name.c_str(), name.size());
  if (set != 1) return Refused("--sni", name);
  return {};
}

// As --groups has it, whatever the version of OpenSSL: 3.0 says "x25519" and "secp256r1".
std::string GroupName(SSL* ssl, int group) {
  const char* known = SSL_group_to_name(ssl, group);
  const std::string_view name = known == nullptr ? "unknown" : known;
  if (name == "x25519") return "X25519";
  if (name == "secp256r1" || name == "prime256v1") return "P-256";
  if (name == "secp384r1") return "P-384";
  return std::string(name);
}

}  // namespace

void SessionStore::Add(SessionPtr session) {
  ++added_;
  const bool once = SSL_SESSION_get_protocol_version(session.get()) == TLS1_3_VERSION;
  if (!once) sessions_.clear();
  if (sessions_.size() < bound_) sessions_.push_back(std::move(session));
}

SessionPtr SessionStore::Take() {
  if (sessions_.empty()) return nullptr;
  if (SSL_SESSION_get_protocol_version(sessions_.front().get()) != TLS1_3_VERSION) {
    SSL_SESSION_up_ref(sessions_.front().get());
    return SessionPtr(sessions_.front().get());
  }
  SessionPtr session = std::move(sessions_.front());
  sessions_.pop_front();
  return session;
}

Result<tls::SslCtxPtr> MakeClientContext(const LoadOptions& options, SessionStore* store) {
  tls::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Fail("cannot make a TLS context: " + tls::TakeOpensslError());
  for (const Status& step :
       {SetVersion(context.get(), options.tls), SetOffers(context.get(), options),
        SetVerification(context.get(), options)}) {
    if (!step) return std::unexpected(step.error());
  }
  SSL_CTX_set_mode(context.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (options.mode == ModeKind::kIdle) SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  if (options.no_tickets) SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  if (store != nullptr) {
    SSL_CTX_set_session_cache_mode(context.get(),
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context.get(), store);
    SSL_CTX_sess_set_new_cb(context.get(), NewSession);
  }
  return context;
}

// --- What was negotiated ---

void Negotiated::Add(SSL* ssl) {
  const bool resumed = SSL_session_reused(ssl) == 1;
  resumed ? ++resumed_ : ++full_;
  const int version = SSL_version(ssl);
  // A resumed TLS 1.2 handshake exchanges no keys; libssl then tells the first handshake's group.
  const bool exchanged = !resumed || version == TLS1_3_VERSION;
  const int group = exchanged ? static_cast<int>(SSL_get_negotiated_group(ssl)) : 0;
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
  for (Line& line : lines_) {
    if (line.version == version && line.group == group && line.cipher == cipher) {
      ++line.times;
      return;
    }
  }
  lines_.push_back({version, group, cipher, group == 0 ? "" : GroupName(ssl, group), 1});
}

void Negotiated::AddTo(Tally& tally) const {
  tally.full += full_;
  tally.resumed += resumed_;
  for (const Line& line : lines_) {
    bench::AddTo(tally.versions, line.version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2",
                 line.times);
    if (!line.group_name.empty()) bench::AddTo(tally.groups, line.group_name, line.times);
    bench::AddTo(tally.ciphers, SSL_CIPHER_get_name(line.cipher), line.times);
  }
}

// --- One connection ---

TlsClient::TlsClient(SSL_CTX* context, const std::string& name, SSL_SESSION* session,
                     std::vector<std::byte>& out)
    : ssl_(SSL_new(context)) {
  window_.out = &out;
  tls::BioPtr bio = tls::MakeWireBio(window_);
  POSTERN_CHECK(ssl_ != nullptr && bio != nullptr);
  SSL_set0_rbio(ssl_.get(), bio.get());
  BIO_up_ref(bio.get());
  SSL_set0_wbio(ssl_.get(), bio.release());
  if (!name.empty()) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
  SSL_set_connect_state(ssl_.get());
}

void TlsClient::Feed(Bytes in) {
  window_.in = in;
  window_.read = 0;
}

TlsClient::Step TlsClient::Handshake() {
  ERR_clear_error();
  const int outcome = SSL_do_handshake(ssl_.get());
  if (outcome == 1) return Step::kDone;
  return SSL_get_error(ssl_.get(), outcome) == SSL_ERROR_WANT_READ ? Step::kMore : Fail();
}

TlsClient::Step TlsClient::Read(MutableBytes buffer, size_t& size) {
  ERR_clear_error();
  const int outcome = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &size);
  if (outcome == 1) return Step::kDone;
  switch (SSL_get_error(ssl_.get(), outcome)) {
    case SSL_ERROR_WANT_READ:
      return Step::kMore;
    case SSL_ERROR_ZERO_RETURN:
      return Step::kEnd;
    default:
      return Fail();
  }
}

bool TlsClient::Write(Bytes text) {
  ERR_clear_error();
  size_t written = 0;
  if (SSL_write_ex(ssl_.get(), text.data(), text.size(), &written) == 1) return true;
  Fail();
  return false;
}

void TlsClient::Finish() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

TlsClient::Step TlsClient::Fail() {
  reason_ = tls::TakeOpensslError();
  return Step::kFailed;
}

}  // namespace postern::bench
