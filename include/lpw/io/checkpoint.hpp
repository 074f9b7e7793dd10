// The container of checkpoint.lpw, from which training resumes. Unlike an exported model it is checksummed, because a
// run that goes on from silently damaged state is worth less than none:
//   "LPWCKPT1" | 8 bytes: length n of the header | n bytes: JSON header {"meta": ..., "tensors": directory}, blanks to
//   4 modulo 8 | 4 bytes: CRC-32C of all before | the tensors' data, one after another | 4 bytes: CRC-32C of all before
// A whole header with damaged data is thus told from a damaged header, and a truncated file from either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <ios>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <lpw/io/checksum.hpp>
#include <lpw/io/file.hpp>
#include <lpw/io/named_tensors.hpp>
#include <lpw/io/tensor_directory.hpp>

namespace lpw::inline LPW_ABI::io {

/// What a checkpoint holds.
struct Checkpoint {
  nlohmann::json meta;   // the caller's; finite numbers come back exactly, NaN and infinity as null
  NamedTensors tensors;  // as they were added
};

namespace detail {

/// Passes bytes to a file and keeps their checksum.
class ChecksummedFile {
 public:
  explicit ChecksummedFile(const std::filesystem::path& path) : file_(path) {}
  void write(ByteView bytes) {
    checksum_.update(bytes);
    file_.write(bytes);
  }
  void write_checksum() { write(bytes_of(checksum_.value())); }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  Crc32c checksum_;
};

inline void check_crc32c(ByteView file, std::size_t end, const char* what, const std::string& source) {
  const auto recorded = read_unsigned<std::uint32_t>(file, end), computed = crc32c(file.first(end));
  require<FileError>(recorded == computed, source, ": damaged: checksum of its ", what, " is ", std::hex, computed,
                     ", recorded is ", recorded, "; use an older checkpoint");
}

}  // namespace detail

/// Writes a checkpoint, all or nothing: after any failure the file of before is still there. Throws FileError.
inline void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  const nlohmann::json header{{"meta", checkpoint.meta}, {"tensors", detail::make_directory(checkpoint.tensors)}};
  const std::string text = detail::format_header(header, path, 4);
  const std::uint64_t length = text.size();

  detail::ChecksummedFile file(path);
  file.write(std::as_bytes(std::span(detail::checkpoint_magic)));
  file.write(detail::bytes_of(length));
  file.write(std::as_bytes(std::span(text)));
  file.write_checksum();
  for (const NamedTensor& tensor : checkpoint.tensors) file.write(tensor.data);
  file.write_checksum();
  file.commit();
}

/// Reads a checkpoint that is in memory already; `source` opens the error messages. Throws FileError where it is not
/// whole.
[[nodiscard]] inline Checkpoint parse_checkpoint(Bytes content, const std::string& source) {
  constexpr std::size_t header_begin = 16, checksum_bytes = 4;
  const auto& magic = detail::checkpoint_magic;
  const auto owner = std::make_shared<const Bytes>(std::move(content));
  const ByteView file(*owner);
  require<FileError>(file.size() >= header_begin + 2 * checksum_bytes, source, ": truncated: ", file.size(),
                     " bytes are no checkpoint");
  require<FileError>(std::memcmp(file.data(), magic.data(), magic.size()) == 0, source,
                     ": is not a checkpoint of this version: does not start with ", magic);
  const auto length = detail::read_unsigned<std::uint64_t>(file, magic.size());
  require<FileError>(length <= detail::max_header_bytes && length <= file.size() - header_begin - 2 * checksum_bytes,
                     source, ": truncated or damaged: the header's length is ", length, " in a file of ", file.size(),
                     " bytes");
  const std::size_t header_end = header_begin + length, payload_begin = header_end + checksum_bytes;
  detail::check_crc32c(file, header_end, "header", source);

  auto header = detail::parse_header(file.subspan(header_begin, length), source, header_begin);
  require<FileError>(header.size() == 2 && header.contains("meta") && header.contains("tensors"), source,
                     ": damaged: its header does not hold meta and tensors");
  auto entries = detail::parse_directory(header["tensors"], source, detail::Ties::refused);
  const std::uint64_t payload = file.size() - payload_begin - checksum_bytes, expected = detail::payload_bytes(entries);
  require<FileError>(payload == expected, source, payload < expected ? ": truncated: " : ": damaged: ", payload,
                     " bytes follow the header, which announces ", expected);
  detail::check_crc32c(file, payload_begin + payload, "data", source);
  return {std::move(header["meta"]),
          detail::bind(std::move(entries), file.subspan(payload_begin, payload), owner, source)};
}

/// Reads a checkpoint. Throws FileError where it is missing, truncated or damaged, and says which.
[[nodiscard]] inline Checkpoint load_checkpoint(const std::filesystem::path& path) {
  return parse_checkpoint(read_file(path), path.string());
}

}  // namespace lpw::inline LPW_ABI::io
