// Event files for TensorBoard: frames, checksums, and what stands in them.
#include <lpw/io/event_file.hpp>

#include <protozero/pbf_reader.hpp>

#include <lpw/io/file.hpp>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::io;
using lpw::test::message_of;
using lpw::test::TemporaryFolder;
using lpw::test::text_of;

namespace {

/// CRC-32C bit by bit, as its definition has it.
std::uint32_t crc32c_by_bits(const std::string& bytes) {
  std::uint32_t state = 0xffffffffu;
  for (const char byte : bytes) {
    state ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1u) ? 0x82F63B78u : 0u);
  }
  return ~state;
}
std::uint64_t number_at(const std::string& file, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = bytes; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(file.at(at + static_cast<std::size_t>(i)));
  return value;
}

/// What a record says of an event.
struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string version = {};
  int session = 0;
  std::vector<std::pair<std::string, float>> scalars = {};
};
Event parse(const std::string& record) {
  Event event;
  protozero::pbf_reader message(record);
  while (message.next()) switch (message.tag()) {
      case 1:
        event.wall_time = message.get_double();
        break;
      case 2:
        event.step = message.get_int64();
        break;
      case 3:
        event.version = message.get_string();
        break;
      case 5: {
        protozero::pbf_reader summary = message.get_message();
        while (summary.next(1)) {
          protozero::pbf_reader value = summary.get_message();
          std::pair<std::string, float> scalar;
          while (value.next()) {
            if (value.tag() == 1)
              scalar.first = value.get_string();
            else if (value.tag() == 2)
              scalar.second = value.get_float();
            else
              value.skip();
          }
          event.scalars.push_back(scalar);
        }
        break;
      }
      case 7: {
        protozero::pbf_reader session = message.get_message();
        while (session.next(1)) event.session = session.get_enum();
        break;
      }
      default:
        FAIL("an unknown field");
    }
  return event;
}

}  // namespace

TEST_CASE("a record is a frame with the length's and the bytes' masked checksums") {
  // Of the 9 bytes "123456789" the checksum is E3069283 (RFC 3720's check value).
  CHECK(crc32c_by_bits("123456789") == 0xe3069283u);
  CHECK(masked_crc32c("123456789") == ((0xe3069283u >> 15 | 0xe3069283u << 17) + 0xa282ead8u));
  for (const std::string& bytes :
       {std::string(), std::string("x"), std::string(1000, '\xff'), std::string("a\0b", 3)}) {
    const std::string record = tf_record(bytes);
    REQUIRE(record.size() == bytes.size() + 16);
    CHECK(number_at(record, 0, 8) == bytes.size());
    const auto masked = [](std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; };
    CHECK(number_at(record, 8, 4) == masked(crc32c_by_bits(record.substr(0, 8))));
    CHECK(number_at(record, 12 + bytes.size(), 4) == masked(crc32c_by_bits(bytes)));
    CHECK(record.substr(12, bytes.size()) == bytes);
    CHECK(read_tf_records(record + record, "file") == std::vector<std::string>{bytes, bytes});
  }
}

TEST_CASE("a record that is cut short or damaged is refused") {
  const std::string file = tf_record("first") + tf_record("second one");
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    CAPTURE(at);
    CHECK(message_of<lpw::FileError>([&] { (void)read_tf_records(damaged, "events"); }) ==
          lpw::to_text("events: record ", at < 21 ? 1 : 2, " is cut short or damaged"));
    if (at != 0 && at != 21)
      CHECK(message_of<lpw::FileError>([&] { (void)read_tf_records(file.substr(0, at), "events"); }) ==
            lpw::to_text("events: record ", at < 21 ? 1 : 2, " is cut short or damaged"));
  }
}

TEST_CASE("an event file holds the version, scalars, and where a run goes on") {
  const TemporaryFolder folder;
  EventFile file(folder / ".");
  file.add(3, {{"step/loss", 0.25}, {"step/learning_rate", -1e-3}});
  file.flush();
  EventFile next(folder / ".");
  next.restart(4);
  next.flush();
  CHECK(file.path().filename() < next.path().filename());
  std::vector<Event> events;
  for (const auto& path : {file.path(), next.path()})
    for (const auto& record : read_tf_records(text_of(read_file(path)), path.string())) events.push_back(parse(record));
  REQUIRE(events.size() == 4);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[0].wall_time > 1.6e9);  // September 2020
  CHECK(events[1].wall_time >= events[0].wall_time);
  CHECK(events[1].step == 3);
  CHECK(events[1].scalars ==
        std::vector<std::pair<std::string, float>>{{"step/loss", 0.25f}, {"step/learning_rate", -1e-3f}});
  CHECK(events[2].version == "brain.Event:2");
  CHECK(events[3].step == 4);
  CHECK(events[3].session == 1);
}
