// KeywordCache: what the servers of back ends offer in their answer to EHLO, for a worker's
// sessions that answer EHLO before a server is spoken to.
#pragma once

#include <cstdint>

#include "postern/base/intrusive_list.h"
#include "postern/generation/settings.h"
#include "postern/mail/client_dialog.h"

namespace postern::session {

// KeywordWaiter hears once of keywords that had to be asked for.
class KeywordWaiter {
 public:
  // nullptr: they cannot be had. The waiter may be destroyed within the call.
  virtual void OnKeywords(const mail::EhloKeywords* keywords) = 0;

  ListNode keyword_node;  // the cache's; destroying a waiter withdraws it

 protected:
  ~KeywordWaiter() = default;
};

class KeywordCache {
 public:
  virtual ~KeywordCache() = default;

  // Find gives what is known of the back end of listener number `listener` of `settings`; nullptr:
  // nothing. Valid until the next event.
  virtual const mail::EhloKeywords* Find(const generation::SettingsPtr& settings,
                                         uint32_t listener) = 0;
  // Want asks for it. `waiter` hears of it soon, never within this call, and in bounded time also
  // when no server answers. False: it cannot be asked for.
  virtual bool Want(const generation::SettingsPtr& settings, uint32_t listener,
                    KeywordWaiter& waiter) = 0;
  // Learn takes what a server of that back end has just answered.
  virtual void Learn(const generation::SettingsPtr& settings, uint32_t listener,
                     const mail::EhloKeywords& keywords) = 0;
};

}  // namespace postern::session
