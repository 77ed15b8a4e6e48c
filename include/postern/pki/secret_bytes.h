// SecretBytes: octets that are wiped when they go: private keys, passphrases.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace postern::pki {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::vector<unsigned char> bytes) : bytes_(std::move(bytes)) {}
  SecretBytes(SecretBytes&&) noexcept = default;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes();
  const std::vector<unsigned char>& get() const { return bytes_; }
  // The same octets as text; borrowed.
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::vector<unsigned char> bytes_;
};

}  // namespace postern::pki
