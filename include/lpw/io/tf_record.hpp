// TensorFlow's record files, frames of bytes with checksums: the length in 8 bytes, its masked CRC-32C, the bytes, and
// theirs, all little-endian.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/io/checksum.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::io {

/// The checksum as records hold it: rotated, and with a constant added, so that a checksum over bytes that hold
/// checksums is one of something else.
[[nodiscard]] inline std::uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(std::as_bytes(std::span(bytes.data(), bytes.size()))), 15) + 0xa282ead8u;
}

namespace detail {

template <class T>
[[nodiscard]] std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
template <class T>
[[nodiscard]] T from_little_endian(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace detail

/// A frame around some bytes.
[[nodiscard]] inline std::string tf_record(std::string_view bytes) {
  const auto length = detail::little_endian(static_cast<std::uint64_t>(bytes.size()));
  return to_text(length, detail::little_endian(masked_crc32c(length)), bytes,
                 detail::little_endian(masked_crc32c(bytes)));
}

/// What the frames of a file hold. Throws FileError for one that is cut short or has another checksum; `source` names
/// the file.
[[nodiscard]] inline std::vector<std::string> read_tf_records(std::string_view file, const std::string& source) {
  constexpr std::size_t header = 12, trailer = 4;
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto left = file.substr(at);
    const auto require_whole = [&](bool whole) {
      require<FileError>(whole, source, ": record ", records.size() + 1, " is cut short or damaged");
    };
    require_whole(left.size() >= header + trailer);
    require_whole(detail::from_little_endian<std::uint32_t>(left.substr(8)) == masked_crc32c(left.substr(0, 8)));
    const auto length = detail::from_little_endian<std::uint64_t>(left);
    require_whole(length <= left.size() - header - trailer);
    const auto bytes = left.substr(header, length);
    require_whole(detail::from_little_endian<std::uint32_t>(left.substr(header + length)) == masked_crc32c(bytes));
    records.emplace_back(bytes);
    at += header + length + trailer;
  }
  return records;
}

}  // namespace lpw::inline LPW_ABI::io
