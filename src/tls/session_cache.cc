// Bounded twice: in names, since a session keeps the server's certificates, some 10 KB; and in
// sessions of a name, since a server gives two with each connection and a connection takes one.
#include "tls/session_cache.h"

#include "postern/base/limits.h"

namespace postern::tls {

SslSessionPtr SessionCache::Take(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found->second);
  std::vector<SslSessionPtr>& sessions = found->second->sessions;
  // libssl marks those of connections that have failed.
  while (!sessions.empty() && SSL_SESSION_is_resumable(sessions.back().get()) != 1) {
    sessions.pop_back();
  }
  if (sessions.empty()) return nullptr;
  if (SSL_SESSION_get_protocol_version(sessions.back().get()) < TLS1_3_VERSION) {
    SSL_SESSION_up_ref(sessions.back().get());
    return SslSessionPtr(sessions.back().get());
  }
  SslSessionPtr session = std::move(sessions.back());
  sessions.pop_back();
  return session;
}

void SessionCache::Put(std::string_view name, SslSessionPtr session) {
  if (session == nullptr || SSL_SESSION_is_resumable(session.get()) != 1) return;
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    if (recent_.size() == limits::kMaxResumableServers) {
      by_name_.erase(recent_.back().name);
      recent_.pop_back();
    }
    recent_.push_front({std::string(name), {}});
    by_name_.emplace(recent_.front().name, recent_.begin());
  } else {
    recent_.splice(recent_.begin(), recent_, found->second);
  }
  std::vector<SslSessionPtr>& sessions = recent_.front().sessions;
  // What is left of the server's other version is of no use, and of TLS 1.2 one is enough.
  const int version = SSL_SESSION_get_protocol_version(session.get());
  if (version < TLS1_3_VERSION ||
      (!sessions.empty() && SSL_SESSION_get_protocol_version(sessions.back().get()) != version)) {
    sessions.clear();
  }
  if (sessions.size() == limits::kMaxSessionsPerServer) sessions.erase(sessions.begin());
  sessions.push_back(std::move(session));
}

void SessionCache::Forget(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  const Entries::iterator entry = found->second;
  by_name_.erase(found);
  recent_.erase(entry);
}

size_t SessionCache::size() const {
  size_t count = 0;
  for (const Entry& entry : recent_) count += entry.sessions.size();
  return count;
}

}  // namespace postern::tls
