#include "cuda/batch_norm_check.hpp"

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::Contains;

namespace {

/// Every option beside every other at least once, and every channel count, one row to many, one member to ten.
std::vector<BatchNormCase> all_cases() {
  std::vector<BatchNormCase> cases;
  int number = 0;
  for (const std::int64_t members : {1, 3, 10})
    for (const std::int64_t channels : odd_channels)
      for (const auto& kind : parameter_kinds)
        for (const bool residual : {false, true})
          for (const bool relu : {false, true}) {
            const Shape shapes[] = {{members, 1, channels}, {members, 2, 3, 2, channels}, {members, 61, channels}};
            cases.push_back({shapes[number % 3], kind, residual, relu, number % 5 != 0, number % 2 == 0,
                             number % 7 == 0 ? 1 : 0.1});
            ++number;
          }
  return cases;
}

}  // namespace

TEMPLATE_TEST_CASE("batch norm's forward on the GPU gives the CPU's values and statistics", "[gpu]", float, bfloat16) {
  for (const BatchNormCase& c : all_cases()) {
    INFO(c);
    const BatchNormOperands<TestType> o(c);
    check_forward(o, CpuForward<TestType>(o));
  }
}

TEMPLATE_TEST_CASE("batch norm's backward on the GPU gives the CPU's gradients", "[gpu]", float, bfloat16) {
  for (const BatchNormCase& c : all_cases()) {
    INFO(c);
    const BatchNormOperands<TestType> o(c);
    check_backward(o, CpuForward<TestType>(o));
  }
}

TEMPLATE_TEST_CASE("batch norm on the GPU gives a part's moments and sums, and takes the whole's", "[gpu]", float,
                   bfloat16) {
  using T = TestType;
  using R = CpuReference<T>;
  const BatchNormCase c{.x = {2, 40, 8}, .kind = {.shared = false, .strided = true}, .residual = true, .relu = true};
  const BatchNormOperands<T> o(c);
  const auto moments = batch_moments(converted<R>(o.x));
  const auto found = batch_moments(on_device(o.x));
  CHECK(distance(found.mean, moments.mean) <= statistics_tolerance);
  CHECK(distance(found.variance, moments.variance) <= statistics_tolerance);

  const auto saved = CpuForward<R>(o).result.saved;
  const auto there = saved_on_device(o, saved);
  const auto dy = on_device(o.dy);
  const auto gradient = [&](std::uint32_t key) {
    return Gradient<float, Cuda>{on_device(c.kind.make(c.x[0], c.x[-1], key)), true};
  };
  auto dgamma = gradient(10), dbeta = gradient(11), expected_gamma = gradient(10), expected_beta = gradient(11);
  const auto sums = batch_norm_part_sums(there, dy, &dgamma, &dbeta, 0.25);
  auto whole = batch_norm_gradient_sums(saved, converted<R>(o.dy));
  for (std::int64_t i = 0; i < whole.size(); ++i) whole.data()[i] *= 0.25;
  CHECK(distance(sums, whole) <= batch_norm_tolerance<float>);
  batch_norm_backward<T>(there, dy, &expected_gamma, &expected_beta, nullptr, nullptr);
  CHECK(equal(dgamma.tensor, to_host(expected_gamma.tensor)));
  CHECK(equal(dbeta.tensor, to_host(expected_beta.tensor)));

  Gradient<R, Cpu> dx{Tensor<R, Cpu>(c.x), false}, dresidual{Tensor<R, Cpu>(c.x), false};
  Gradient<T, Cuda> dx_there{Tensor<T, Cuda>(c.x), false}, dresidual_there{Tensor<T, Cuda>(c.x), false};
  batch_norm_backward<R>(saved, converted<R>(o.dy), nullptr, nullptr, &dx, &dresidual, whole);
  batch_norm_backward<T>(there, dy, nullptr, nullptr, &dx_there, &dresidual_there, to_device<Cuda>(whole));
  CHECK(distance(dx_there.tensor, dx.tensor) <= batch_norm_tolerance<T>);
  CHECK(distance(dresidual_there.tensor, dresidual.tensor) <= batch_norm_tolerance<T>);
}

TEST_CASE("batch norm's gradients on the GPU do not depend on which of them are wanted", "[gpu]") {
  const BatchNormCase c{.x = {3, 40, 8}, .kind = {.shared = true, .strided = false}, .residual = true, .relu = true};
  const BatchNormOperands<float> o(c);
  const auto saved = saved_on_device(o, CpuForward<float>(o).result.saved);
  const auto dy = on_device(o.dy);
  const auto gradient = [](const Shape& shape) { return Gradient<float, Cuda>{full<float, Cuda>(shape, 7.f), false}; };
  auto dx = gradient(c.x), dresidual = gradient(c.x), dgamma = gradient({1, 8}), dbeta = gradient({3, 8});
  batch_norm_backward<float>(saved, dy, &dgamma, &dbeta, &dx, &dresidual);
  auto alone = gradient(c.x), alone_residual = gradient(c.x), alone_gamma = gradient({1, 8}),
       alone_beta = gradient({3, 8});
  batch_norm_backward<float>(saved, dy, nullptr, nullptr, &alone, nullptr);
  batch_norm_backward<float>(saved, dy, nullptr, nullptr, nullptr, &alone_residual);
  batch_norm_backward<float>(saved, dy, &alone_gamma, nullptr, nullptr, nullptr);
  batch_norm_backward<float>(saved, dy, nullptr, &alone_beta, nullptr, nullptr);
  CHECK(equal(alone.tensor, to_host(dx.tensor)));
  CHECK(equal(alone_residual.tensor, to_host(dresidual.tensor)));
  CHECK(equal(alone_gamma.tensor, to_host(dgamma.tensor)));
  CHECK(equal(alone_beta.tensor, to_host(dbeta.tensor)));
}

TEMPLATE_TEST_CASE("batch norm recorded on the GPU has the CPU's values and gradients in every mode", "[gpu]", float,
                   bfloat16) {
  const Shape shape{3, 6, 2, 2, 17};
  const auto x = random_tensor<TestType>(shape, 1), residual = random_tensor<TestType>(shape, 2);
  const auto gamma = random_parameter<float>({3, 17}, true, 3), beta = random_tensor<float>({1, 17}, 4);
  const auto run = [&]<class D>(const auto& place, Mode mode, D) {
    auto dx = zeros<TestType, D>(shape), dresidual = zeros<TestType, D>(shape);
    auto dgamma = zeros<float, D>(gamma.shape()), dbeta = zeros<float, D>(beta.shape());
    const RunningStatistics<float, D> running{zeros<float, D>({3, 17}), full<float, D>({3, 17}, 1.f)};
    Tape tape({.mode = mode, .share = 0.5});
    const auto vg = tape.leaf(place(gamma), dgamma), vb = tape.leaf(place(beta), dbeta);
    const auto first = batch_norm(tape.leaf(place(x), dx), vg, vb, running, {.epsilon = 0.01, .relu = true});
    const auto y =
        batch_norm_add(first, tape.leaf(place(residual), dresidual), vg, vb, running, {.epsilon = 0.01, .relu = true});
    const auto value = y.value();
    backward_of_sum(tape, y);
    return std::vector{values_of(to_host(value)),           values_of(to_host(dx)),    values_of(to_host(dresidual)),
                       values_of(to_host(dgamma)),          values_of(to_host(dbeta)), values_of(to_host(running.mean)),
                       values_of(to_host(running.variance))};
  };
  for (const Mode mode : {Mode::training, Mode::evaluation, Mode::statistics}) {
    INFO("mode " << static_cast<int>(mode));
    const auto expected = run([](const auto& tensor) { return tensor; }, mode, Cpu());
    const auto found = run([](const auto& tensor) { return on_device(tensor); }, mode, Cuda());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      INFO("result " << i);
      // Two batch norms: a rounding of the first's result to T reaches all that follows.
      CHECK(distance(found[i], expected[i]) <= 2 * batch_norm_tolerance<TestType>);
    }
  }
}

TEST_CASE("batch norm on the GPU refuses more rows than its kernels count", "[gpu]") {
  CHECK_THROWS_AS(cuda::member_rows("batch_norm", {1, std::int64_t{1} << 31, 2}), ShapeError);
  CHECK_THROWS_WITH(cuda::member_rows("batch_norm", {1, 2, std::int64_t{1} << 31}),
                    Contains("batch_norm: 2147483648 channels"));
  CHECK_NOTHROW(cuda::member_rows("batch_norm", {1, std::int64_t{1} << 30, 2}));
}
