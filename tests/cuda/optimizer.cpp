#include "cuda/operands.hpp"

#include <lpw/cpu/optimizer.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr int steps = 5;
/// Per step some thirty roundings of values below 5.
constexpr double optimizer_tolerance = steps * 200 * epsilon<float>();

/// A flat store's tensors on both devices: weight, gradient, and two states, of which SGD uses the first.
struct Store {
  std::array<Tensor<float, Cpu>, 4> host;
  std::array<Tensor<float, Cuda>, 4> there;

  Store(std::int64_t size, std::uint32_t key) {
    host[0] = random_tensor<float>({1, size}, key);
    for (const int i : {1, 2, 3}) host[i] = zeros<float, Cpu>({1, size});
    for (const int i : {0, 1, 2, 3}) there[i] = on_device(host[i]);
  }
  void set_gradient(std::uint32_t key) {
    copy(random_tensor<float>(host[1].shape(), key), host[1]);
    copy(on_device(host[1]), there[1]);
  }
  void check() const {
    for (const int i : {0, 2, 3}) CHECK(distance(there[i], host[i]) <= optimizer_tolerance);
    CHECK(equal(there[1], zeros<float, Cpu>(host[1].shape())));
  }
};

template <class D>
[[nodiscard]] SgdStore<float, D> store_of(const std::array<Tensor<float, D>, 4>& tensors, const SgdStep& step) {
  return {tensors[0], tensors[1], tensors[2], step};
}
template <class D>
[[nodiscard]] AdamStore<float, D> store_of(const std::array<Tensor<float, D>, 4>& tensors, const AdamStep& step) {
  return {tensors[0], tensors[1], tensors[2], tensors[3], step};
}

/// Five steps on both devices; every other one has its gradients scaled by a number in memory. The late-phase store may
/// be empty.
template <class Step, class Run>
void check_steps(Step base_step, Step late_step, const Run& run) {
  for (const auto& [base_size, late_size] : {std::pair{1, 0}, std::pair{5003, 10 * 321}, std::pair{64, 3000}}) {
    INFO("sizes " << base_size << ", " << late_size);
    Store base(base_size, 1), late(late_size, 2);
    const auto factor = full<float, Cpu>({1}, 0.375f);
    for (std::uint32_t t = 0; t < steps; ++t) {
      base.set_gradient(10 + t);
      late.set_gradient(20 + t);
      if constexpr (requires { base_step.count; }) {
        base_step.count = 1000 + t;
        late_step.count = 1 + t;
      }
      const bool clipped = t % 2 == 1;
      run(store_of(base.host, base_step), store_of(late.host, late_step), clipped ? factor : Tensor<float, Cpu>());
      run(store_of(base.there, base_step), store_of(late.there, late_step),
          clipped ? on_device(factor) : Tensor<float, Cuda>());
    }
    base.check();
    late.check();
  }
}

}  // namespace

TEST_CASE("sgd_step on the GPU steps both stores as the CPU does", "[gpu]") {
  for (const SgdStep& step :
       {SgdStep{.learning_rate = 0.1}, SgdStep{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01},
        SgdStep{
            .learning_rate = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01, .gradient_scale = 0.25}}) {
    INFO("momentum " << step.momentum << " nesterov " << step.nesterov);
    SgdStep late = step;
    late.learning_rate = 0.3;
    late.weight_decay = 0.02;
    late.gradient_scale = 1;
    check_steps(step, late, [](const auto& b, const auto& l, const auto& factor) { sgd_step(b, l, factor); });
  }
}

TEST_CASE("adam_step on the GPU steps both stores as the CPU does, each by its own count", "[gpu]") {
  for (const bool decoupled : {false, true})
    for (const double beta1 : {0.0, 0.9}) {
      INFO("decoupled " << decoupled << " beta1 " << beta1);
      const AdamStep step{
          .learning_rate = 0.01, .beta1 = beta1, .weight_decay = 0.1, .decoupled = decoupled, .gradient_scale = 0.5};
      AdamStep late = step;
      late.learning_rate = 0.03;
      late.weight_decay = 0.05;
      late.gradient_scale = 1;
      check_steps(step, late, [](const auto& b, const auto& l, const auto& factor) { adam_step(b, l, factor); });
    }
}

TEST_CASE("a replayed adam_step goes on counting", "[gpu]") {
  Store base(37, 1), late(12, 2);
  Replay<Cuda> replay;
  for (std::uint32_t t = 0; t < steps; ++t) {
    base.set_gradient(10 + t);
    late.set_gradient(20 + t);
    const AdamStep step{.learning_rate = 0.01, .count = 1 + t};
    AdamStep older = step;
    older.count = 100 + t;
    adam_step(store_of(base.host, older), store_of(late.host, step));
    replay.run("step", 50 + t,
               [&](std::uint32_t) { adam_step(store_of(base.there, older), store_of(late.there, step)); });
  }
  base.check();
  late.check();
}

TEST_CASE("the steps on the GPU refuse stores that differ in what their one launch shares", "[gpu]") {
  const Store base(4, 1), late(4, 2);
  CHECK_THROWS_AS(
      sgd_step(store_of(base.there, SgdStep{.momentum = 0.9}), store_of(late.there, SgdStep{.momentum = 0.8})),
      OptionError);
  CHECK_THROWS_AS(
      adam_step(store_of(base.there, AdamStep{.beta2 = 0.9}), store_of(late.there, AdamStep{.beta2 = 0.99})),
      OptionError);
}

TEST_CASE("clip_factor on the GPU is the CPU's", "[gpu]") {
  for (const auto& [base_size, late_size] : {std::pair{1, 0}, std::pair{5, 4097}, std::pair{9001, 3210}})
    for (const double max_norm : {0.01, 1.0, 1e6}) {
      INFO("sizes " << base_size << ", " << late_size << " norm at most " << max_norm);
      const auto base = random_tensor<float>({1, base_size}, 1), late = random_tensor<float>({1, late_size}, 2);
      const auto expected =
          clip_factor(ScaledGradient<float, Cpu>{base, 0.1}, ScaledGradient<float, Cpu>{late}, max_norm);
      const auto found = to_host(clip_factor(ScaledGradient<float, Cuda>{on_device(base), 0.1},
                                             ScaledGradient<float, Cuda>{on_device(late)}, max_norm));
      const double wanted = expected.data()[0];  // sums in double; scale and max_norm are rounded to float
      CHECK(std::abs(found.data()[0] - wanted) <= 4 * epsilon<float>() * wanted);
      if (max_norm == 1e6) CHECK(found.data()[0] == 1);
    }
}

TEST_CASE("clip_factor on the GPU keeps NaN", "[gpu]") {
  const auto gradient = on_device(full<float, Cpu>({1, 10}, std::nanf("")));
  const ScaledGradient<float, Cuda> scaled{gradient}, none{zeros<float, Cuda>({1, 0})};
  CHECK(std::isnan(to_host(clip_factor(scaled, none, 1)).data()[0]));
}
