// Files in the safetensors format, by which weights go to and come from other frameworks:
//   8 bytes: length n of the header | n bytes: JSON header, blanks to a multiple of 8 | the tensors' data, one after
//   another
// The writer puts wider element types first, so that every tensor is aligned to its elements for readers that map the
// file.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/io/named_tensors.hpp>
#include <lpw/io/tensor_directory.hpp>

namespace lpw::inline LPW_ABI::io {

/// What such a file holds.
struct Safetensors {
  NamedTensors tensors;                         // in the order of the file
  std::map<std::string, std::string> metadata;  // free texts; frameworks look for {"format": "pt"} and the like

  /// Under which name a tensor is in the file: of tied weights, PyTorch's save_model keeps one name, and notes the
  /// others in the metadata with the name that it kept. `name` itself where there is no such note.
  [[nodiscard]] std::string stored_name(const std::string& name) const {
    const auto note = tensors.contains(name) ? metadata.end() : metadata.find(name);
    return note != metadata.end() && tensors.contains(note->second) ? note->second : name;
  }
};

/// Writes a file, all or nothing. Throws FileError where it cannot be written, a tensor is named "__metadata__" or a
/// text is not UTF-8.
inline void save_safetensors(const std::filesystem::path& path, const Safetensors& content) {
  require<FileError>(!content.tensors.contains("__metadata__"), path.string(),
                     ": cannot be written: no tensor may be named '__metadata__'");
  std::vector<NamedTensor> tensors(content.tensors.begin(), content.tensors.end());
  std::stable_sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return element_size(a.dtype) > element_size(b.dtype);
  });
  nlohmann::json header = detail::make_directory(tensors);
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  const std::string text = detail::format_header(header, path, 0);

  AtomicFile file(path);
  file.write(detail::bytes_of<std::uint64_t>(text.size()));
  file.write(text);
  for (const NamedTensor& tensor : tensors) file.write(tensor.data);
  file.commit();
}

/// Reads a file that is in memory already; `source` opens the error messages. Throws FileError where it is truncated or
/// damaged.
[[nodiscard]] inline Safetensors parse_safetensors(Bytes content, const std::string& source) {
  const auto owner = std::make_shared<const Bytes>(std::move(content));
  const ByteView file(*owner);
  require<FileError>(file.size() >= 8, source, ": truncated: ", file.size(), " bytes are no safetensors file");
  require<FileError>(std::memcmp(file.data(), detail::checkpoint_magic.data(), detail::checkpoint_magic.size()) != 0,
                     source,
                     ": is a checkpoint, from which a run is resumed; expected an exported network, such as its run's "
                     "model.safetensors");
  const auto length = detail::read_unsigned<std::uint64_t>(file, 0);
  require<FileError>(length <= detail::max_header_bytes && length <= file.size() - 8, source,
                     ": truncated or damaged: the header's length is ", length, " in a file of ", file.size(),
                     " bytes");
  auto header = detail::parse_header(file.subspan(8, length), source, 8);

  std::map<std::string, std::string> metadata;
  if (const auto found = header.find("__metadata__"); found != header.end()) {
    require<FileError>(found->is_object(), source, ": damaged: __metadata__ is not an object of texts");
    for (const auto& [name, value] : found->items()) {
      require<FileError>(value.is_string(), source, ": damaged: '", name, "' in __metadata__ is not a text");
      metadata.emplace(name, value.get<std::string>());
    }
    header.erase(found);
  }

  auto entries = detail::parse_directory(header, source, detail::Ties::allowed);
  const ByteView payload = file.subspan(8 + length);
  const auto expected = detail::payload_bytes(entries);
  require<FileError>(payload.size() == expected, source,
                     payload.size() < expected ? ": truncated: " : ": damaged: ", payload.size(),
                     " bytes follow the header, which announces ", expected);
  return {detail::bind(std::move(entries), payload, owner, source), std::move(metadata)};
}

/// Reads a file; the tensors come in the order of their data, which tied ones share. Throws FileError where it is
/// missing, truncated or damaged, or of element types or with more axes than are supported.
[[nodiscard]] inline Safetensors load_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path.string());
}

}  // namespace lpw::inline LPW_ABI::io
