#include "emulator/kernel_check.hpp"

#include <lpw/kernels/text_windows.cuh>

#include <lpw/data/text.hpp>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("the kernel text_windows gives the CPU's windows and what follows them", "[text_windows]") {
  struct Case {
    std::int64_t members, steps, batch, first, member_bytes;  // member_bytes: -1 for streams one after another
  };
  for (const auto& [members, steps, batch, first, member_bytes] :
       {Case{1, 1, 1, 0, -1}, Case{3, 7, 5, 11, -1}, Case{2, 100, 4, 20, -1}, Case{3, 7, 5, 11, 0},
        Case{3, 7, 5, 11, 6}, Case{4, 20, 1, 30, 12}}) {
    INFO("members " << members << " steps " << steps << " batch " << batch << " apart by " << member_bytes);
    const std::int64_t stream_bytes = first + steps + 1;
    const data::StreamPlaces places{member_bytes < 0 ? batch * stream_bytes : member_bytes, stream_bytes};
    Tensor<std::uint8_t, Cpu> text({(member_bytes < 0 ? members : 1) * batch * stream_bytes});
    for (std::int64_t i = 0; i < text.size(); ++i) text.data()[i] = static_cast<std::uint8_t>(i * i % 253);
    const Shape shape{members, steps, batch};
    Tensor<std::int32_t, Cpu> expected_inputs(shape), expected_targets(shape);
    const std::span<const std::uint8_t> bytes(text.data(), static_cast<std::size_t>(text.size()));
    data::TextSource<Cpu>(bytes).read(places, first, expected_inputs, expected_targets);
    auto inputs = unwritten<std::int32_t>(shape), targets = unwritten<std::int32_t>(shape);
    const kernels::TextWindows<std::int32_t> p{
        text.data(),  inputs.data(), targets.data(), text.size(), places.member_bytes,
        stream_bytes, first,         members,        steps,       batch};
    CHECK(same_on_any_order(
        LaunchPlan{2}, [&] { kernels::text_windows(p); }, inputs, targets));
    CHECK(values_of(inputs) == values_of(expected_inputs));
    CHECK(values_of(targets) == values_of(expected_targets));
  }
}
