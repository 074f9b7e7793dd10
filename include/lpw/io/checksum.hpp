// CRC-32C (Castagnoli's polynomial, as in iSCSI, RFC 3720), by which a damaged checkpoint is told from a whole one.
// Eight bytes a step through eight tables (Kounavis and Berry 2005): a small part of what writing a file takes, without
// special instructions.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI::io {

namespace detail {

/// [0][b] advances the checksum by the byte b; [i][b] by b and i zero bytes after it.
inline constexpr auto crc32c_tables = [] {
  constexpr std::uint32_t reversed_polynomial = 0x82F63B78u;
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) ? reversed_polynomial : 0u);
    tables[0][byte] = value;
  }
  for (std::size_t i = 1; i < 8; ++i)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[i][byte] = (tables[i - 1][byte] >> 8) ^ tables[0][tables[i - 1][byte] & 0xff];
  return tables;
}();

}  // namespace detail

/// The checksum of all bytes given so far, in any division.
class Crc32c {
 public:
  /// Adds bytes.
  void update(std::span<const std::byte> bytes) {
    static_assert(std::endian::native == std::endian::little, "the tables are applied to little-endian words");
    const auto& tables = detail::crc32c_tables;
    const std::byte* p = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 8; left -= 8, p += 8) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      word ^= state_;
      state_ = 0;
      for (std::size_t i = 0; i < 8; ++i) state_ ^= tables[7 - i][(word >> (8 * i)) & 0xff];
    }
    for (; left > 0; --left, ++p)
      state_ = (state_ >> 8) ^ tables[0][(state_ ^ std::to_integer<std::uint32_t>(*p)) & 0xff];
  }

  /// CRC-32C (Castagnoli) of all bytes so far.
  [[nodiscard]] std::uint32_t value() const { return ~state_; }

 private:
  std::uint32_t state_ = 0xffffffffu;
};

/// The checksum of some bytes.
[[nodiscard]] inline std::uint32_t crc32c(std::span<const std::byte> bytes) {
  Crc32c checksum;
  checksum.update(bytes);
  return checksum.value();
}

}  // namespace lpw::inline LPW_ABI::io
