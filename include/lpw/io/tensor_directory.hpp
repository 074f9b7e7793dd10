// The JSON headers of the two file formats, which share the directory of tensors:
//   {"head.weight": {"dtype": "F32", "shape": [10, 64], "data_offsets": [0, 2560]}, ...}
// where the offsets count from the start of the payload and the tensors fill it without gap, and without overlap but
// for tied weights in safetensors. A header comes from outside: everything in it is checked before it is used, and
// nothing is allocated by a number found in it. "damaged" says that no such file can be, "unsupported" that it can.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <lpw/io/file.hpp>
#include <lpw/io/named_tensors.hpp>

namespace lpw::inline LPW_ABI::io::detail {

/// How a checkpoint starts.
inline constexpr std::string_view checkpoint_magic = "LPWCKPT1";

/// Longest header accepted, as in the safetensors specification.
inline constexpr std::uint64_t max_header_bytes = 100'000'000;

/// How deep a header may nest, itself included.
inline constexpr int max_header_depth = 64;

/// Whether JSON nests deeper than so many levels. Looks no deeper.
[[nodiscard]] inline bool nests_deeper(const nlohmann::json& json, int levels) {
  if (!json.is_structured()) return false;
  return levels == 0 ||
         std::any_of(json.begin(), json.end(), [&](const auto& inner) { return nests_deeper(inner, levels - 1); });
}

/// Parses a header that starts at byte `offset` of the file `source`. Throws FileError where it is not one JSON object,
/// nests more than 64 deep or names a member of an object twice.
[[nodiscard]] inline nlohmann::json parse_header(ByteView header, const std::string& source, std::uint64_t offset) {
  using Json = nlohmann::json;
  std::vector<std::set<std::string>> names;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    require<FileError>(depth <= max_header_depth, source, ": damaged: its header nests more than ", max_header_depth,
                       " deep");
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      require<FileError>(names.back().insert(name).second, source, ": damaged: its header names '", name, "' twice");
    }
    return true;
  };
  // The parser would take a byte order mark for nothing and a zero byte for the end.
  const bool text = !header.empty() && header[0] == std::byte{'{'} &&
                    std::find(header.begin(), header.end(), std::byte{0}) == header.end();
  require<FileError>(text, source, ": damaged: its header at byte ", offset, " is not a JSON object");
  const char* first = reinterpret_cast<const char*>(header.data());
  try {
    return Json::parse(first, first + header.size(), check);
  } catch (const Json::parse_error& error) {
    fail<FileError>(source, ": damaged: its header is not JSON at byte ", offset + error.byte);
  } catch (const Json::exception&) {
    fail<FileError>(source, ": damaged: its header holds a number that is out of range");
  }
}

/// A header as text, filled with blanks to `remainder` modulo 8 bytes. Throws FileError where a string in it is not
/// UTF-8, or it nests deeper than parse_header reads.
[[nodiscard]] inline std::string format_header(const nlohmann::json& header, const std::filesystem::path& path,
                                               std::size_t remainder) {
  require<FileError>(!nests_deeper(header, max_header_depth), path.string(),
                     ": cannot be written: its header nests more than ", max_header_depth, " deep");
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail<FileError>(path.string(), ": cannot be written: a name or text in its header is not UTF-8");
  }
  require<FileError>(text.size() < max_header_bytes - 8, path.string(), ": cannot be written: its header of ",
                     text.size(), " bytes exceeds ", max_header_bytes);
  text.append((remainder + 8 - text.size() % 8) % 8, ' ');
  return text;
}

/// The directory of tensors whose data will follow one another in the order given.
template <class Range>
[[nodiscard]] nlohmann::json make_directory(const Range& tensors) {
  auto directory = nlohmann::json::object();
  std::uint64_t end = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::uint64_t begin = std::exchange(end, end + tensor.data.size());
    directory[tensor.name] = {{"dtype", tensor.dtype},
                              {"shape", std::vector<std::int64_t>(tensor.shape.begin(), tensor.shape.end())},
                              {"data_offsets", {begin, end}}};
  }
  return directory;
}

/// One line of a directory.
struct Entry {
  std::string name, dtype;
  Shape shape;
  std::uint64_t begin = 0, end = 0;
};

/// How a tensor of a file is called in a message that it is `fault`.
[[nodiscard]] inline std::string place(const std::string& source, const char* fault, const std::string& name) {
  return to_text(source, ": ", fault, ": tensor '", name, "': ");
}

/// Whether safetensors has an element type of this name that has no counterpart here: 8, 6 and 4 bits of floating
/// point, complex numbers.
[[nodiscard]] inline bool is_unsupported(std::string_view dtype) {
  return dtype.starts_with("F8_") || dtype.starts_with("F6_") || dtype == "F4" || dtype == "C64";
}

[[nodiscard]] inline Shape parse_shape(const nlohmann::json& extents, const std::string& name,
                                       const std::string& source) {
  const std::string where = place(source, "damaged", name);
  require<FileError>(extents.is_array(), where, "shape is not an array of extents");
  for (const auto& extent : extents) {
    const bool valid = extent.is_number_unsigned() && extent.get<std::uint64_t>() <= std::uint64_t{INT64_MAX};
    require<FileError>(valid, where, "shape has an extent that is not a size");
  }
  require<FileError>(extents.size() <= Shape::max_rank, place(source, "unsupported", name), "it has ", extents.size(),
                     " axes, expected at most ", Shape::max_rank);
  Shape shape;
  try {
    for (const auto& extent : extents) shape.append(extent.get<std::int64_t>());
  } catch (const ShapeError& error) {  // more elements than can be counted
    fail<FileError>(where, error.what());
  }
  return shape;
}

[[nodiscard]] inline Entry parse_entry(const std::string& name, const nlohmann::json& value,
                                       const std::string& source) {
  const std::string where = place(source, "damaged", name);
  const bool fields = value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
                      value.contains("data_offsets");
  require<FileError>(fields, where, "expected dtype, shape and data_offsets");
  const auto &dtype = value["dtype"], &offsets = value["data_offsets"];
  require<FileError>(dtype.is_string(), where, "dtype is not a string");
  Entry entry{.name = name, .dtype = dtype.get<std::string>(), .shape = parse_shape(value["shape"], name, source)};
  require<FileError>(!is_unsupported(entry.dtype), place(source, "unsupported", name), "dtype ", entry.dtype,
                     "; convert it to F32 with the program that wrote it");
  require<FileError>(element_size(entry.dtype) > 0, where, "unknown dtype '", entry.dtype, "'");
  require<FileError>(
      offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(),
      where, "data_offsets is not a pair of offsets");
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  const auto bytes = byte_size(entry.dtype, entry.shape);
  require<FileError>(bytes && entry.begin <= entry.end && *bytes == entry.end - entry.begin, where, entry.dtype, " ",
                     entry.shape, " does not fit data_offsets [", entry.begin, ", ", entry.end, ")");
  return entry;
}

/// Whether two tensors may have the same data, as tied weights do.
enum class Ties { refused, allowed };

/// The entries of a directory in the order of their data. Throws FileError naming the tensor where anything in it is
/// impossible.
[[nodiscard]] inline std::vector<Entry> parse_directory(const nlohmann::json& directory, const std::string& source,
                                                        Ties ties) {
  require<FileError>(directory.is_object(), source, ": damaged: its directory of tensors is not a JSON object");
  std::vector<Entry> entries;
  for (const auto& [name, value] : directory.items()) entries.push_back(parse_entry(name, value, source));
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  std::uint64_t end = 0;
  for (const Entry& entry : entries) {
    require<FileError>(entry.begin == end || (ties == Ties::allowed && entry.begin < end), source,
                       ": damaged: tensor '", entry.name, "' starts at byte ", entry.begin,
                       " of the data, where its neighbour ends at ", end);
    end = std::max(end, entry.end);
  }
  return entries;
}

/// Bytes that the data of all entries take.
[[nodiscard]] inline std::uint64_t payload_bytes(const std::vector<Entry>& entries) {
  std::uint64_t end = 0;
  for (const Entry& entry : entries) end = std::max(end, entry.end);
  return end;
}

/// The tensors of a directory in a payload of payload_bytes(entries), which `owner` keeps alive.
[[nodiscard]] inline NamedTensors bind(std::vector<Entry> entries, ByteView payload,
                                       const std::shared_ptr<const void>& owner, const std::string& source) {
  NamedTensors tensors(source);
  for (Entry& entry : entries) {
    const ByteView data = payload.subspan(entry.begin, entry.end - entry.begin);
    tensors.add({std::move(entry.name), std::move(entry.dtype), entry.shape, data, owner});
  }
  return tensors;
}

/// An unsigned number as the files hold it.
template <class Unsigned>
[[nodiscard]] Unsigned read_unsigned(ByteView bytes, std::size_t offset) {
  Unsigned value;
  std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}
template <class Unsigned>
[[nodiscard]] ByteView bytes_of(const Unsigned& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace lpw::inline LPW_ABI::io::detail
