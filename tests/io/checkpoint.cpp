// Checkpoints: round trips, and that no damage whatever passes for a whole file.
#include <lpw/io/checkpoint.hpp>

#include <cstring>
#include <limits>
#include <string>

#include "catch.hpp"
#include "samples.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

namespace io = lpw::io;
using lpw::Cpu;

namespace {

io::Checkpoint small_checkpoint() {
  io::Checkpoint checkpoint;
  checkpoint.meta = {{"epoch", 3}};
  checkpoint.tensors.add("w", sample<float>({2, 3}));
  return checkpoint;
}

io::Bytes small_file() {
  const TemporaryFolder folder;
  io::save_checkpoint(folder / "checkpoint.lpw", small_checkpoint());
  return io::read_file(folder / "checkpoint.lpw");
}

std::string refusal(const io::Bytes& bytes) {
  return message_of<lpw::FileError>([&] { (void)io::parse_checkpoint(bytes, "checkpoint.lpw"); });
}

/// A file with this header and correct checksums: one that a faulty program wrote.
io::Bytes well_summed(const std::string& header, std::size_t data = 0) {
  io::Bytes bytes = bytes_of("LPWCKPT1");
  const auto append = [&](const auto& value) {
    for (const std::byte byte : std::as_bytes(std::span(&value, 1))) bytes.push_back(byte);
  };
  append(std::uint64_t{header.size()});
  for (const std::byte byte : bytes_of(header)) bytes.push_back(byte);
  append(io::crc32c(bytes));
  bytes.resize(bytes.size() + data);
  append(io::crc32c(bytes));
  return bytes;
}

}  // namespace

TEST_CASE("checkpoint: every element type and rank comes back, in order, with the caller's data", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint.lpw";
  const double awkward = 0.1 + 0.2;
  io::Checkpoint checkpoint{{{"epoch", 3},
                             {"seed", std::numeric_limits<std::uint64_t>::max()},
                             {"loss", {awkward, 5e-324}},
                             {"name", "\u00fc\n"}},
                            every_sample()};
  io::save_checkpoint(path, checkpoint);
  const auto loaded = io::load_checkpoint(path);
  CHECK(loaded.meta == checkpoint.meta);
  CHECK(loaded.meta["loss"][0].get<double>() == awkward);
  check_equal(loaded.tensors, checkpoint.tensors);
  CHECK(loaded.tensors.begin()->name == checkpoint.tensors.begin()->name);
}

TEST_CASE("checkpoint: nothing in it comes back as nothing", "[io]") {
  const TemporaryFolder folder;
  io::save_checkpoint(folder / "f", {});
  const auto loaded = io::load_checkpoint(folder / "f");
  CHECK(loaded.meta.is_null());
  CHECK(loaded.tensors.size() == 0);
}

TEST_CASE("checkpoint: data start at a multiple of 8 bytes and end the file but for a checksum", "[io]") {
  const io::Bytes bytes = small_file();
  const auto length = io::detail::read_unsigned<std::uint64_t>(bytes, 8);
  CHECK((16 + length + 4) % 8 == 0);
  CHECK(bytes.size() == 16 + length + 4 + 24 + 4);
  CHECK(io::detail::read_unsigned<std::uint32_t>(bytes, bytes.size() - 4) ==
        io::crc32c(std::span(bytes).first(bytes.size() - 4)));
}

TEST_CASE("checkpoint: the columns of a store are saved and restored in place", "[io]") {
  const TemporaryFolder folder;
  auto store = sample<float>({3, 7});
  io::Checkpoint checkpoint;
  checkpoint.tensors.add("gamma", store.columns(2, {4}));
  io::save_checkpoint(folder / "f", checkpoint);
  auto other = lpw::zeros<float, Cpu>({3, 7});
  auto columns = other.columns(2, {4});
  io::load_checkpoint(folder / "f").tensors.copy_to("gamma", columns);
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < 7; ++i) CHECK(other.row(k)[i] == (i >= 2 && i < 6 ? store.row(k)[i] : 0.f));
}

TEST_CASE("checkpoint: a file cut anywhere is refused", "[io]") {
  const io::Bytes whole = small_file();
  REQUIRE(refusal(whole).empty());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    INFO("length " << length);
    CHECK(contains(refusal(io::Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))),
                   "checkpoint.lpw: truncated"));
  }
}

TEST_CASE("checkpoint: any flipped bit is refused", "[io]") {
  const io::Bytes whole = small_file();
  const std::size_t data = whole.size() - 28;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    io::Bytes bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto message = refusal(bytes);
    INFO("bit " << bit);
    CHECK(message.starts_with("checkpoint.lpw: "));
    CHECK(contains(message, "checksum of its data") == (bit / 8 >= data));
    if (bit / 8 >= 16 && bit / 8 < data) CHECK(contains(message, "checksum of its header"));
  }
}

TEST_CASE("checkpoint: the message says what is wrong and what to do", "[io]") {
  io::Bytes bytes = small_file();
  bytes.back() ^= std::byte{1};
  const auto message = refusal(bytes);
  CHECK(message.starts_with("checkpoint.lpw: damaged: checksum of its data is "));
  CHECK(message.ends_with("; use an older checkpoint"));

  bytes.assign(100, std::byte{'x'});
  CHECK(refusal(bytes) == "checkpoint.lpw: is not a checkpoint of this version: does not start with LPWCKPT1");
}

TEST_CASE("checkpoint: bytes past the end are refused", "[io]") {
  io::Bytes bytes = small_file();
  bytes.push_back(std::byte{0});
  CHECK(refusal(bytes) == "checkpoint.lpw: damaged: 25 bytes follow the header, which announces 24");
}

TEST_CASE("checkpoint: impossible header lengths are refused before anything is allocated", "[io]") {
  for (const std::uint64_t length : {std::uint64_t{1000}, UINT64_MAX, UINT64_MAX - 19, std::uint64_t{1} << 63}) {
    io::Bytes bytes = small_file();
    std::memcpy(bytes.data() + 8, &length, 8);
    CHECK(contains(refusal(bytes), lpw::to_text("the header's length is ", length, " in a file of ")));
  }
}

TEST_CASE("checkpoint: a header that makes no sense is refused though its checksum is right", "[io]") {
  REQUIRE(refusal(well_summed(R"({"meta":1,"tensors":{}})")).empty());
  CHECK(contains(refusal(well_summed("{")), "is not JSON"));
  CHECK(contains(refusal(well_summed("{}")), "does not hold meta and tensors"));
  CHECK(contains(refusal(well_summed(R"({"meta":1,"tensors":[]})")), "directory of tensors is not a JSON object"));
  const std::string tensor = R"({"meta":1,"tensors":{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}})";
  CHECK(refusal(well_summed(tensor, 8)).empty());
  CHECK(contains(refusal(well_summed(tensor, 4)), "truncated: 4 bytes follow the header, which announces 8"));
}

TEST_CASE("checkpoint: a failed write leaves the checkpoint of before", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint.lpw";
  io::save_checkpoint(path, small_checkpoint());
  auto unwritable = small_checkpoint();
  unwritable.meta["text"] = "\xff";
  CHECK(contains(message_of<lpw::FileError>([&] { io::save_checkpoint(path, unwritable); }), "is not UTF-8"));
  std::filesystem::create_directory(folder / "checkpoint.lpw.tmp");
  CHECK(contains(message_of<lpw::FileError>([&] { io::save_checkpoint(path, {}); }), "cannot create"));
  CHECK(io::load_checkpoint(path).meta["epoch"] == 3);
}
