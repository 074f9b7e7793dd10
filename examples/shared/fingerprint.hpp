// How data and programs are known again by what is in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>

#include <lpw/io/checksum.hpp>
#include <lpw/io/file.hpp>
#include <lpw/tensor/text.hpp>
#include <lpw/version.hpp>

namespace example {

/// Such as "4096 bytes, CRC-32C 0a1b2c3d".
template <class T>
[[nodiscard]] std::string fingerprint_of(std::span<const T> values) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(lpw::io::crc32c(std::as_bytes(values))));
  return lpw::to_text(values.size_bytes(), " bytes, CRC-32C ", digits);
}

/// Of what is in a file, such as "4096 bytes, FNV-1a 0a1b2c3d0a1b2c3d", by the 64-bit hash of Fowler, Noll and Vo:
/// files that end with their own CRC, as checkpoints do, all have one CRC. Throws as lpw::io::read_file.
[[nodiscard]] inline std::string fingerprint_of_file(const std::filesystem::path& path) {
  const auto file = lpw::io::read_file(path);
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte b : std::span<const std::byte>(file))
    hash = (hash ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3;
  char digits[24];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return lpw::to_text(std::span<const std::byte>(file).size(), " bytes, FNV-1a ", digits);
}

/// Of the file that this process runs.
[[nodiscard]] inline std::string fingerprint_of_program() {
  return lpw::to_text("lpw ", LPW_VERSION_MAJOR, '.', LPW_VERSION_MINOR, '.', LPW_VERSION_PATCH, " (",
                      fingerprint_of_file("/proc/self/exe"), ')');
}

}  // namespace example
