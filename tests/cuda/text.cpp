#include "cuda/operands.hpp"

#include <lpw/data/device_text.hpp>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("a text is read on the GPU in the CPU's windows, each where the one before lay", "[gpu]") {
  data::Text text(1000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::uint8_t>(i * i % 251);
  const auto member_data = GENERATE(data::MemberData::own, data::MemberData::same, data::MemberData::whole);
  data::TextLoader<Cpu> loader(text, 30, member_data);
  data::TextLoader<Cuda> device_loader(text, 30, member_data);
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t first : {0, 2}) {
      INFO("members " << members << " first window " << first);
      auto expected = loader.epoch(members, 4, first);
      auto at = expected.begin();
      const void* place = nullptr;
      for (const auto& [inputs, targets] : device_loader.epoch(members, 4, first)) {
        REQUIRE_FALSE(at == expected.end());
        CHECK(equal(inputs, (*at).inputs));
        CHECK(equal(targets, (*at).targets));
        CHECK((place == nullptr || place == inputs.data()));
        place = inputs.data();
        ++at;
      }
      CHECK(at == expected.end());
    }
}
