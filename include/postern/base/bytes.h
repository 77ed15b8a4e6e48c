// Byte spans and the conversions between bytes and text that every module uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace postern {

// Bytes is a borrowed, read-only run of bytes; it never owns what it shows.
using Bytes = std::span<const std::byte>;
// MutableBytes is a borrowed run of bytes that the callee may overwrite.
using MutableBytes = std::span<std::byte>;

// AsBytes shows text as bytes; the text must outlive the result.
inline Bytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// AsText shows bytes as text, unchecked: what comes from a peer may hold any octet.
inline std::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// AsUnsigned gives the pointer type that OpenSSL's functions want.
inline const unsigned char* AsUnsigned(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* AsUnsigned(MutableBytes bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

}  // namespace postern
