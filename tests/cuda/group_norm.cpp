#include "cuda/operands.hpp"

#include <lpw/autograd/group_norm.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

struct GroupCase {
  Shape x;  // [K, S, ..., C]
  std::int64_t groups;
};

/// Groups that fill no vector, whole vectors, more than a warp takes; one place and several.
const GroupCase group_cases[] = {{{1, 1, 1}, 1},        {{1, 50, 7}, 1},         {{3, 40, 64}, 1},
                                 {{1, 3, 2056}, 1},     {{2, 3, 3, 5, 6}, 3},    {{3, 4, 2, 3, 32}, 4},
                                 {{2, 3, 4, 4, 48}, 3}, {{1, 2, 20, 20, 16}, 2}, {{2, 5, 9, 1, 24}, 24}};

/// Some forty roundings of values of up to 6, and sums of up to 1600 terms in float, which add up as their square root.
template <class T>
constexpr double group_tolerance = 80 * epsilon<float>() + 2 * epsilon<T>();

template <class T>
[[nodiscard]] Gradient<double, Cpu> exact_norm(const Gradient<T, Cpu>& gradient) {
  return {converted<double>(gradient.tensor), gradient.accumulate};
}

template <class T>
void check_group_norm(const GroupCase& c, const ParameterKind& kind, bool accumulate) {
  INFO("x " << c.x << " groups " << c.groups << ' ' << kind << " accumulate " << accumulate);
  const std::int64_t members = c.x[0], channels = c.x[-1];
  const auto x = random_tensor<T>(c.x, 1), dy = random_tensor<T>(c.x, 2);
  const auto gamma = kind.make(members, channels, 3), beta = kind.make(members, channels, 4);
  const Gradient<float, Cpu> dgamma{kind.make(members, channels, 5), accumulate},
      dbeta{kind.make(members, channels, 6), accumulate};
  const Gradient<T, Cpu> dx{random_tensor<T>(c.x, 7), accumulate};
  const auto scale = converted<double>(gamma);
  const auto expected = group_norm_forward(converted<double>(x), scale, converted<double>(beta), c.groups, 1e-2);
  auto expected_dgamma = exact_norm(dgamma), expected_dbeta = exact_norm(dbeta), expected_dx = exact_norm(dx);
  group_norm_backward(expected.saved, scale, converted<double>(dy), &expected_dgamma, &expected_dbeta, &expected_dx);

  const auto found = group_norm_forward(on_device(x), on_device(gamma), on_device(beta), c.groups, 1e-2);
  auto found_dgamma = on_device(dgamma), found_dbeta = on_device(dbeta);
  auto found_dx = on_device(dx);
  group_norm_backward(found.saved, on_device(gamma), on_device(dy), &found_dgamma, &found_dbeta, &found_dx);
  CHECK(distance(found.y, expected.y) <= group_tolerance<T>);
  CHECK(distance(found.saved.mean, expected.saved.mean) <= group_tolerance<float>);
  CHECK(distance(found.saved.inverse_deviation, expected.saved.inverse_deviation) <= group_tolerance<float>);
  CHECK(distance(found_dx.tensor, expected_dx.tensor) <= group_tolerance<T>);
  CHECK(distance(found_dgamma.tensor, expected_dgamma.tensor) <= group_tolerance<float>);
  CHECK(distance(found_dbeta.tensor, expected_dbeta.tensor) <= group_tolerance<float>);
  CHECK((gaps_untouched(found_dgamma.tensor) && gaps_untouched(found_dbeta.tensor)));
}

}  // namespace

TEMPLATE_TEST_CASE("group norm on the GPU gives the CPU's results and gradients", "[gpu]", float, bfloat16, lpw::half) {
  for (const GroupCase& c : group_cases)
    for (const ParameterKind& kind : parameter_kinds)
      for (const bool accumulate : {false, true}) check_group_norm<TestType>(c, kind, accumulate);
}

TEST_CASE("group norm on the GPU writes the gradients that are wanted", "[gpu]") {
  const Shape shape{2, 3, 4, 8};
  const auto x = on_device(random_tensor<float>(shape, 1)), dy = on_device(random_tensor<float>(shape, 2)),
             gamma = on_device(random_tensor<float>({1, 8}, 3)), beta = on_device(random_tensor<float>({2, 8}, 4));
  const auto saved = group_norm_forward(x, gamma, beta, 2, 1e-5).saved;
  const auto run = [&](bool with_gamma, bool with_beta, bool with_x) {
    Gradient<float, Cuda> dgamma{zeros<float, Cuda>({1, 8})}, dbeta{zeros<float, Cuda>({2, 8})},
        dx{zeros<float, Cuda>(shape)};
    group_norm_backward(saved, gamma, dy, with_gamma ? &dgamma : nullptr, with_beta ? &dbeta : nullptr,
                        with_x ? &dx : nullptr);
    return std::vector{values_of(to_host(dgamma.tensor)), values_of(to_host(dbeta.tensor)),
                       values_of(to_host(dx.tensor))};
  };
  const auto all = run(true, true, true);
  for (std::size_t one = 0; one < 3; ++one) {
    const auto found = run(one == 0, one == 1, one == 2);
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(found[i] == (i == one ? all[i] : std::vector<double>(all[i].size(), 0.0)));
    CHECK(largest_magnitude(all[one]) > 0.1);
  }
}

TEST_CASE("group norm on the GPU keeps its digits beside a large mean", "[gpu]") {
  auto lifted = random_tensor<float>({2, 3, 16, 16}, 1);
  for (std::int64_t i = 0; i < lifted.size(); ++i) lifted.data()[i] += 4096;
  const auto ones = full<float, Cpu>({1, 16}, 1.f), nothing = zeros<float, Cpu>({1, 16});
  const auto expected =
      group_norm_forward(converted<double>(lifted), converted<double>(ones), converted<double>(nothing), 2, 1e-5);
  const auto found = group_norm_forward(on_device(lifted), on_device(ones), on_device(nothing), 2, 1e-5);
  // The mean is rounded to 4096 epsilon, and divided by a deviation of 0.6; the variance loses nothing.
  CHECK(distance(found.y, expected.y) <= 2 * 4096 * epsilon<float>());
  CHECK(distance(found.saved.inverse_deviation, expected.saved.inverse_deviation) <= 80 * epsilon<float>());
}

TEMPLATE_TEST_CASE("layer_norm and group_norm recorded on the GPU have the CPU's values and gradients", "[gpu]", float,
                   bfloat16) {
  const Shape shape{3, 4, 3, 2, 16};
  const auto x = random_tensor<TestType>(shape, 1);
  const auto gamma = random_tensor<float>({3, 16}, 2), beta = random_tensor<float>({1, 16}, 3);
  const auto run = [&]<class D>(D, bool layer) {
    const auto place = [](const auto& tensor) { return to_device<D>(tensor); };
    auto dx = zeros<TestType, D>(shape);
    auto dgamma = zeros<float, D>(gamma.shape()), dbeta = zeros<float, D>(beta.shape());
    Tape tape;
    const auto in = tape.leaf(place(x), dx);
    const auto g = tape.leaf(place(gamma), dgamma), b = tape.leaf(place(beta), dbeta);
    const auto y = layer ? layer_norm(in, g, b) : group_norm(in, 4, g, b);
    std::vector<std::vector<double>> all{values_of(to_host(y.value()))};
    backward_of_sum(tape, scale_channels(y, g));  // of equal weights dx would be 0
    for (const auto& gradient : {dgamma, dbeta}) all.push_back(values_of(to_host(gradient)));
    all.push_back(values_of(to_host(dx)));
    return all;
  };
  for (const bool layer : {false, true}) {
    const auto expected = run(Cpu(), layer), found = run(Cuda(), layer);
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("result " << i);
      CHECK(distance(found[i], expected[i]) <= 80 * epsilon<float>() + 8 * epsilon<TestType>());  // rounded on its way
    }
  }
}
