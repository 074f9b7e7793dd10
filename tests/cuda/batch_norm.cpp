#include "cuda/operands.hpp"

#include <lpw/autograd/batch_norm.hpp>

using namespace lpw;
using namespace lpw::test;
using Catch::Matchers::Contains;

namespace {

struct BatchNormCase {
  Shape x;
  ParameterKind kind;
  bool residual = false, relu = false, batch_statistics = true, accumulate = false;
  double momentum = 0.1;
};

std::ostream& operator<<(std::ostream& out, const BatchNormCase& c) {
  return out << "x " << c.x << ' ' << c.kind << " residual " << c.residual << " relu " << c.relu << " batch statistics "
             << c.batch_statistics << " accumulate " << c.accumulate << " momentum " << c.momentum;
}

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

template <class T>
struct Operands {
  Tensor<T, Cpu> x, residual, dy;
  Tensor<float, Cpu> gamma, beta;
  RunningStatistics<float, Cpu> running;
  BatchNormPass pass;

  explicit Operands(const BatchNormCase& c)
      : x(random_tensor<T>(c.x, 1)),
        residual(c.residual ? random_tensor<T>(c.x, 2) : Tensor<T, Cpu>()),
        dy(random_tensor<T>(c.x, 3)),
        gamma(c.kind.make(c.x[0], c.x[-1], 4)),
        beta(c.kind.make(c.x[0], c.x[-1], 5)),
        running{random_parameter<float>({c.x[0], c.x[-1]}, c.kind.strided, 6),
                random_parameter<float>({c.x[0], c.x[-1]}, c.kind.strided, 7)},
        pass{.epsilon = 0.01, .momentum = c.momentum, .relu = c.relu, .batch_statistics = c.batch_statistics} {
    for (std::int64_t k = 0; k < c.x[0]; ++k)
      for (std::int64_t i = 0; i < c.x[-1]; ++i)
        running.variance.row(k)[i] = std::abs(running.variance.row(k)[i]) + 0.5f;
    if (c.momentum == 1 && c.batch_statistics) running.mean.data()[0] = running.variance.data()[0] = std::nanf("");
  }
};

/// Numbers are below 1 and inverse deviations at most 10 = 1 / sqrt(epsilon); statistics are sums of at most a few
/// hundred terms.
constexpr double statistics_tolerance = 200 * epsilon<float>();
template <class T>
constexpr double batch_norm_tolerance = 1000 * epsilon<float>() + epsilon<T>();

template <class T>
void check_forward(const BatchNormCase& c) {
  const Operands<T> o(c);
  const RunningStatistics<float, Cuda> running{on_device(o.running.mean), on_device(o.running.variance)};
  const auto found =
      batch_norm_forward(on_device(o.x), on_device(o.residual), on_device(o.gamma), on_device(o.beta), running, o.pass);
  const auto expected = batch_norm_forward(o.x, o.residual, o.gamma, o.beta, o.running, o.pass);
  CHECK_FALSE(found.y.pending());
  CHECK(distance(found.y.raw, materialize(expected.y)) <= batch_norm_tolerance<T>);
  CHECK(distance(found.saved.by.mean, expected.saved.by.mean) <= statistics_tolerance);
  CHECK(distance(found.saved.by.inverse_deviation, expected.saved.by.inverse_deviation) <= statistics_tolerance);
  CHECK(distance(found.saved.by.scale, expected.saved.by.scale) <= statistics_tolerance);
  CHECK(distance(found.saved.by.shift, expected.saved.by.shift) <= statistics_tolerance);
  CHECK(distance(running.mean, o.running.mean) <= statistics_tolerance);
  CHECK(distance(running.variance, o.running.variance) <= statistics_tolerance);
  CHECK(gaps_untouched(running.mean));
  CHECK(gaps_untouched(running.variance));
  CHECK(found.saved.residual.empty() == expected.saved.residual.empty());
}

template <class T>
[[nodiscard]] BatchNormSaved<T, Cuda> saved_on_device(const BatchNormSaved<T, Cpu>& saved) {
  return {on_device(saved.x),
          {on_device(saved.by.mean), on_device(saved.by.inverse_deviation), on_device(saved.by.scale),
           on_device(saved.by.shift)},
          on_device(saved.residual),
          saved.relu,
          saved.batch_statistics};
}

/// From the CPU's saved statistics, so that ReLU's mask is the same.
template <class T>
void check_backward(const BatchNormCase& c) {
  const Operands<T> o(c);
  const auto saved = batch_norm_forward(o.x, o.residual, o.gamma, o.beta, o.running, o.pass).saved;
  Gradient<T, Cpu> dx{random_tensor<T>(c.x, 8), c.accumulate}, dresidual{random_tensor<T>(c.x, 9), c.accumulate};
  Gradient<float, Cpu> dgamma{c.kind.make(c.x[0], c.x[-1], 10), c.accumulate},
      dbeta{c.kind.make(c.x[0], c.x[-1], 11), c.accumulate};
  auto found_dx = on_device(dx), found_dresidual = on_device(dresidual);
  auto found_dgamma = on_device(dgamma), found_dbeta = on_device(dbeta);
  const bool masked = c.residual && c.relu;
  batch_norm_backward<T>(saved, o.dy, &dgamma, &dbeta, &dx, masked ? &dresidual : nullptr);
  batch_norm_backward<T>(saved_on_device(saved), on_device(o.dy), &found_dgamma, &found_dbeta, &found_dx,
                         masked ? &found_dresidual : nullptr);
  CHECK(distance(found_dx.tensor, dx.tensor) <= batch_norm_tolerance<T>);
  CHECK(distance(found_dgamma.tensor, dgamma.tensor) <= batch_norm_tolerance<float>);
  CHECK(distance(found_dbeta.tensor, dbeta.tensor) <= batch_norm_tolerance<float>);
  CHECK(gaps_untouched(found_dgamma.tensor));
  CHECK(gaps_untouched(found_dbeta.tensor));
  if (masked) CHECK(distance(found_dresidual.tensor, dresidual.tensor) <= epsilon<T>());
}

}  // namespace

TEMPLATE_TEST_CASE("batch norm's forward on the GPU gives the CPU's values and statistics", "[gpu]", float, bfloat16) {
  for (const BatchNormCase& c : all_cases()) {
    INFO(c);
    check_forward<TestType>(c);
  }
}

TEMPLATE_TEST_CASE("batch norm's backward on the GPU gives the CPU's gradients", "[gpu]", float, bfloat16) {
  for (const BatchNormCase& c : all_cases()) {
    INFO(c);
    check_backward<TestType>(c);
  }
}

TEST_CASE("batch norm on the GPU is right where blocks share an item, and where it is read twice", "[gpu]") {
  const BatchNormCase group{
      .x = {2, 1000, 17}, .kind = {.shared = true, .strided = false}, .residual = true, .relu = true};
  const BatchNormCase twice{
      .x = {1, 20000, 8}, .kind = {.shared = false, .strided = false}, .residual = true, .relu = true};
  const auto regime = [](const BatchNormCase& c, int vector) {
    return plan_batch_norm(cuda::limits(), c.x[0], c.x[1], c.x[2],
                           {.element_bytes = 4, .vector = vector, .read_twice = 1})
        .regime;
  };
  if (emulated) {
    REQUIRE(regime(group, 1) == BatchNormRegime::group);
    REQUIRE(regime(twice, 4) == BatchNormRegime::two_sweeps);
  }
  for (const BatchNormCase& c : {group, twice}) {
    INFO(c);
    check_forward<float>(c);
    check_backward<float>(c);
  }
}

TEST_CASE("batch norm's gradients on the GPU do not depend on which of them are wanted", "[gpu]") {
  const BatchNormCase c{.x = {3, 40, 8}, .kind = {.shared = true, .strided = false}, .residual = true, .relu = true};
  const Operands<float> o(c);
  const auto saved = saved_on_device(batch_norm_forward(o.x, o.residual, o.gamma, o.beta, o.running, o.pass).saved);
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
    tape.backward(y);
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
