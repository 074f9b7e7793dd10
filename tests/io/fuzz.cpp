// Both formats of files against damaged ones by the thousand: each is read whole, or refused by a FileError that names
// the file. What else can happen, the sanitizers see. Headers are damaged under right lengths and checksums too, or
// nothing would get past those.
#include <cstring>
#include <string>

#include <lpw/data/normalization.hpp>
#include <lpw/io/checkpoint.hpp>
#include <lpw/io/class_names.hpp>
#include <lpw/io/safetensors.hpp>

#include "catch.hpp"
#include "samples.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

namespace io = lpw::io;

namespace {

constexpr std::string_view tokens[] = {"\"dtype\":",
                                       "\"shape\":",
                                       "\"data_offsets\":",
                                       "\"F32\"",
                                       "\"F16\"",
                                       "\"F8_E4M3\"",
                                       "[0,4]",
                                       "[]",
                                       "{}",
                                       "null",
                                       "[1,2,3,4,5,6]",
                                       "\"__metadata__\":{\"a\":\"b\"},",
                                       "\\u0000",
                                       "[[[[[[[[",
                                       "\"meta\":"};

std::string text_of_number(std::uint64_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
std::string text_of_checksum(const std::string& of) {
  const std::uint32_t value = io::crc32c(std::as_bytes(std::span(of)));
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::uint64_t length_at(const std::string& file, std::size_t place) {
  std::uint64_t length;
  std::memcpy(&length, file.data() + place, sizeof length);
  return length;
}

io::NamedTensors few_tensors() {
  io::NamedTensors tensors;
  tensors.add("a", sample<float>({2, 3}));
  tensors.add("b", sample<lpw::bfloat16>({3, 1, 2}));
  tensors.add("none", sample<double>({0, 4}));
  tensors.add("n", sample<std::int64_t>({}));
  return tensors;
}

/// Reads every byte of every tensor, and every tensor as one of numbers. Returns how many tensors there are.
std::size_t read_all(const io::NamedTensors& tensors) {
  unsigned sum = 0;
  for (const io::NamedTensor& tensor : tensors) {
    for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);
    try {
      const auto values = tensors.get_converted<float>(tensor.name, tensor.shape);
      if (values.size() > 0 && values.data()[values.size() - 1] == 42.f) ++sum;
    } catch (const lpw::FileError&) {  // not of floating point
    }
  }
  return tensors.size() + (sum == 1 ? 1 : 0);
}

/// Tries many inputs. Some must be taken and some refused, or the fuzzer sees nothing.
template <class Damaged, class Read>
void fuzz(std::uint64_t seed, Damaged damaged, Read read) {
  Fuzz random(seed);
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(4000); left > 0; --left) {
    const std::string input = damaged(random);
    try {
      read(bytes_of(input));
      ++taken;
    } catch (const lpw::FileError& error) {
      ++refused;
      if (!std::string_view(error.what()).starts_with("f: ")) FAIL(error.what());
    }
  }
  CHECK(refused > 0);
  if (taken + refused >= 1000) CHECK(taken > 0);
}

}  // namespace

TEST_CASE("fuzz: safetensors", "[io]") {
  const TemporaryFolder folder;
  io::save_safetensors(folder / "f", {few_tensors(), {{"format", "pt"}}});
  const std::string file = text_of(io::read_file(folder / "f"));
  const std::size_t length = length_at(file, 0);
  const std::string header = file.substr(8, length), data = file.substr(8 + length);
  const auto damaged = [&](Fuzz& random) {
    if (random.once_in(5)) return random.damaged(file);
    const std::string changed = random.damaged(header, tokens);
    return text_of_number(changed.size()) + changed + (random.once_in(4) ? random.damaged(data) : data);
  };
  fuzz(1, damaged, [](io::Bytes bytes) {
    const auto content = io::parse_safetensors(std::move(bytes), "f");
    (void)read_all(content.tensors);
    (void)content.stored_name("a");
  });
}

TEST_CASE("fuzz: checkpoints", "[io]") {
  const TemporaryFolder folder;
  io::save_checkpoint(folder / "f",
                      {{{"options", {{"lr", 0.1}}}, {"progress", {{"step", 3}, {"history", {1, 2}}}}}, few_tensors()});
  const std::string file = text_of(io::read_file(folder / "f"));
  const std::size_t length = length_at(file, 8);
  const std::string header = file.substr(16, length),
                    data = file.substr(16 + length + 4, file.size() - 16 - length - 8);
  const auto damaged = [&](Fuzz& random) {
    if (random.once_in(5)) return random.damaged(file);
    const std::string changed = random.damaged(header, tokens);
    std::string result = file.substr(0, 8) + text_of_number(changed.size()) + changed;
    result += text_of_checksum(result);
    result += random.once_in(4) ? random.damaged(data) : data;
    return result + text_of_checksum(result);
  };
  fuzz(2, damaged, [](io::Bytes bytes) {
    const auto checkpoint = io::parse_checkpoint(std::move(bytes), "f");
    (void)read_all(checkpoint.tensors);
    (void)checkpoint.meta.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  });
}

TEST_CASE("fuzz: what a network's file says of its classes and images", "[io]") {
  constexpr std::string_view pieces[] = {"[",   "]",     "\"",  ",",       "/",       "null",
                                         "0.5", "1e999", "nan", "\\ud800", "imagenet"};
  const std::vector<std::string> names{"cat", "dog", "a \"horse\""};
  Fuzz random(4);
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(2000); left > 0; --left) {
    try {
      const auto found =
          io::class_names_in({{"classes", random.damaged(io::describe_class_names(names), pieces)}}, "f");
      CHECK(io::class_names_in({{"classes", io::describe_class_names(found)}}, "f") == found);
      const auto images = lpw::data::parse_normalization(random.damaged("0.5,0.25,0.125/0.2,0.3,0.4", pieces));
      CHECK(images.mean.size() == 3);
      for (const float stddev : images.stddev) CHECK(stddev > 0);
      ++taken;
    } catch (const lpw::FileError&) {
      ++refused;
    } catch (const lpw::OptionError&) {
      ++refused;
    }
  }
  CHECK(taken > 0);
  CHECK(refused > 0);
}
