// Reading PEM files. Certificates and keys go one way here: an administrator mixes the two up, so
// every file is read as if it held a key, into memory that is wiped. os::ReadFile is not used for
// that reason: a growing string leaves copies behind.
#include "pki/pem_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "postern/os/unique_fd.h"

namespace postern::pki {
namespace {

std::string_view Noun(Content content) {
  return content == Content::kKey ? "key file" : "certificate file";
}

std::unexpected<Error> CannotOpen(const std::string& path, std::string_view noun,
                                  int error_number) {
  struct stat link {};
  if (error_number == ENOENT && ::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    return Fail(fmt::format("{} {} is a symbolic link to a file that does not exist", noun, path),
                "mend the link, or correct the path");
  }
  if (error_number == ENOENT) {
    return Fail(fmt::format("{} {} does not exist", noun, path),
                "put the file there, or correct the path");
  }
  const std::string what = fmt::format("cannot read {} {}", noun, path);
  if (error_number == EACCES) {
    return FailErrno(what, error_number,
                     "let the user that starts postern read it, and look at the modes of the "
                     "directories above it");
  }
  return FailErrno(what, error_number);
}

// ReadAll fills a buffer of the file's size once, so that no shorter copy is ever freed unwiped.
Result<SecretBytes> ReadAll(int fd, const std::string& path, std::string_view noun, size_t size) {
  std::vector<unsigned char> bytes(size);
  size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(fd, bytes.data() + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error_number = errno;
      SecretBytes wiped(std::move(bytes));
      return FailErrno(fmt::format("cannot read {} {}", noun, path), error_number);
    }
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);  // shrinking keeps the buffer
  return SecretBytes(std::move(bytes));
}

// Decodes tries one of OpenSSL's d2i functions on the whole text and forgets the result.
template <auto D2i, auto Free>
bool Decodes(const SecretBytes& text) {
  const unsigned char* at = text.get().data();
  auto* object = D2i(nullptr, &at, static_cast<long>(text.get().size()));
  ERR_clear_error();
  if (object == nullptr) return false;
  Free(object);
  return true;
}

// NotPem tells the usual other forms apart; each has its own command that makes PEM of it.
std::unexpected<Error> NotPem(const std::string& path, Content content, const SecretBytes& text) {
  const auto is = [&](std::string_view form, std::string remedy) {
    return Fail(fmt::format("{} {} is {}, PEM is needed", Noun(content), path, form),
                std::move(remedy));
  };
  if (!text.get().empty() && text.get()[0] == 0x30) {  // an ASN.1 SEQUENCE
    if (Decodes<d2i_X509, X509_free>(text)) {
      return is("a certificate in DER form",
                fmt::format("convert it: openssl x509 -inform DER -in {0} -out {0}.pem", path));
    }
    if (Decodes<d2i_AutoPrivateKey, EVP_PKEY_free>(text)) {
      return is("a private key in DER form",
                fmt::format("convert it: openssl pkey -inform DER -in {0} -out {0}.pem", path));
    }
    if (Decodes<d2i_X509_SIG, X509_SIG_free>(text)) {
      return is("an encrypted private key in DER form",
                fmt::format("decrypt it: openssl pkey -inform DER -in {0} -out {0}.pem", path));
    }
    if (Decodes<d2i_PKCS12, PKCS12_free>(text)) {
      return is("a PKCS#12 container",
                content == Content::kKey
                    ? fmt::format("take the key out: openssl pkcs12 -in {0} -nocerts -nodes -out "
                                  "{0}.key.pem",
                                  path)
                    : fmt::format("take the certificates out: openssl pkcs12 -in {0} -nokeys -out "
                                  "{0}.pem",
                                  path));
    }
    if (Decodes<d2i_PKCS7, PKCS7_free>(text)) {
      return is("a PKCS#7 container in DER form",
                fmt::format("take the certificates out: openssl pkcs7 -inform DER -in {0} "
                            "-print_certs -out {0}.pem",
                            path));
    }
    if (Decodes<d2i_X509_REQ, X509_REQ_free>(text)) {
      return is("a certificate request in DER form",
                "use the certificate that the authority returned for it");
    }
  }
  return Fail(fmt::format("{} {} holds no PEM block", Noun(content), path),
              content == Content::kKey
                  ? "it must hold a block that begins with -----BEGIN PRIVATE KEY-----"
                  : "it must hold a block that begins with -----BEGIN CERTIFICATE-----");
}

// One block that PEM_read_bio_ex gave; takes its three allocations.
PemBlock TakeBlock(char* name, char* header, unsigned char* data, long size) {
  PemBlock block;
  block.label = name;
  // RFC 1421 section 4.6.1.1: "Proc-Type: 4,ENCRYPTED", the way of old OpenSSL keys.
  block.encrypted = std::string_view(header).find("ENCRYPTED") != std::string_view::npos ||
                    block.label == "ENCRYPTED PRIVATE KEY";
  block.header = header;
  block.der = SecretBytes(std::vector<unsigned char>(data, data + size));
  OPENSSL_secure_free(name);
  OPENSSL_secure_free(header);
  OPENSSL_secure_clear_free(data, static_cast<size_t>(size));
  return block;
}

}  // namespace

const PemBlock* PemFile::Find(std::string_view label) const {
  for (const PemBlock& block : blocks) {
    if (block.label == label) return &block;
  }
  return nullptr;
}

Result<std::vector<PemBlock>> SplitPem(const SecretBytes& text, const std::string& what) {
  std::string_view rest = text.text();
  // The byte order mark of Windows's editors would hide the first block's beginning.
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  const BioPtr bio(BIO_new_mem_buf(rest.data(), static_cast<int>(rest.size())));
  if (bio == nullptr) return Fail("out of memory");
  ERR_clear_error();
  std::vector<PemBlock> blocks;
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    // With PEM_FLAG_SECURE OpenSSL wipes what it used on the way.
    if (PEM_read_bio_ex(bio.get(), &name, &header, &data, &size,
                        PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) != 1) {
      break;
    }
    blocks.push_back(TakeBlock(name, header, data, size));
  }
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE) {
    ERR_clear_error();
    return blocks;
  }
  return Fail(
      fmt::format("PEM block {} in {} is damaged: {}", blocks.size() + 1, what, OpenSslErrors()),
      "copy the file anew, whole and as text");
}

Result<FileOctets> ReadOctets(const std::string& path, std::string_view noun) {
  // O_NONBLOCK: a FIFO put there by mistake must not hold the reload up.
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return CannotOpen(path, noun, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return CannotOpen(path, noun, errno);
  if (!S_ISREG(status.st_mode)) {
    return Fail(fmt::format("{} {} is {}, not a file", noun, path,
                            S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe"),
                "correct the path");
  }
  if (status.st_size == 0) {
    return Fail(fmt::format("{} {} is empty", noun, path), "copy it there anew");
  }
  if (static_cast<size_t>(status.st_size) > kMaxPemFile) {
    return Fail(fmt::format("{} {} is larger than {} KB", noun, path, kMaxPemFile / 1024),
                "name a file that holds one certificate chain or one key");
  }
  FileOctets file;
  // Taken before reading: what changes from here on differs from the stamp the next time.
  file.stamp = MakeStamp(status);
  file.mode = status.st_mode;
  Result<SecretBytes> octets = ReadAll(fd.get(), path, noun, static_cast<size_t>(status.st_size));
  if (!octets) return std::unexpected(octets.error());
  file.octets = std::move(*octets);
  return file;
}

Result<PemFile> ReadPemFile(const std::string& path, Content content) {
  const Result<FileOctets> octets = ReadOctets(path, Noun(content));
  if (!octets) return std::unexpected(octets.error());
  Result<std::vector<PemBlock>> blocks =
      SplitPem(octets->octets, fmt::format("{} {}", Noun(content), path));
  if (!blocks) return std::unexpected(blocks.error());
  if (blocks->empty()) return NotPem(path, content, octets->octets);
  return PemFile{path, octets->stamp, octets->mode, std::move(*blocks)};
}

}  // namespace postern::pki
