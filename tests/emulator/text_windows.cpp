#include "emulator/kernel_check.hpp"

#include <lpw/kernels/text_windows.cuh>

#include <lpw/data/text.hpp>

using namespace lpw;
using namespace lpw::test;

TEST_CASE("the kernel text_windows gives the CPU's windows and what follows them", "[text_windows]") {
  for (const auto& [members, steps, batch, first] :
       {std::array{1, 1, 1, 0}, std::array{3, 7, 5, 11}, std::array{2, 100, 4, 20}}) {
    INFO("members " << members << " steps " << steps << " batch " << batch);
    const std::int64_t stream_bytes = first + steps + 1;
    Tensor<std::uint8_t, Cpu> text({members * batch * stream_bytes});
    for (std::int64_t i = 0; i < text.size(); ++i) text.data()[i] = static_cast<std::uint8_t>(i * i % 253);
    const Shape shape{members, steps, batch};
    Tensor<std::int32_t, Cpu> expected_inputs(shape), expected_targets(shape);
    const std::span<const std::uint8_t> bytes(text.data(), static_cast<std::size_t>(text.size()));
    data::TextSource<Cpu>(bytes).read(stream_bytes, first, expected_inputs, expected_targets);
    auto inputs = unwritten<std::int32_t>(shape), targets = unwritten<std::int32_t>(shape);
    const kernels::TextWindows<std::int32_t> p{text.data(), inputs.data(), targets.data(), stream_bytes,
                                               first,       members,       steps,          batch};
    CHECK(same_on_any_order(
        LaunchPlan{2}, [&] { kernels::text_windows(p); }, inputs, targets));
    CHECK(values_of(inputs) == values_of(expected_inputs));
    CHECK(values_of(targets) == values_of(expected_targets));
  }
}
