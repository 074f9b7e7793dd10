#include "shared/fingerprint.hpp"

#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "catch.hpp"
#include "support/files.hpp"

TEST_CASE("files that end with their own CRC are told apart", "[fingerprint]") {
  const lpw::test::TemporaryFolder folder;
  const auto written = [&](std::string text) {
    std::uint32_t sum = lpw::io::crc32c(std::as_bytes(std::span<const char>(text)));
    for (int i = 0; i < 4; ++i, sum >>= 8) text += static_cast<char>(sum & 0xff);
    std::ofstream(folder.path() / "file", std::ios::binary) << text;
    return example::fingerprint_of_file(folder.path() / "file");
  };
  CHECK(written("a checkpoint") != written("another one."));
  CHECK(written("a checkpoint") == written("a checkpoint"));
  CHECK(written("") == "4 bytes, FNV-1a 4d25767f9dce13f5");
}
