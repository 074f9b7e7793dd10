// How data and programs are known again by what is in them.
#pragma once

#include <cstddef>
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

/// Of what is in a file. Throws as lpw::io::read_file.
[[nodiscard]] inline std::string fingerprint_of_file(const std::filesystem::path& path) {
  const auto file = lpw::io::read_file(path);
  return fingerprint_of(std::span<const std::byte>(file));
}

/// Of the file that this process runs.
[[nodiscard]] inline std::string fingerprint_of_program() {
  return lpw::to_text("lpw ", LPW_VERSION_MAJOR, '.', LPW_VERSION_MINOR, '.', LPW_VERSION_PATCH, " (",
                      fingerprint_of_file("/proc/self/exe"), ')');
}

}  // namespace example
