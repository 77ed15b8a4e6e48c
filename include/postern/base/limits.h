// Every bound on a queue, buffer, table or line in one place, with the reason beside it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::limits {

// --- TLS records (RFC 8446 section 5.1 and 5.2, RFC 5246 section 6.2.3) ---
inline constexpr size_t kRecordHeader = 5;
inline constexpr size_t kMaxPlaintext = 16384;
// TLS 1.3 allows 256 octets beyond the plaintext, TLS 1.2 2,048 (for compression, which nobody
// may offer here); the larger one bounds what is assembled before libssl judges it.
inline constexpr size_t kMaxCiphertext = kMaxPlaintext + 2048;
// A TLS 1.3 record that carries 16,384 octets: header, content, type octet, tag.
inline constexpr size_t kFullRecord = kRecordHeader + kMaxPlaintext + 1 + 16;

// --- Buffer slots (ring/buffer_pool) ---
// Room before and behind the plaintext so that a record can be sealed where it lies. Header and
// explicit nonce need 13 octets in front, a KeyUpdate 27 more. The tail covers type octet and tag,
// for TLS 1.0 CBC a second, empty record, MAC and padding, and for clients that ask for records of
// 512 octets (RFC 6066 section 4) the 29 octets that each of 32 records adds.
inline constexpr size_t kSlotHeadroom = 64;
inline constexpr size_t kSlotTailroom = 960;
inline constexpr size_t kSlotSize = kSlotHeadroom + kMaxPlaintext + kSlotTailroom;  // 17,408
static_assert(kSlotSize >= kFullRecord);

// --- One connection ---
// Queued octets per direction at which reading from the source pauses, and at which it goes on.
inline constexpr size_t kQueueHighWater = 64 * 1024;
inline constexpr size_t kQueueLowWater = 16 * 1024;
// Slots that one direction may hold while a send is on its way; what comes beyond is copied to
// the heap, so that slow readers cannot pin the worker's pool.
inline constexpr size_t kPinnedSlots = 4;
// Slots that one receive may fill while octets come in bulk: what a send can carry on without
// copying.
inline constexpr size_t kBulkSlots = kPinnedSlots;
// What a client may send in one handshake before it is cut off. A ClientHello with post-quantum
// shares is 2 KB, a client certificate chain some 10 KB.
inline constexpr size_t kMaxHandshakeBytes = 128 * 1024;
// Gather entries of one send.
inline constexpr size_t kSendVectors = 8;

// --- One worker ---
inline constexpr uint32_t kRingEntries = 1024;
inline constexpr uint32_t kCompletionEntries = 8192;
// Descriptor slots kept free beyond two per connection: accepts that completed before a cancel
// took hold, and connections that are still closing.
inline constexpr uint32_t kDirectMargin = 256;
// The queue of a listening socket, as far as net.core.somaxconn allows it. A multishot accept takes
// a whole queue at once, so with less room than this for connections they are accepted one by one.
inline constexpr int kAcceptQueue = 4096;
// Contexts made on first use and kept per worker; the least recently used one goes first.
inline constexpr size_t kMaxContexts = 4096;
// Sessions that may be resumed with servers, of each back end: servers by name, least recently used
// first, and sessions of one server. A connection takes one session of TLS 1.3 and brings two.
inline constexpr size_t kMaxResumableServers = 64;
inline constexpr size_t kMaxSessionsPerServer = 8;
// Log bytes that may wait for a stuck log destination before lines are dropped and counted.
inline constexpr size_t kLogQueue = 256 * 1024;

// --- Processes ---
inline constexpr uint32_t kMaxWorkers = 256;
// Descriptors in one SCM_RIGHTS message (the kernel's bound is 253).
inline constexpr size_t kMaxPassedDescriptors = 200;
// A control message between master and worker or command line and master.
inline constexpr size_t kMaxControlMessage = 60 * 1024;
// The control socket: enough clients for a few administrators and a monitor, requests are single
// words, and whoever does not send or read within the time is not waited for. A status of 256
// workers with their parts is some 100 KB.
inline constexpr size_t kMaxControlClients = 16;
inline constexpr size_t kMaxControlRequest = 1024;
inline constexpr size_t kMaxControlReply = 16 * 1024 * 1024;
inline constexpr uint64_t kControlTimeoutMs = 10'000;
// Messages that may wait for a worker that does not read its channel; a worker that lets more wait
// has stopped working and is replaced.
inline constexpr size_t kMaxQueuedMessages = 1024;

// --- The PROXY protocol ---
// A header with every extension that Postern knows may have some 1,300 octets; clouds add a few of
// their own. The protocol allows 65,551.
inline constexpr size_t kMaxProxyHeader = 4096;
// A header that Postern writes. The specification (section 2.2) takes it to be smaller than a TCP
// segment of the least MSS that IPv4 knows, and there are readers with a buffer of just that:
// Postfix answers a longer one with 421.
inline constexpr size_t kMaxWrittenProxyHeader = 536;
// One text in it: a host name, a certificate's common name.
inline constexpr size_t kMaxProxyText = 255;

// --- The dialog before TLS ---
// A line with its end, and for IMAP and ManageSieve a whole command with its literals. The longest
// that one of the protocols asks for (RFC 9051 section 4 by way of RFC 7162 section 4); SMTP's has
// 512 octets and POP3's 255, and clients are not to know.
inline constexpr size_t kMaxDialogLine = 8192;
// Refused commands. A client that has not understood after so many will not, and who tries
// passwords is not helped to a next attempt.
inline constexpr unsigned kMaxDialogErrors = 10;
// Lines. Clients need three before they begin TLS; monitors say NOOP some more often. It bounds
// what is said to a client that never reads.
inline constexpr unsigned kMaxDialogCommands = 100;
// The head of a plain HTTP request that is redirected. Browsers send 1 to 4 KB, most of it cookies.
inline constexpr size_t kMaxHttpHead = 8192;
// What a server says in answer to one command before the client is let through to it, line ends and
// literals included. The longest, capabilities and EHLO's keywords, have 1 to 2 KB.
inline constexpr size_t kMaxServerAnswer = 16 * 1024;

// --- Certificates ---
// A file with an OCSP response. One with a responder's certificate in it is 2 KB, in PEM 3 KB; what
// is larger would cost every client that asks for it several round trips.
inline constexpr size_t kMaxStapleFile = 16 * 1024;

// --- Session tickets ---
// The key that seals and those that open. With the default rotation of 8 hours and a lifetime of 24
// hours a ticket finds its key as long as it lives.
inline constexpr size_t kTicketKeys = 4;
// Tickets that one TLS 1.3 handshake gives: no known client keeps more.
inline constexpr uint64_t kMaxTicketCount = 8;

// --- Sessions by ID ---
// 512 octets each, locked in memory: half a gigabyte.
inline constexpr uint64_t kMaxSessionIds = 1'048'576;

// --- Client addresses ---
// The table of addresses at most: with one worker 1.2 GB.
inline constexpr uint32_t kMaxAddresses = uint32_t{1} << 24;
// Refused clients of a worker that have been told so and may still be sending. More would hold
// descriptors that others need.
inline constexpr size_t kMaxPartings = 32;
// Networks in one list of [limits] or a listener. Each connection is compared with all of them; who
// has thousands to keep out has a packet filter for it.
inline constexpr size_t kMaxNetworks = 1000;

// --- Names ---
inline constexpr size_t kMaxHostName = 253;  // RFC 1035 section 2.3.4, without the trailing dot

// --- Certificates ---
// OpenSSL's own bound on passphrases (PEM_BUFSIZE).
inline constexpr size_t kMaxPassphrase = 1024;
// What one `postern cert import` reads: a bundle of all public authorities has some 150.
inline constexpr size_t kMaxImportedItems = 1000;
// Rounds of hashing that a passphrase may be put through: ten times what any tool asks for. A file
// that asks for more would keep whoever reads it busy for minutes.
inline constexpr long kMaxPassphraseRounds = 10'000'000;

}  // namespace postern::limits
