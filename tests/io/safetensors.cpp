// Safetensors: round trips, the bytes of the format, and every way in which a file can be wrong.
#include <lpw/io/safetensors.hpp>

#include <cstring>
#include <string>

#include "catch.hpp"
#include "samples.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace io = lpw::io;
using lpw::Cpu;

namespace {

/// A file of a header, as given, and so many bytes of data.
io::Bytes file_of(const std::string& header, std::size_t data = 0) {
  const std::uint64_t length = header.size();
  io::Bytes bytes(8);
  std::memcpy(bytes.data(), &length, 8);
  for (const std::byte byte : bytes_of(header)) bytes.push_back(byte);
  bytes.resize(bytes.size() + data);
  return bytes;
}

std::string safetensors_refusal(const io::Bytes& bytes) {
  return message_of<lpw::FileError>([&] { (void)io::parse_safetensors(bytes, "f"); });
}
std::string safetensors_refusal(const std::string& header, std::size_t data = 0) {
  return safetensors_refusal(file_of(header, data));
}

/// The safetensors_refusal of a file with one tensor "w" of these fields and 8 bytes of data.
std::string refusal_of_tensor(const std::string& fields) { return safetensors_refusal("{\"w\":{" + fields + "}}", 8); }

io::Bytes small_safetensors() {
  const TemporaryFolder folder;
  io::Safetensors content;
  content.tensors.add("w", sample<float>({2, 3}));
  content.tensors.add("n", sample<std::uint8_t>({}));
  content.metadata["format"] = "pt";
  io::save_safetensors(folder / "f", content);
  return io::read_file(folder / "f");
}

}  // namespace

TEST_CASE("safetensors: every element type and rank comes back", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  io::Safetensors content{every_sample(), {{"format", "pt"}, {"epoch", "200"}}};
  io::save_safetensors(path, content);
  const auto loaded = io::load_safetensors(path);
  check_equal(loaded.tensors, content.tensors);
  CHECK(loaded.metadata == content.metadata);
  CHECK(loaded.tensors.source() == path.string());
}

TEST_CASE("safetensors: no tensors, no metadata", "[io]") {
  const TemporaryFolder folder;
  io::save_safetensors(folder / "f", {});
  CHECK(io::read_file(folder / "f") == file_of("{}      "));
  const auto loaded = io::load_safetensors(folder / "f");
  CHECK(loaded.tensors.size() == 0);
  CHECK(loaded.metadata.empty());
}

TEST_CASE("safetensors: the file's bytes are the format's", "[io]") {
  const TemporaryFolder folder;
  io::Safetensors content;
  content.tensors.add("a", lpw::full<std::uint8_t, Cpu>({1}, 9));
  content.tensors.add("b", lpw::full<float, Cpu>({1}, 1.f));
  io::save_safetensors(folder / "f", content);
  // "b" comes first, where a float is aligned.
  auto expected = file_of(
      R"({"a":{"data_offsets":[4,5],"dtype":"U8","shape":[1]},"b":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}      )");
  for (const int byte : {0x00, 0x00, 0x80, 0x3f, 9}) expected.push_back(static_cast<std::byte>(byte));
  CHECK(text_of(io::read_file(folder / "f")) == text_of(expected));
}

TEST_CASE("safetensors: tensors come in the order of their data and may be of types without a C++ type", "[io]") {
  const auto loaded = io::parse_safetensors(file_of(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[2,6]},)"
                                                    R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})",
                                                    6),
                                            "f");
  REQUIRE(loaded.tensors.size() == 2);
  CHECK(loaded.tensors.begin()->name == "b");
  CHECK(loaded.tensors.at("a").dtype == "F16");
  CHECK(message_of<lpw::FileError>([&] { (void)loaded.tensors.get<float>("a", {2}); }) ==
        "f: tensor 'a' is F16 [2], expected F32 [2]");
}

TEST_CASE("safetensors: loaded tensors outlive the file and the list", "[io]") {
  lpw::Tensor<float, Cpu> w;
  {
    const auto loaded = io::parse_safetensors(small_safetensors(), "f");
    w = loaded.tensors.get<float>("w", {2, 3});
  }
  CHECK(w.data()[5] == 7.f);
}

TEST_CASE("safetensors: a file cut anywhere is refused", "[io]") {
  const io::Bytes whole = small_safetensors();
  REQUIRE(io::parse_safetensors(whole, "f").tensors.size() == 2);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO("length " << length);
    CHECK(contains(safetensors_refusal(io::Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))),
                   "f: truncated"));
  }
}

TEST_CASE("safetensors: bytes past the end are refused", "[io]") {
  io::Bytes bytes = small_safetensors();
  bytes.push_back(std::byte{0});
  CHECK(safetensors_refusal(bytes) == "f: damaged: 26 bytes follow the header, which announces 25");
}

TEST_CASE("safetensors: any flipped bit loads or throws FileError", "[io]") {
  const io::Bytes whole = small_safetensors();
  int refused = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    io::Bytes bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    refused += !safetensors_refusal(bytes).empty();
  }
  CHECK(refused > 64);                                  // the length and the JSON's syntax at least
  CHECK(refused < static_cast<int>(whole.size() * 8));  // the data carry no checksum
}

TEST_CASE("safetensors: impossible header lengths are refused before anything is allocated", "[io]") {
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7, std::uint64_t{1} << 63}) {
    io::Bytes bytes = file_of("{}");
    std::memcpy(bytes.data(), &length, 8);
    CHECK(safetensors_refusal(bytes) ==
          lpw::to_text("f: truncated or damaged: the header's length is ", length, " in a file of 10 bytes"));
  }
}

TEST_CASE("safetensors: a checkpoint is called one", "[io]") {
  CHECK(safetensors_refusal(bytes_of(io::detail::checkpoint_magic)) ==
        "f: is a checkpoint, from which a run is resumed; expected an exported network, such as its run's "
        "model.safetensors");
}

TEST_CASE("safetensors: headers that are no JSON object are refused", "[io]") {
  for (const std::string header : {"", " {}", "[]", "null", "\xEF\xBB\xBF{}"})
    CHECK(safetensors_refusal(header) == "f: damaged: its header at byte 8 is not a JSON object");
  CHECK(safetensors_refusal(std::string("{}\0x", 4)) == "f: damaged: its header at byte 8 is not a JSON object");
  CHECK(safetensors_refusal("{} x") == "f: damaged: its header is not JSON at byte 12");
  CHECK(contains(safetensors_refusal("{\"\xff\":1}"), "is not JSON"));
  CHECK(contains(safetensors_refusal("{\"w\":1e999}"), "number that is out of range"));
  CHECK(contains(safetensors_refusal("{\"w\":" + std::string(1'000'000, '[')), "nests more than 64 deep"));
  CHECK(contains(safetensors_refusal("{\"w\":" + std::string(50, '[')), "is not JSON"));
}

TEST_CASE("safetensors: nonsense in a tensor's fields is refused by name", "[io]") {
  const auto dtype = [](const std::string& value) {
    return refusal_of_tensor("\"dtype\":" + value + R"(,"shape":[2],"data_offsets":[0,8])");
  };
  const auto shape = [](const std::string& value) {
    return refusal_of_tensor(R"("dtype":"F32","data_offsets":[0,8],"shape":)" + value);
  };
  const auto offsets = [](const std::string& value) {
    return refusal_of_tensor(R"("dtype":"F32","shape":[2],"data_offsets":)" + value);
  };
  REQUIRE(shape("[2]").empty());
  const std::string tensor = "f: damaged: tensor 'w': ";

  CHECK(dtype("7") == tensor + "dtype is not a string");
  CHECK(dtype("\"F33\"") == tensor + "unknown dtype 'F33'");
  for (const auto* value : {"2", "\"2\"", "{}", "null"})
    CHECK(shape(value) == tensor + "shape is not an array of extents");
  for (const auto* value : {"[-2]", "[2.0]", "[\"2\"]", "[null]", "[[2]]", "[9223372036854775808]",
                            "[99999999999999999999]", "[1,1,1,1,1,1,-2]"})
    CHECK(shape(value) == tensor + "shape has an extent that is not a size");
  CHECK(shape("[3]") == tensor + "F32 [3] does not fit data_offsets [0, 8)");
  for (const auto* value : {"[]", "[0]", "[4611686018427387903,2]"})
    CHECK(contains(shape(value), "does not fit data_offsets [0, 8)"));
  for (const auto* value :
       {"[4611686018427387905,2]", "[4294967296,4294967296,2]", "[0,4611686018427387904,4611686018427387904]"}) {
    CHECK(shape(value).starts_with(tensor + "shape: ["));
    CHECK(contains(shape(value), "has more than 2^63 - 1 elements"));
  }
  for (const auto* value : {"8", "[8]", "[0,8,8]", "[-8,0]", "[0,8.0]", "[\"0\",\"8\"]", "[0,18446744073709551616]"})
    CHECK(offsets(value) == tensor + "data_offsets is not a pair of offsets");
  CHECK(contains(offsets("[8,0]"), "does not fit data_offsets [8, 0)"));
  CHECK(contains(offsets("[8,16]"), "'w' starts at byte 8 of the data, where its neighbour ends at 0"));
  CHECK(contains(offsets("[18446744073709551608,18446744073709551615]"), "does not fit"));

  for (const auto* fields :
       {"", R"("dtype":"F32","shape":[2])", R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)"})
    CHECK(refusal_of_tensor(fields) == tensor + "expected dtype, shape and data_offsets");
  CHECK(contains(safetensors_refusal(R"({"w":[]})"), "expected dtype, shape and data_offsets"));
}

TEST_CASE("safetensors: what the format has and lpw has not is unsupported, not damaged", "[io]") {
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F4", "C64"})
    CHECK(refusal_of_tensor(lpw::to_text(R"("dtype":")", dtype, R"(","shape":[1,8],"data_offsets":[0,8])")) ==
          lpw::to_text("f: unsupported: tensor 'w': dtype ", dtype,
                       "; convert it to F32 with the program that wrote it"));
  CHECK(refusal_of_tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8])") ==
        "f: unsupported: tensor 'w': it has 7 axes, expected at most 6");
}

TEST_CASE("safetensors: tied tensors share their data", "[io]") {
  auto bytes = file_of(
      R"({"a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},)"
      R"("c":{"dtype":"U8","shape":[3],"data_offsets":[3,6]},"d":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})",
      6);
  for (std::size_t i = 0; i < 6; ++i) bytes[bytes.size() - 6 + i] = static_cast<std::byte>(i);
  const auto loaded = io::parse_safetensors(bytes, "f");
  const auto values = [&](const char* name) {
    std::string text;
    for (const std::byte byte : loaded.tensors.at(name).data)
      text += static_cast<char>('0' + std::to_integer<int>(byte));
    return text;
  };
  CHECK(values("a") == "0123");
  CHECK(values("b") == "0123");
  CHECK(values("c") == "345");
  CHECK(values("d") == "4");
  CHECK(loaded.tensors.at("a").data.data() == loaded.tensors.at("b").data.data());
}

TEST_CASE("safetensors: a name that was dropped for the one it is tied to is found by the metadata", "[io]") {
  io::Safetensors content;
  content.tensors.add("encoder", sample<float>({2}));
  content.tensors.add("pt", sample<float>({1}));
  content.metadata = {{"format", "pt"}, {"decoder", "encoder"}, {"lost", "nowhere"}, {"pt", "encoder"}};
  CHECK(content.stored_name("decoder") == "encoder");
  CHECK(content.stored_name("encoder") == "encoder");
  CHECK(content.stored_name("pt") == "pt");
  CHECK(content.stored_name("lost") == "lost");
  CHECK(content.stored_name("other") == "other");
}

TEST_CASE("safetensors: overlong and short files, gaps and double names are refused", "[io]") {
  const auto two = [](const std::string& a, const std::string& b, std::size_t data) {
    return safetensors_refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                                   R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                               data);
  };
  REQUIRE(two("[4,8]", "[0,4]", 8).empty());
  CHECK(contains(two("[0,4]", "[5,9]", 9), "'b' starts at byte 5 of the data, where its neighbour ends at 4"));
  CHECK(two("[0,4]", "[2,6]", 5) == "f: truncated: 5 bytes follow the header, which announces 6");
  CHECK(two("[0,4]", "[2,6]", 7) == "f: damaged: 7 bytes follow the header, which announces 6");
  CHECK(two("[0,4]", "[4,8]", 7) == "f: truncated: 7 bytes follow the header, which announces 8");
  CHECK(safetensors_refusal("{\"a\":1,\"a\":1}") == "f: damaged: its header names 'a' twice");
  CHECK(contains(safetensors_refusal(R"({"a":{"dtype":"U8","dtype":"F32","shape":[0],"data_offsets":[0,0]}})"),
                 "names 'dtype' twice"));
}

TEST_CASE("safetensors: metadata other than texts are refused", "[io]") {
  CHECK(safetensors_refusal(R"({"__metadata__":[]})") == "f: damaged: __metadata__ is not an object of texts");
  CHECK(safetensors_refusal(R"({"__metadata__":{"epoch":3}})") == "f: damaged: 'epoch' in __metadata__ is not a text");
}

TEST_CASE("safetensors: what cannot be written is refused and the old file stays", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "f";
  io::save_safetensors(path, {});
  io::Safetensors reserved, binary;
  reserved.tensors.add("__metadata__", sample<float>({1}));
  binary.metadata["text"] = "\xff";
  CHECK(message_of<lpw::FileError>([&] { io::save_safetensors(path, reserved); }) ==
        path.string() + ": cannot be written: no tensor may be named '__metadata__'");
  CHECK(message_of<lpw::FileError>([&] { io::save_safetensors(path, binary); }) ==
        path.string() + ": cannot be written: a name or text in its header is not UTF-8");
  CHECK(io::load_safetensors(path).tensors.size() == 0);
}
