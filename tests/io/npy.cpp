// Files of NumPy: whole ones, each way in which a header can be wrong, and the sets of images made of them.
#include <lpw/io/npy.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <limits>
#include <numeric>

#include <lpw/io/cifar_c.hpp>
#include <lpw/io/npy_images.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

using lpw::io::CifarC;
using lpw::io::NpyFile;
using lpw::io::read_npy_images;
using lpw::io::read_npy_labels;
namespace fs = std::filesystem;

namespace {

/// A file with this dictionary and these elements, as numpy.save writes it.
std::string npy(const std::string& dictionary, const std::string& elements, char version = 1) {
  std::string length{static_cast<char>(dictionary.size() % 256), static_cast<char>(dictionary.size() / 256)};
  if (version > 1) length += std::string(2, '\0');
  return std::string("\x93NUMPY") + version + '\0' + length + dictionary + elements;
}
std::string header(const std::string& type, const std::string& shape) {
  return "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }          \n";
}
fs::path write(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

/// Images of so many rows whose bytes tell the row.
std::string images(std::int64_t count) {
  std::string bytes;
  for (std::int64_t i = 0; i < count; ++i) bytes += std::string(32 * 32 * 3, static_cast<char>(i + 1));
  return npy(header("|u1", lpw::to_text('(', count, ", 32, 32, 3)")), bytes);
}
std::string labels(const std::vector<int>& values) {
  std::string bytes;
  for (const int value : values) bytes += static_cast<char>(value);
  return npy(header("|u1", lpw::to_text('(', values.size(), ",)")), bytes);
}

}  // namespace

TEST_CASE("npy: elements of each width and sign, in each version of the format", "[io]") {
  const TemporaryFolder folder;
  const std::string two("\xfe\xff\xff\xff\xff\xff\xff\xff\x07\0\0\0\0\0\0\0", 16);
  const auto values = [&](const char* type, std::size_t width, char version = 1) {
    const auto elements = two.substr(0, width) + two.substr(8, width);
    return NpyFile(write(folder / "a.npy", npy(header(type, "(2,)"), elements, version))).values();
  };
  using Values = std::vector<std::int64_t>;
  CHECK(values("|u1", 1) == Values{254, 7});
  CHECK(values("|i1", 1) == Values{-2, 7});
  CHECK(values("<u2", 2) == Values{65534, 7});
  CHECK(values("<i4", 4, 2) == Values{-2, 7});
  CHECK(values("<u4", 4, 3) == Values{4294967294, 7});
  CHECK(values("<i8", 8) == Values{-2, 7});
  CHECK(contains(message_of<lpw::FileError>([&] { (void)values("<u8", 8); }), "element 0 is 18446744073709551614"));
  CHECK(NpyFile(write(folder / "a.npy", npy(header("|u1", "()"), "x"))).values() == Values{'x'});
  CHECK(NpyFile(write(folder / "a.npy", npy("{\"shape\":(0,3),'descr':'|u1','fortran_order':False}", ""))).shape() ==
        Values{0, 3});
}

TEST_CASE("npy: what is wrong with a file is said in a line that names it", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "a.npy";
  const auto refusal = [&](const std::string& content) {
    write(path, content);
    const auto message = message_of<lpw::FileError>([&] { const NpyFile file(path); });
    CHECK(message.starts_with(path.string() + ": "));
    CHECK(message.find('\n') == message.npos);
    return message;
  };
  CHECK(contains(refusal(""), "is no .npy file"));
  CHECK(contains(refusal("PK\x03\x04 of an .npz file"), "numpy.save"));
  CHECK(contains(refusal(npy(header("|u1", "(2,)"), "ab", 4)), "version 4"));
  CHECK(contains(refusal(std::string("\x93NUMPY\x01\0\xff\xff{", 11)), "does not fit into 11"));
  CHECK(contains(refusal(npy(header("|u1", "(3,)"), "ab")), "truncated: 2 bytes follow the header, which announces 3"));
  CHECK(contains(refusal(npy(header("|u1", "(1,)"), "ab")), "damaged: 2 bytes follow"));
  for (const char* type : {"<f4", ">i4", "|b1", "<i3", "|O", "<u16"})
    CHECK(contains(refusal(npy(header(type, "(0,)"), "")), "'; expected integers as"));
  CHECK(contains(refusal(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }", "ab")), "ascontiguousarray"));
  CHECK(contains(refusal(npy("{'descr': [('x', '|u1')], 'fortran_order': False, 'shape': (2,)}", "ab")), "records"));
  CHECK(contains(refusal(npy("{'descr': '|u1', 'shape': (2,)}", "ab")), "lacks"));
  CHECK(contains(refusal(npy("{'shape': (2,), 'shape': (2,)}", "ab")), "'shape' too many"));
  CHECK(contains(refusal(npy("{'other': 1}", "ab")), "'other' too many"));
  CHECK(contains(refusal(npy(header("|u1", "(-2,)"), "ab")), "not a tuple of whole numbers"));
  CHECK(contains(refusal(npy(header("|u1", "(2.0,)"), "ab")), "expected ,"));
  CHECK(contains(refusal(npy(header("|u1", "[2]"), "ab")), "expected ("));
  CHECK(contains(refusal(npy(header("<u8", "(4611686018427387904, 4611686018427387904)"), "")), "can be counted"));
  CHECK(contains(refusal(npy(header("|u1", "(99999999999999999999,)"), "")), "not a tuple of whole numbers"));
  CHECK(contains(refusal(npy(header("|u1", "(2,)") + "x", "ab")), "something follows"));
  CHECK(contains(message_of<lpw::FileError>([&] { const NpyFile file(folder / "none.npy"); }), "cannot open"));
  CHECK(contains(message_of<lpw::FileError>([&] { const NpyFile file(folder.path()); }), "is not a regular file"));
}

TEST_CASE("npy: damaged files are refused or read, and never more", "[io][fuzz]") {
  const TemporaryFolder folder;
  Fuzz fuzz(1);
  static constexpr std::string_view tokens[] = {"(",     ")",    ",", "'descr'", "'shape'",
                                                "'<i8'", "True", "{", "}",       "\x93NUMPY"};
  const auto whole = npy(header("<i2", "(3, 2)"), "abcdefghijkl");
  std::int64_t read = 0, inputs = fuzz_inputs(2000);
  for (std::int64_t i = 0; i < inputs; ++i) {
    write(folder / "a.npy", fuzz.damaged(whole, tokens));
    try {
      const NpyFile file(folder / "a.npy");
      CHECK(std::ssize(file.values()) == file.header().elements);
      ++read;
    } catch (const lpw::FileError&) {
    }
  }
  CHECK(read > 0);
  CHECK(read < inputs);
}

TEST_CASE("npy images: pairs of files, whole and in part", "[io]") {
  const TemporaryFolder folder;
  const auto pixels = write(folder / "x.npy", images(6)), classes = write(folder / "y.npy", labels({2, 0, 0, 1, 2, 1}));
  const auto all = read_npy_images(pixels, classes, 3);
  CHECK(all.count == 6);
  CHECK(all.labels == std::vector<std::int32_t>{2, 0, 0, 1, 2, 1});
  CHECK(all.image(5)[0] == 6);
  lpw::data::validate(all);
  const auto part = read_npy_images(pixels, classes, 3, 3);  // the first of each class
  CHECK(part.labels == std::vector<std::int32_t>{2, 0, 1});
  CHECK(part.image(2)[3071] == 4);
  CHECK(read_npy_images(pixels, std::nullopt, 1).labels == std::vector<std::int32_t>(6, 0));
  CHECK_THROWS_AS(read_npy_images(pixels, classes, 3, 7), lpw::OptionError);
  const auto refusal = [](auto&& call) { return message_of<lpw::FileError>(call); };
  CHECK(contains(refusal([&] { (void)read_npy_images(pixels, classes, 2); }), "element 0 is 2; labels of 2 classes"));
  CHECK(contains(refusal([&] { (void)read_npy_images(classes, pixels, 3); }),
                 "; images are [-1, 32, 32, 3] of unsigned"));
  CHECK(contains(refusal([&] { (void)read_npy_images(pixels, pixels, 3); }), "; labels are [-1]"));
  write(folder / "y.npy", labels({1}));
  CHECK(contains(refusal([&] { (void)read_npy_images(pixels, classes, 3); }), "holds 1 labels for the 6 images"));
  write(folder / "x.npy", images(0));
  CHECK(contains(refusal([&] { (void)read_npy_images(pixels, std::nullopt, 3); }), "holds no images"));
  write(folder / "x.npy", npy(header("|i1", "(1, 32, 32, 3)"), std::string(3072, '\0')));
  CHECK(contains(refusal([&] { (void)read_npy_images(pixels, std::nullopt, 3); }), "of signed 8-bit"));
}

namespace {

/// Two kinds, three images of two severities.
lpw::io::CorruptionLayout small_layout() {
  return {.kinds = {"fog"}, .further = {"spatter"}, .images = 3, .severities = 2};
}

}  // namespace

TEST_CASE("CIFAR-C: blocks of severities, and the same images of each", "[io]") {
  const TemporaryFolder folder;
  write(folder / "fog.npy", images(6));
  write(folder / "spatter.npy", images(6));
  write(folder / "labels.npy", labels({1, 1, 0, 1, 1, 0}));
  const CifarC all(folder.path(), 2, 0, small_layout());
  CHECK(all.labels() == std::vector<std::int32_t>{1, 1, 0});
  const auto second = all.read("spatter", 2);
  CHECK(second.count == 3);
  CHECK(second.image(0)[0] == 4);
  CHECK(second.labels == all.labels());
  const CifarC part(folder.path(), 2, 2, small_layout());
  CHECK(part.labels() == std::vector<std::int32_t>{1, 0});
  CHECK(part.read("fog", 2).image(1)[7] == 6);
  CHECK(part.read("fog", 1).image(1)[7] == 3);
}

TEST_CASE("CIFAR-C: a folder that is not whole is refused", "[io]") {
  const TemporaryFolder folder;
  const auto refusal = [&] {
    return message_of<lpw::FileError>([&] { const CifarC files(folder.path(), 2, 0, small_layout()); });
  };
  CHECK(contains(refusal(), "is not complete: fog.npy, spatter.npy, labels.npy are missing"));
  write(folder / "fog.npy", images(6));
  write(folder / "spatter.npy", images(5));
  write(folder / "labels.npy", labels({1, 1, 0, 1, 1, 0}));
  CHECK(contains(refusal(), "spatter.npy: is [5, 32, 32, 3] of unsigned 8-bit integers; corrupted images are [6, 32"));
  write(folder / "spatter.npy", images(6));
  CHECK(refusal().empty());
  write(folder / "labels.npy", labels({1, 1, 0, 1, 0, 0}));
  CHECK(contains(refusal(), "labels.npy: severity 2 has other labels"));
  write(folder / "labels.npy", labels({1, 1, 0}));
  CHECK(contains(refusal(), "labels.npy: holds 3 labels; expected 6"));
  write(folder / "labels.npy", labels({1, 1, 2, 1, 1, 2}));
  CHECK(contains(refusal(), "labels.npy: element 2 is 2; labels of 2 classes"));
  CHECK(contains(message_of<lpw::FileError>([&] { const CifarC files(folder / "none", 2); }), "no such folder"));
  write(folder / "labels.npy", labels({1, 1, 0, 1, 1, 0}));
  CHECK_THROWS_AS(CifarC(folder.path(), 2, 4, small_layout()), lpw::OptionError);
  const auto names = lpw::io::CorruptionLayout().all();
  CHECK(names.size() == 19);
  CHECK(lpw::io::CorruptionLayout().kinds.size() == 15);
}

TEST_CASE("a pair of .npy files is a data set, split by its seed", "[io]") {
  const TemporaryFolder folder;
  const auto set = [&](const std::string& shape, std::int64_t bytes, const std::vector<int>& classes) {
    write(folder / "x.npy", npy(header("|u1", shape), std::string(lpw::to_size(bytes), '\7')));
    write(folder / "y.npy", labels(classes));
    return lpw::io::read_npy_dataset(folder / "x.npy", folder / "y.npy", {.part = 0.5});
  };
  const auto refusal = [&](const std::string& shape, std::int64_t bytes, const std::vector<int>& classes) {
    return message_of<lpw::FileError>([&] { (void)set(shape, bytes, classes); });
  };
  const auto grey = set("(6, 4, 5, 1)", 120, {0, 1, 1, 0, 0, 0});
  CHECK((grey.train.count == 3 && grey.test.count == 3 && grey.train.channels == 1 && grey.train.width == 5));
  CHECK(grey.train.classes == 2);
  CHECK(contains(refusal("(6, 4, 5, 2)", 240, {0, 1, 1, 0, 0, 0}),
                 "x.npy: has 2 channels, on its last axis; expected 1"));
  CHECK(contains(refusal("(6, 4, 5, 1)", 120, {0, 1, 1}), "y.npy: holds 3 labels for the 6 images of"));
  CHECK(contains(refusal("(6, 4, 5, 1)", 120, {0, 2, 2, 0, 0, 0}), "no image is of class 1, and some are of class 2"));
  CHECK(contains(refusal("(6, 4, 5, 1)", 120, {0, 0, 0, 0, 0, 0}), "y.npy: all images are of one class"));
  CHECK(contains(refusal("(6, 4, 5)", 120, {0, 1, 1, 0, 0, 0}), "images are [-1, -1, -1, -1] of unsigned 8-bit"));
}
