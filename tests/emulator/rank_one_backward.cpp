#include "emulator/kernel_check.hpp"

#include <lpw/kernels/rank_one_backward.cuh>

#include <lpw/cpu/rank_one.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

[[nodiscard]] LaunchPlan block_plan(std::int64_t blocks, std::int64_t rows, std::size_t floats) {
  LaunchPlan plan{static_cast<unsigned>(blocks), static_cast<unsigned>(rows)};
  plan.shared_bytes = kernels::shared_bytes<float>(floats);
  return plan;
}

/// Operands, and room for all gradients; parameters and gradients strided as in their store.
struct Case {
  int members, outputs, inputs, weight_rows, factor_rows;
  Tensor<float, Cpu> product = random_tensor<float>({members, outputs, inputs}, 1);
  Tensor<float, Cpu> weight = random_parameter<float>({weight_rows, outputs, inputs}, true, 2);
  Tensor<float, Cpu> output = random_parameter<float>({factor_rows, outputs}, true, 3);
  Tensor<float, Cpu> input = random_parameter<float>({factor_rows, inputs}, true, 4);
  Tensor<float, Cpu> dweight = random_parameter<float>(weight.shape(), true, 5),
                     doutput = random_parameter<float>(output.shape(), true, 6),
                     dinput = random_parameter<float>(input.shape(), true, 7);
  Tensor<float, Cpu> partial = unwritten<float>({kernels::rank_one_blocks(outputs), members, inputs});

  /// As launches pass it: a parameter of one member is its own.
  [[nodiscard]] std::int64_t stride(const Tensor<float, Cpu>& tensor) const {
    return tensor.dim(0) > 1 || members == 1 ? tensor.row_stride() : 0;
  }

  [[nodiscard]] kernels::RankOneBackward<float> parameters(bool accumulate) {
    return {.product = product.data(),
            .weight = weight.data(),
            .output = output.data(),
            .input = input.data(),
            .dweight = dweight.data(),
            .doutput = doutput.data(),
            .partial = partial.data(),
            .weight_stride = stride(weight),
            .output_stride = stride(output),
            .input_stride = stride(input),
            .dweight_stride = stride(dweight),
            .doutput_stride = stride(doutput),
            .add_to_dweight = accumulate,
            .add_to_doutput = accumulate,
            .members = members,
            .outputs = outputs,
            .inputs = inputs};
  }
  [[nodiscard]] kernels::RankOneBackwardInput<float> input_parameters(bool accumulate) {
    return {.partial = partial.data(),
            .dinput = dinput.data(),
            .dinput_stride = stride(dinput),
            .add_to_dinput = accumulate,
            .blocks = kernels::rank_one_blocks(outputs),
            .members = members,
            .inputs = inputs};
  }
};

}  // namespace

TEST_CASE("the kernels rank_one_backward give the gradients of a weight and its factors", "[rank_one_backward]") {
  for (const auto& [members, weight_rows, factor_rows] :
       {std::array{1, 1, 1}, std::array{3, 1, 3}, std::array{10, 1, 10}, std::array{3, 3, 3}, std::array{3, 1, 1}})
    for (const auto& [outputs, inputs] : {std::pair{1, 1}, std::pair{5, 3}, std::pair{8, 33}, std::pair{77, 300}})
      for (const bool accumulate : {false, true}) {
        if (members == 10 && outputs > 8) continue;
        INFO("members " << members << " weight rows " << weight_rows << " factor rows " << factor_rows << " outputs "
                        << outputs << " inputs " << inputs << " accumulate " << accumulate);
        Case c{members, outputs, inputs, weight_rows, factor_rows};
        Gradient<double, Cpu> weight{converted<double>(c.dweight), accumulate},
            output{converted<double>(c.doutput), accumulate}, input{converted<double>(c.dinput), accumulate};
        rank_one_backward(converted<double>(c.product), converted<double>(c.weight), converted<double>(c.output),
                          converted<double>(c.input), weight, output, input);
        const auto p = c.parameters(accumulate);
        CHECK(same_on_any_order(
            block_plan(kernels::rank_one_blocks(outputs), 1, kernels::rank_one_outputs * LaunchPlan::block / 32),
            [&] { kernels::rank_one_backward(p); }, c.dweight, c.doutput, c.partial));
        const auto q = c.input_parameters(accumulate);
        CHECK(same_on_any_order(
            block_plan((inputs + 31) / 32, factor_rows, LaunchPlan::block),
            [&] { kernels::rank_one_backward_input(q); }, c.dinput));
        // Terms are below 1; their roundings add up as the square root of their number, with a wide margin.
        const auto tolerance = [&](int terms) { return 20 * epsilon<float>() * std::sqrt(double(terms)); };
        CHECK(distance(c.dweight, weight.tensor) <= tolerance(members));
        CHECK(distance(c.doutput, output.tensor) <= tolerance(members * inputs));
        CHECK(distance(c.dinput, input.tensor) <= tolerance(members * outputs));
        CHECK((gaps_untouched(c.dweight) && gaps_untouched(c.doutput) && gaps_untouched(c.dinput)));
      }
}

TEST_CASE("the kernel rank_one_backward leaves out what is not wanted", "[rank_one_backward]") {
  const auto run = [](bool weight, bool output, bool input) {
    Case c{3, 20, 40, 1, 3};
    auto p = c.parameters(false);
    if (!weight) p.dweight = nullptr;
    if (!output) p.doutput = nullptr;
    if (!input) p.partial = nullptr;
    CHECK(same_on_any_order(
        block_plan(kernels::rank_one_blocks(20), 1, kernels::rank_one_outputs * LaunchPlan::block / 32),
        [&] { kernels::rank_one_backward(p); }, c.dweight, c.doutput, c.partial));
    return c;
  };
  const Case all = run(true, true, true), start{3, 20, 40, 1, 3};
  for (const auto& [weight, output, input] :
       {std::array{false, true, true}, std::array{true, false, true}, std::array{true, true, false}}) {
    const Case some = run(weight, output, input);
    CHECK(same_values(some.dweight, weight ? all.dweight : start.dweight, Nan::equals_nan));
    CHECK(same_values(some.doutput, output ? all.doutput : start.doutput, Nan::equals_nan));
    CHECK(same_values(some.partial, input ? all.partial : start.partial, Nan::equals_nan));
  }
}
