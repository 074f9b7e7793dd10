// CRC-32C against published answers and against its definition, bit by bit.
#include <lpw/io/checksum.hpp>

#include <vector>

#include <lpw/tensor/philox.hpp>

#include "catch.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace {

/// The definition: polynomial division, one bit at a time.
std::uint32_t crc32c_by_bits(std::span<const std::byte> bytes) {
  std::uint32_t state = 0xffffffffu;
  for (const std::byte byte : bytes) {
    state ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1u) ? 0x82F63B78u : 0u);
  }
  return ~state;
}

}  // namespace

TEST_CASE("crc32c: published answers", "[io]") {
  CHECK(lpw::io::crc32c({}) == 0u);
  CHECK(lpw::io::crc32c(bytes_of("123456789")) == 0xE3069283u);
  CHECK(lpw::io::crc32c(std::vector<std::byte>(32, std::byte{0})) == 0x8A9136AAu);     // RFC 3720, B.4
  CHECK(lpw::io::crc32c(std::vector<std::byte>(32, std::byte{0xff})) == 0x62A8AB43u);  // RFC 3720, B.4
}

TEST_CASE("crc32c: any length and any division gives what the definition gives", "[io]") {
  const lpw::Philox random(1, lpw::Stream::test);
  std::vector<std::byte> bytes;
  for (std::uint64_t i = 0; i < 67; ++i) bytes.push_back(static_cast<std::byte>(random.below(i, 256)));
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const auto all = std::span(bytes).first(length);
    const std::uint32_t expected = crc32c_by_bits(all);
    CHECK(lpw::io::crc32c(all) == expected);
    for (std::size_t cut = 0; cut <= length; cut += 5) {
      lpw::io::Crc32c checksum;
      checksum.update(all.first(cut));
      checksum.update(all.subspan(cut));
      CHECK(checksum.value() == expected);
    }
  }
}
