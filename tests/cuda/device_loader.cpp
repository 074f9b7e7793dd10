#include "cuda/support.hpp"

#include <lpw/data/device_loader.hpp>
#include <lpw/data/synthetic.hpp>

#include "support/pictures.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("minibatches made on the GPU are the CPU's, to the bit", "[gpu]", float, bfloat16) {
  const auto dataset = data::synthetic({}, {.train = 53, .test = 1});
  const auto member_data = GENERATE(data::MemberData::own, data::MemberData::same, data::MemberData::whole);
  const data::LoaderOptions options{
      .batch = 8, .augment = {.pad_crop = 4, .flip = true, .cutout = 9}, .seed = 3, .member_data = member_data};
  const data::Loader<TestType> loader(dataset.train, dataset.normalization, options);
  const data::DeviceLoader<TestType> device_loader(dataset.train, dataset.normalization, options);
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t first : {0, 1})
      for (const std::int64_t epoch : {0, 2}) {
        if (member_data != data::MemberData::own && members + first + epoch < 6) continue;  // one case is enough
        INFO("members " << members << " first iteration " << first << " epoch " << epoch);
        auto found = device_loader.epoch(epoch, members, first);
        auto at = found.begin();
        std::int64_t count = 0;
        for (const auto& expected : loader.epoch(epoch, members, first)) {
          REQUIRE_FALSE(at == found.end());
          CHECK(same_bits(to_host((*at).images), expected.images));
          CHECK(same_bits(to_host((*at).labels), expected.labels));
          ++at;
          ++count;
        }
        CHECK(at == found.end());
        CHECK(count == device_loader.iterations(members) - first);
      }
}

TEST_CASE("the GPU's minibatches of some members, and of a part of one's, are the CPU's", "[gpu]") {
  const auto dataset = data::synthetic({}, {.train = 53, .test = 1});
  const auto check = [&](data::MemberData member_data, const data::ReadMembers& members) {
    INFO("members " << members.first << " to " << members.first + members.count - 1 << ", part " << members.part);
    const data::LoaderOptions options{
        .batch = 8, .augment = {.pad_crop = 4, .flip = true}, .seed = 3, .member_data = member_data};
    const data::Loader<float> loader(dataset.train, dataset.normalization, options);
    const data::DeviceLoader<float> device_loader(dataset.train, dataset.normalization, options);
    const data::Place place{.epoch = 2, .iteration = 1};
    auto found = device_loader.epoch(place, members);
    auto at = found.begin();
    for (const auto& expected : loader.epoch(place, members)) {
      REQUIRE_FALSE(at == found.end());
      CHECK(same_bits(to_host((*at).images), expected.images));
      CHECK(same_bits(to_host((*at).labels), expected.labels));
      ++at;
    }
    CHECK(at == found.end());
  };
  for (const auto member_data : {data::MemberData::own, data::MemberData::same, data::MemberData::whole})
    check(member_data, {5, 2, 2});
  for (const std::int64_t part : {0, 2}) check(data::MemberData::own, data::ReadMembers::part_of_one(part, 3));
}

TEST_CASE("an image set that would fill the GPU is read from the host", "[gpu]") {
  const std::vector<std::uint8_t> bytes(1000, 7);
  CHECK(cuda::DeviceBytes(bytes).on_device());
  if (!emulated) return;
#if defined(LPW_EMULATOR)
  emulator::StandIn::instance().set_limit(3000);
  const cuda::DeviceBytes pinned(bytes);
  emulator::StandIn::instance().set_limit(emulator::StandIn::memory);
  CHECK_FALSE(pinned.on_device());
  CHECK(pinned.data()[999] == 7);
#endif
}

TEST_CASE("decoded images make the same minibatches on the GPU as on the CPU", "[gpu]") {
  const auto set = source_images(37);
  const data::Normalization halves{.mean = {0.5f, 0.5f, 0.5f}, .stddev = {0.5f, 0.5f, 0.5f}};
  const auto member_data = GENERATE(data::MemberData::own, data::MemberData::same, data::MemberData::whole);
  auto augment = data::resized_crop_flip;
  augment.cutout = 3;
  const data::LoaderOptions options{
      .batch = 5, .augment = augment, .seed = 3, .member_data = member_data, .threads = 2};
  const data::Loader<float> loader(set, halves, options);
  const data::DeviceLoader<float> device_loader(set, halves, options);
  for (const std::int64_t first : {0, 1}) {
    auto found = device_loader.epoch(1, 2, first);
    auto at = found.begin();
    for (const auto& expected : loader.epoch(1, 2, first)) {
      REQUIRE_FALSE(at == found.end());
      CHECK(same_bits(to_host((*at).images), expected.images));
      CHECK(same_bits(to_host((*at).labels), expected.labels));
      ++at;
    }
    CHECK(at == found.end());
  }
}
