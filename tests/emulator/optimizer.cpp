#include "emulator/kernel_check.hpp"

#include <lpw/kernels/optimizer.cuh>

#include <lpw/cpu/optimizer.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr int steps = 4;
// Per step some twenty roundings of values below 10.
constexpr double optimizer_tolerance = steps * 200 * epsilon<float>();

/// A store with two states per weight (SGD uses one), and its course in double.
template <class T>
struct Store {
  Tensor<float, Cpu> weight, gradient, first, second;
  Tensor<T, Cpu> rounded;
  std::vector<double> w, m, v;

  Store(std::int64_t size, std::uint32_t key)
      : weight(random_tensor<float>({size}, key)),
        gradient(Shape{size}),
        first(zeros<float, Cpu>({size})),
        second(zeros<float, Cpu>({size})),
        rounded(unwritten<T>({size})),
        w(values_of(weight)),
        m(size, 0.0),
        v(size, 0.0) {}

  void set_gradient(std::uint32_t key) { copy(random_tensor<float>(gradient.shape(), key), gradient); }
  /// Another store with the present weights, gradients and first states, for the CPU to step.
  [[nodiscard]] SgdStore<float, Cpu> copied(const SgdStep& step) const {
    return {clone(weight), clone(gradient), clone(first), step};
  }

  void check() const {
    INFO("size " << weight.size());
    CHECK(distance(weight, tensor_of<double>(weight.shape(), w)) <= optimizer_tolerance);
    CHECK(distance(first, tensor_of<double>(weight.shape(), m)) <= optimizer_tolerance);
    CHECK(distance(second, tensor_of<double>(weight.shape(), v)) <= optimizer_tolerance);
    CHECK(values_of(gradient) == std::vector<double>(gradient.size(), 0.0));
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < weight.size(); ++i) wrong += double(rounded.data()[i]) != double(T(weight.data()[i]));
    CHECK(wrong == 0);
  }
};

template <class T>
[[nodiscard]] kernels::SgdStore<T> parameters_of(Store<T>& s, const SgdStep& step) {
  return {s.weight.data(), s.gradient.data(),         s.first.data(),           s.rounded.data(),
          s.weight.size(), float(step.learning_rate), float(step.weight_decay), float(step.gradient_scale)};
}

}  // namespace

TEMPLATE_TEST_CASE("the kernel sgd_step follows the update rule in both stores, and the CPU's", "[optimizer]", float,
                   bfloat16, half) {
  for (const auto& [base_size, late_size] :
       {std::pair{1, 0}, std::pair{37, 5}, std::pair{5003, 10 * 321}, std::pair{64, 3000}})
    for (const SgdStep& rule :
         {SgdStep{.learning_rate = 0.1}, SgdStep{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01},
          SgdStep{.learning_rate = 0.05,
          .momentum = 0.8,
          .nesterov = true,
          .weight_decay = 0.02,
          .gradient_scale = 0.25}}) {
      INFO("sizes " << base_size << ", " << late_size << " momentum " << rule.momentum << " nesterov "
                    << rule.nesterov);
      Store<TestType> base(base_size, 1), late(late_size, 2);
      SgdStep late_rule = rule;
      late_rule.learning_rate = 0.3;
      late_rule.weight_decay = 0;
      const auto factor = full<float, Cpu>({1}, 0.375f);
      for (std::uint32_t t = 0; t < steps; ++t) {
        base.set_gradient(10 + t);
        late.set_gradient(20 + t);
        const bool clipped = t % 2 == 1;
        const auto cpu_base = base.copied(rule), cpu_late = late.copied(late_rule);
        lpw::sgd_step(cpu_base, cpu_late, clipped ? factor : Tensor<float, Cpu>());
        for (const auto& [store, r] : {std::pair{&base, rule}, std::pair{&late, late_rule}})
          for (std::size_t i = 0; i < store->w.size(); ++i) {
            const double scale = r.gradient_scale * (clipped ? 0.375 : 1);
            const double g = scale * double(store->gradient.data()[i]) + r.weight_decay * store->w[i];
            store->m[i] = r.momentum * store->m[i] + g;
            store->w[i] -= r.learning_rate * (r.nesterov ? g + r.momentum * store->m[i] : store->m[i]);
          }
        const kernels::SgdParameters<TestType> p{parameters_of(base, rule), parameters_of(late, late_rule),
                                                 float(rule.momentum), rule.nesterov,
                                                 clipped ? factor.data() : nullptr};
        CHECK(same_on_any_order(
            small_plan((base_size + late_size) / 4), [&] { kernels::sgd_step<TestType>(p); }, base.weight,
            base.gradient, base.first, base.rounded, late.weight, late.gradient, late.first, late.rounded));
        // The CPU's compiler may contract other products into fused ones.
        CHECK(distance(base.weight, cpu_base.weight) <= optimizer_tolerance / steps);
        CHECK(distance(base.first, cpu_base.velocity) <= optimizer_tolerance / steps);
        CHECK(distance(late.weight, cpu_late.weight) <= optimizer_tolerance / steps);
      }
      base.check();
      late.check();
    }
}

TEMPLATE_TEST_CASE("the kernel adam_step follows the update rule of Adam and AdamW in both stores", "[optimizer]",
                   float, bfloat16, half) {
  constexpr double beta1 = 0.9, beta2 = 0.999, tiny = 1e-8;
  for (const bool decoupled : {false, true})
    for (const auto& [base_size, late_size] : {std::pair{1, 0}, std::pair{3003, 10 * 321}, std::pair{64, 30}}) {
      INFO("sizes " << base_size << ", " << late_size << " decoupled " << decoupled);
      Store<TestType> base(base_size, 1), late(late_size, 2);
      const double rate[] = {0.01, 0.03}, decay[] = {0.1, 0.05}, scale[] = {0.25, 1};
      const auto factor = full<float, Cpu>({1}, 0.375f);
      for (std::uint32_t t = 0; t < steps; ++t) {
        base.set_gradient(10 + t);
        late.set_gradient(20 + t);
        const bool clipped = t % 2 == 1;
        const std::int64_t count[] = {t + 1, t + 100};  // a store that is older than the other
        const std::uint32_t later = 7;                  // than the counts that the launch names, every other time
        const auto step_of = [&](int which) {
          return AdamStep{rate[which], beta1, beta2, tiny, decay[which], decoupled, scale[which], count[which]};
        };
        const AdamStore<float, Cpu> cpu{clone(base.weight), clone(base.gradient), clone(base.first), clone(base.second),
                                        step_of(0)};
        const AdamStore<float, Cpu> cpu_late{clone(late.weight), clone(late.gradient), clone(late.first),
                                             clone(late.second), step_of(1)};
        lpw::adam_step(cpu, cpu_late, clipped ? factor : Tensor<float, Cpu>());
        const auto parameters = [&](Store<TestType>& s, int which) {
          const double correction1 = 1 / (1 - std::pow(beta1, count[which])),
                       correction2 = 1 / (1 - std::pow(beta2, count[which]));
          for (std::size_t i = 0; i < s.w.size(); ++i) {
            double g = scale[which] * (clipped ? 0.375 : 1) * double(s.gradient.data()[i]);
            if (!decoupled) g += decay[which] * s.w[i];
            s.m[i] = beta1 * s.m[i] + (1 - beta1) * g;
            s.v[i] = beta2 * s.v[i] + (1 - beta2) * g * g;
            if (decoupled) s.w[i] *= 1 - rate[which] * decay[which];
            s.w[i] -= rate[which] * s.m[i] * correction1 / (std::sqrt(s.v[i] * correction2) + tiny);
          }
          return kernels::AdamStore<TestType>{
              s.weight.data(),     s.gradient.data(),
              s.first.data(),      s.second.data(),
              s.rounded.data(),    s.weight.size(),
              float(rate[which]),  float(decay[which]),
              float(scale[which]), static_cast<std::int32_t>(count[which]) - (clipped ? 7 : 0)};
        };
        const kernels::AdamParameters<TestType> p{parameters(base, 0),
                                                  parameters(late, 1),
                                                  float(beta1),
                                                  float(beta2),
                                                  float(1 - beta1),
                                                  float(1 - beta2),
                                                  float(std::log(beta1)),
                                                  float(std::log(beta2)),
                                                  clipped ? &later : nullptr,
                                                  float(tiny),
                                                  decoupled,
                                                  clipped ? factor.data() : nullptr};
        CHECK(same_on_any_order(
            small_plan((base_size + late_size) / 4), [&] { kernels::adam_step<TestType>(p); }, base.weight,
            base.gradient, base.first, base.second, base.rounded, late.weight, late.gradient, late.first, late.second,
            late.rounded));
        for (const auto& [store, expected] : {std::pair{&base, &cpu}, std::pair{&late, &cpu_late}}) {
          CHECK(distance(store->weight, expected->weight) <= optimizer_tolerance / steps);
          CHECK(distance(store->first, expected->mean) <= optimizer_tolerance / steps);
          CHECK(distance(store->second, expected->square) <= optimizer_tolerance / steps);
        }
      }
      base.check();
      late.check();
    }
}

TEST_CASE("the kernel sgd_step writes no rounded weights where none are wanted", "[optimizer]") {
  Store<bfloat16> base(9, 1), late(7, 2);
  base.set_gradient(3);
  late.set_gradient(4);
  kernels::SgdParameters<bfloat16> p{parameters_of(base, {}), parameters_of(late, {}), 0, false, nullptr};
  p.base.rounded = p.late.rounded = nullptr;
  CHECK(same_on_any_order(
      small_plan(4), [&] { kernels::sgd_step<bfloat16>(p); }, base.weight, base.gradient, base.first, late.weight,
      late.gradient, late.first));
}

TEST_CASE("the kernel clip_factor gives the CPU's factor on any grid", "[optimizer]") {
  const std::int64_t chunk = kernels::clip_chunk;
  for (const auto& [base_size, late_size] :
       {std::pair{std::int64_t{1}, std::int64_t{0}}, std::pair{std::int64_t{37}, std::int64_t{5}},
        std::pair{3 * chunk + 7, 2 * chunk}, std::pair{std::int64_t{64}, 5 * chunk + 1}})
    for (const double max_norm : {0.5, 1e6}) {
      INFO("sizes " << base_size << ", " << late_size << " norm " << max_norm);
      const auto base = random_tensor<float>({base_size}, 1), late = random_tensor<float>({late_size}, 2);
      const std::int64_t chunks = kernels::clip_chunks(base_size) + kernels::clip_chunks(late_size);
      auto partial = unwritten<double>({chunks});
      auto factor = unwritten<float>({1});
      auto arrivals = zeros<std::int32_t, Cpu>({1});
      const kernels::ClipFactor<float> p{{base.data(), base_size, 0.25f},
                                         {late.data(), late_size, 1.f},
                                         float(max_norm),
                                         factor.data(),
                                         partial.data(),
                                         reinterpret_cast<unsigned*>(arrivals.data())};
      std::vector<float> found;
      for (const unsigned grid : {1u, 3u, 16u}) {
        LaunchPlan plan{grid, 1};
        plan.shared_bytes = kernels::shared_bytes<double>(LaunchPlan::block / 32) + kernels::shared_bytes<unsigned>(1);
        CHECK(same_on_any_order(
            plan, [&] { kernels::clip_factor(p); }, factor, partial, arrivals));
        CHECK(arrivals.data()[0] == 0);
        found.push_back(factor.data()[0]);
      }
      const auto expected = lpw::clip_factor(lpw::ScaledGradient<float, Cpu>{base, 0.25},
                                             lpw::ScaledGradient<float, Cpu>{late}, max_norm);
      CHECK(found == std::vector<float>(3, found[0]));
      CHECK(std::abs(found[0] - expected.data()[0]) <=
            epsilon<float>() * expected.data()[0]);  // sums in double, rounded once
    }
}

TEST_CASE("the kernel clip_factor does not hide NaN", "[optimizer]") {
  const auto base = full<float, Cpu>({9}, std::nanf(""));
  auto partial = unwritten<double>({1});
  auto factor = unwritten<float>({1});
  unsigned arrivals = 0;
  factor.data()[0] = 3;
  const kernels::ClipFactor<float> p{{base.data(), 9, 1.f}, {nullptr, 0, 1.f}, 1.f,
                                     factor.data(),         partial.data(),    &arrivals};
  LaunchPlan plan{1, 1};
  plan.shared_bytes = kernels::shared_bytes<double>(LaunchPlan::block / 32) + kernels::shared_bytes<unsigned>(1);
  CHECK(same_on_any_order(
      plan, [&] { kernels::clip_factor(p); }, factor));
  CHECK(std::isnan(factor.data()[0]));
}
