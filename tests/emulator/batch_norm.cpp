// Batch norm's kernels against the CPU's primitives, in every regime, and the plan that chooses among them.
#include "emulator/batch_norm.hpp"
#include "emulator/asan.hpp"

#include <lpw/cpu/batch_norm.hpp>

#include <set>
#include <tuple>

#include "catch.hpp"
#include "support/compare.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::uint64_t seeds = LPW_ASAN ? 2 : 8;  // AddressSanitizer looks for something else, and is slow
constexpr double float_epsilon = epsilon<float>();

/// Where the CPU's primitives compute: half, which it has not, is held to double.
template <class T>
using Reference = std::conditional_t<std::is_same_v<T, half>, double, T>;

template <class V, class T>
[[nodiscard]] Tensor<V, Cpu> tensor_of(const std::vector<T>& values, const Shape& shape) {
  Tensor<V, Cpu> tensor(shape);
  for (std::size_t i = 0; i < values.size(); ++i) tensor.data()[i] = V(float(values[i]));
  return tensor;
}

/// Compares element `index` of what is called `of`, in units of what it may be off by.
void check_element(Worst& worst, const char* of, std::size_t index, double found, double expected, double tolerance) {
  worst.add(static_cast<std::int64_t>(index), found, expected, tolerance + 1e-30, of);
}

template <class T>
struct CpuShapes {
  Shape full, parameters, statistics;
  explicit CpuShapes(const BatchNormOperands<T>& o)
      : full({o.of.members, o.of.rows, o.of.channels}),
        parameters({o.of.member_parameters ? o.of.members : 1, o.of.channels}),
        statistics({o.of.members, o.of.channels}) {}
};

/// "" if the forward's results are the CPU's. `before` holds the running statistics that it started from.
template <class T>
[[nodiscard]] std::string forward_mismatch(const BatchNormOperands<T>& found, const BatchNormOperands<T>& before) {
  using R = Reference<T>;
  using W = Accumulate<R>;
  const CpuShapes shapes(found);
  const auto x = tensor_of<R>(found.x, shapes.full);
  auto running_mean = tensor_of<W>(before.running_mean, shapes.statistics),
       running_variance = tensor_of<W>(before.running_variance, shapes.statistics);
  Moments<W, Cpu> moments{running_mean, running_variance};
  if (found.of.batch_statistics) {
    moments = batch_moments(x);
    update_running(running_mean, running_variance, moments, found.of.rows, 0.1, found.of.pooled);
  }
  const auto gamma = tensor_of<W>(found.gamma, shapes.parameters), beta = tensor_of<W>(found.beta, shapes.parameters);
  const auto by = make_normalizer(moments, gamma, beta, 1e-5);
  const auto residual = found.of.residual ? tensor_of<R>(found.residual, shapes.full) : Tensor<R, Cpu>();
  const auto y = normalize(x, by, residual, found.of.relu);

  Worst result;
  const std::size_t channels = found.of.channels, rows = found.of.rows;
  for (std::size_t i = 0; i < found.statistics; ++i) {
    // A sum of deviations of n rows in a thread, then a tree: a few dozen roundings of numbers of the deviation's size,
    // and one of the mean's.
    const double mean = by.mean.data()[i], variance = moments.variance.data()[i], deviation = std::sqrt(variance);
    const double mean_error = float_epsilon * (2 * std::abs(mean) + 32 * deviation);
    const double variance_error = 64 * float_epsilon * (variance + 1e-5) + 4 * mean_error * mean_error,
                 relative = variance_error / (variance + 1e-5);
    check_element(result, "mean", i, found.mean[i], mean, mean_error);
    check_element(result, "inverse_deviation", i, found.inverse_deviation[i], by.inverse_deviation.data()[i],
                  relative * by.inverse_deviation.data()[i]);
    check_element(result, "scale", i, found.scale[i], by.scale.data()[i], relative * std::abs(by.scale.data()[i]));
    const double unbias = rows > 1 ? double(rows) / double(rows - 1) : 1;
    check_element(result, "running_mean", i, found.running_mean[i], running_mean.data()[i],
                  mean_error + 4 * float_epsilon * std::abs(running_mean.data()[i]));
    check_element(result, "running_variance", i, found.running_variance[i], running_variance.data()[i],
                  unbias * variance_error + 4 * float_epsilon * running_variance.data()[i]);
  }
  for (std::size_t i = 0; i < found.size; ++i) {
    const std::size_t at = i / (rows * channels) * channels + i % channels;
    const double scale = std::abs(by.scale.data()[at]), distance = std::abs(x.data()[i] - by.mean.data()[at]),
                 variance = moments.variance.data()[at];
    const double mean_error = float_epsilon * (4 * std::abs(by.mean.data()[at]) + 32 * std::sqrt(variance));
    const double map_error = scale * (mean_error + 80 * float_epsilon * distance) + 4 * float_epsilon,
                 value = y.data()[i];
    check_element(result, "y", i, found.y[i], value,
                  map_error + epsilon<T>() * std::abs(value) + (std::is_same_v<T, half> ? 0x1p-24 : 0.0));
  }
  return result.beyond(1);
}

/// "" if the backward's results are the CPU's from the same saved statistics. `before` holds the gradients that it
/// added to.
template <class T>
[[nodiscard]] std::string backward_mismatch(const BatchNormOperands<T>& found, const BatchNormOperands<T>& before) {
  using R = Reference<T>;
  using W = Accumulate<R>;
  const CpuShapes shapes(found);
  const auto statistics = [&](const std::vector<float>& values) { return tensor_of<W>(values, shapes.statistics); };
  const BatchNormSaved<R, Cpu> saved{
      tensor_of<R>(found.x, shapes.full),
      {statistics(found.mean), statistics(found.inverse_deviation), statistics(found.scale), statistics(found.shift)},
      found.of.residual ? tensor_of<R>(found.residual, shapes.full) : Tensor<R, Cpu>(),
      found.of.relu,
      found.of.batch_statistics};
  const bool add = found.of.accumulate;
  Gradient<R, Cpu> dx{tensor_of<R>(before.dx, shapes.full), add},
      dresidual{tensor_of<R>(before.dresidual, shapes.full), add};
  Gradient<W, Cpu> dgamma{tensor_of<W>(before.dgamma, shapes.parameters), add},
      dbeta{tensor_of<W>(before.dbeta, shapes.parameters), add};
  const auto dy = tensor_of<R>(found.dy, shapes.full);
  batch_norm_backward(saved, dy, &dgamma, &dbeta, &dx, found.of.residual ? &dresidual : nullptr);

  // A sum's error is in proportion to its terms' absolute values: at most 40 of them in a thread, then a tree of less
  // than 24 levels.
  const std::size_t channels = found.of.channels, rows = found.of.rows;
  std::vector<double> sum(found.statistics), product(found.statistics), dgamma_error(found.parameters),
      dbeta_error(found.parameters);
  for (std::size_t i = 0; i < found.size; ++i) {
    const std::size_t at = i / (rows * channels) * channels + i % channels;
    sum[at] += 64 * float_epsilon * std::abs(dy.data()[i]);
    product[at] += 64 * float_epsilon * std::abs(dy.data()[i] * (saved.x.data()[i] - found.mean[at]));
  }
  for (std::size_t at = 0; at < found.statistics; ++at) {
    dgamma_error[at % found.parameters] += product[at] * found.inverse_deviation[at] + float_epsilon;
    dbeta_error[at % found.parameters] += sum[at] + float_epsilon;
  }
  Worst result;
  for (std::size_t i = 0; i < found.parameters; ++i) {
    check_element(result, "dgamma", i, found.dgamma[i], dgamma.tensor.data()[i], dgamma_error[i]);
    check_element(result, "dbeta", i, found.dbeta[i], dbeta.tensor.data()[i], dbeta_error[i]);
  }
  for (std::size_t i = 0; i < found.size; ++i) {
    const std::size_t at = i / (rows * channels) * channels + i % channels;
    const double inverse = found.inverse_deviation[at], distance = std::abs(saved.x.data()[i] - found.mean[at]);
    const double means = (sum[at] + product[at] * distance * inverse * inverse) / double(rows);
    const double arithmetic = 8 * float_epsilon * (std::abs(dy.data()[i]) + means / float_epsilon);
    check_element(
        result, "dx", i, found.dx[i], dx.tensor.data()[i],
        std::abs(found.scale[at]) * (means + arithmetic) + epsilon<T>() * std::abs(dx.tensor.data()[i]) + 0x1p-24);
    if (found.of.residual)
      check_element(result, "dresidual", i, found.dresidual[i], dresidual.tensor.data()[i],
                    epsilon<T>() * std::abs(dresidual.tensor.data()[i]));
  }
  return result.beyond(1);
}

template <class V>
void append_bits(std::vector<std::byte>& bits, const std::vector<V>& values) {
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  bits.insert(bits.end(), bytes, bytes + values.size() * sizeof(V));
}

template <class T>
[[nodiscard]] std::vector<std::byte> all_bits(const BatchNormOperands<T>& o) {
  std::vector<std::byte> bits;
  for (const auto* values : {&o.y, &o.dx, &o.dresidual}) append_bits(bits, *values);
  for (const auto* values :
       {&o.mean, &o.inverse_deviation, &o.scale, &o.shift, &o.running_mean, &o.running_variance, &o.dgamma, &o.dbeta})
    append_bits(bits, *values);
  return bits;
}

// A small GPU of 6 resident blocks, so that small tensors already reach every regime.
constexpr GpuLimits roomy{3, 131072, 65536, 1 << 20};
constexpr BatchNormTuning free_barriers{.barriers_cost = 0, .item_cost = 0}, dear_barriers{.barriers_cost = 1 << 30};

/// The small GPU with shared memory for one resident step of a thread.
[[nodiscard]] GpuLimits cramped(const BatchNormPlan& plan, int read_twice, std::size_t element_bytes) {
  GpuLimits gpu = roomy;
  gpu.shared_per_block = detail::batch_norm_fixed_shared(plan.tiling) +
                         kernels::member_threads * plan.tiling.vector * read_twice * int(element_bytes);
  return gpu;
}
enum class Room { ample, one_step };
constexpr std::pair<BatchNormTuning, Room> configurations[]{{dear_barriers, Room::ample},
                                                            {free_barriers, Room::ample},
                                                            {free_barriers, Room::one_step},
                                                            {dear_barriers, Room::one_step}};

struct BatchNormPlans {
  BatchNormPlan forward, backward;

  template <class T>
  BatchNormPlans(const BatchNormOperands<T>& o, const BatchNormTuning& tuning, Room room)
      : forward(forward_plan(o, roomy, tuning)), backward(backward_plan(o, roomy, tuning)) {
    if (room == Room::ample) return;
    forward = forward_plan(o, cramped(forward, 1, sizeof(T)), tuning);
    backward = backward_plan(o, cramped(backward, 2, sizeof(T)), tuning);
  }
};

/// Forward and backward under every seed: right under the first, the same bits under the others.
template <class T>
void check_case(const BatchNormCase& c, const BatchNormTuning& tuning, Room room) {
  CAPTURE(dtype_name<T>(), c.members, c.rows, c.channels, c.residual, c.relu, c.member_parameters, c.accumulate,
          c.batch_statistics);
  const BatchNormOperands<T> before(c);
  const auto [forward, backward] = BatchNormPlans(before, tuning, room);
  CAPTURE(forward.tiling.group, forward.tiling.groups, int(forward.regime), backward.tiling.group,
          int(backward.regime));
  std::vector<std::byte> expected;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    BatchNormOperands<T> o = before;
    run_forward(o, forward, roomy, seed);
    run_backward(o, backward, roomy, seed);
    if (seed == 0) {
      REQUIRE(forward_mismatch(o, before) == "");
      REQUIRE(backward_mismatch(o, before) == "");
      expected = all_bits(o);
    } else {
      CAPTURE(seed);
      REQUIRE((all_bits(o) == expected));
    }
  }
}

/// What each shape runs with; C takes the vector path, the scalar path, several slabs, and a slab with columns past the
/// end.
[[nodiscard]] std::vector<BatchNormCase> cases() {
  return {
      {.members = 1, .rows = 1, .channels = 8, .relu = true},
      {.members = 1, .rows = 2, .channels = 3, .residual = true, .relu = true, .member_parameters = true},
      {.members = 3, .rows = 67, .channels = 16, .residual = true, .relu = true, .accumulate = true},
      {.members = 10, .rows = 5, .channels = 40, .relu = true, .member_parameters = true},
      {.members = 1, .rows = 1500, .channels = 16, .residual = true, .relu = true},
      {.members = 3, .rows = 333, .channels = 7, .residual = true},
      {.members = 10, .rows = 9, .channels = 131, .relu = true},  // a slab of more than half a block
      {.members = 3, .rows = 40, .channels = 264, .relu = true, .accumulate = true},
      {.members = 10, .rows = 300, .channels = 24, .residual = true, .relu = true, .member_parameters = true},
      {.members = 2, .rows = 90, .channels = 1000, .residual = true},
      {.members = 1, .rows = 70, .channels = 160, .residual = true, .relu = true, .batch_statistics = false},
      {.members = 10, .rows = 130, .channels = 8, .member_parameters = true, .batch_statistics = false},
      {.members = 3, .rows = 130, .channels = 5, .pooled = true},
  };
}

}  // namespace

TEMPLATE_TEST_CASE("batch norm with one block an item is the CPU's, whatever the order of threads", "", float, bfloat16,
                   half) {
  for (const auto& c : cases()) check_case<TestType>(c, dear_barriers, Room::ample);
}

TEMPLATE_TEST_CASE("batch norm resident over groups of blocks is the CPU's, whatever the order of threads", "", float,
                   bfloat16, half) {
  for (const auto& c : cases()) check_case<TestType>(c, free_barriers, Room::ample);
}

TEMPLATE_TEST_CASE("batch norm in two sweeps is the CPU's, whatever the order of threads", "", float, bfloat16, half) {
  for (const auto& c : cases())
    for (const auto& tuning : {free_barriers, dear_barriers}) check_case<TestType>(c, tuning, Room::one_step);
}

TEST_CASE("the cases reach every regime, vectors and scalars, several items a group, and slabs with idle columns") {
  std::set<std::tuple<BatchNormRegime, bool>> forward, backward;
  bool several_items = false, idle_columns = false, shorter_last_chunk = false;
  bool unrolled = false;
  for (const auto& [tuning, room] : configurations)
    for (const auto& c : cases()) {
      const BatchNormOperands<bfloat16> o(c);
      const auto [plan, backward_plan] = BatchNormPlans(o, tuning, room);
      const auto& t = plan.tiling;
      forward.insert({plan.regime, o.vector() == 1});
      backward.insert({backward_plan.regime, o.vector() == 1});
      several_items = several_items || (t.groups < t.items() && t.group > 1);
      idle_columns = idle_columns || t.channels % t.width() != 0;
      shorter_last_chunk = shorter_last_chunk || (t.group > 1 && t.rows % t.chunk != 0);
      unrolled = unrolled || (o.vector() > 1 && t.chunk > (t.resident + 5) * t.pass());
    }
  for (const auto regime : {BatchNormRegime::block, BatchNormRegime::group, BatchNormRegime::two_sweeps})
    for (const bool scalar : {false, true}) {
      CAPTURE(int(regime), scalar);
      CHECK(forward.contains({regime, scalar}));
      CHECK(backward.contains({regime, scalar}));
    }
  CHECK(several_items);
  CHECK(idle_columns);
  CHECK(shorter_last_chunk);
  CHECK(unrolled);
}

TEST_CASE("the variance keeps its digits under a large mean") {
  for (const auto& [tuning, room] : configurations) {
    BatchNormOperands<float> o({.members = 2, .rows = 3000, .channels = 8, .mean = 1e3f, .deviation = 1e-2f});
    run_forward(o, BatchNormPlans(o, tuning, room).forward, roomy, 1);
    const auto moments = batch_moments(tensor_of<double>(o.x, {2, 3000, 8}));
    for (int i = 0; i < 16; ++i) {
      const double variance = 1 / (double(o.inverse_deviation[i]) * o.inverse_deviation[i]) - 1e-5;
      CHECK(variance == Approx(moments.variance.data()[i]).epsilon(1e-3));
      CHECK(o.mean[i] == Approx(moments.mean.data()[i]).epsilon(2 * float_epsilon));
    }
  }
}

TEST_CASE("batch norm leaves out what is not wanted") {
  BatchNormOperands<float> o({.members = 3, .rows = 60, .channels = 16, .residual = true, .relu = true});
  const auto forward = forward_plan(o, roomy, free_barriers), backward = backward_plan(o, roomy, free_barriers);
  BatchNormOperands<float> full = o;
  run_forward(full, forward, roomy, 1);
  run_backward(full, backward, roomy, 1);

  Workspace workspace(forward, 0);
  auto p = forward_parameters(o, forward, workspace);
  p.y = nullptr;
  p.running_mean = p.running_variance = nullptr;
  const auto running_mean = o.running_mean;
  launch(p, launch_options(forward, roomy, 2));
  CHECK(o.scale == full.scale);
  CHECK(o.shift == full.shift);
  CHECK(o.running_mean == running_mean);
  CHECK(std::isnan(float(o.y[0])));

  Workspace sums(backward, 2 * o.statistics);
  auto q = backward_parameters(o, backward, sums);
  q.dgamma = q.dbeta = nullptr;
  q.dresidual = nullptr;
  launch(q, launch_options(backward, roomy, 2));
  CHECK(o.dx == full.dx);
  q = backward_parameters(o, backward, sums);
  q.dx = nullptr;
  launch(q, launch_options(backward, roomy, 3));
  CHECK(o.dgamma == full.dgamma);
  CHECK(o.dbeta == full.dbeta);
  CHECK(o.dresidual == full.dresidual);
}

TEST_CASE("one workspace serves launch after launch") {
  BatchNormOperands<bfloat16> first({.members = 3, .rows = 400, .channels = 16, .relu = true});
  const auto forward = forward_plan(first, roomy, free_barriers), backward = backward_plan(first, roomy, free_barriers);
  REQUIRE(forward.tiling.group > 1);
  Workspace sums(forward, 0), gradients(backward, 2 * first.statistics);
  std::vector<std::byte> expected;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    BatchNormOperands<bfloat16> o = first;
    launch(forward_parameters(o, forward, sums), launch_options(forward, roomy, seed));
    launch(backward_parameters(o, backward, gradients), launch_options(backward, roomy, seed));
    if (seed == 0) expected = all_bits(o);
    CHECK((all_bits(o) == expected));
  }
}

TEST_CASE("momentum 1 begins the running statistics anew, in rows of any stride") {
  BatchNormOperands<float> o({.members = 3, .rows = 50, .channels = 5});
  const auto plan = forward_plan(o, roomy, {});
  constexpr int stride = 8;
  std::vector<float> running_mean(3 * stride, test::nan), running_variance(3 * stride, test::nan);
  Workspace workspace(plan, 0);
  auto p = forward_parameters(o, plan, workspace);
  p.running_mean = running_mean.data();
  p.running_variance = running_variance.data();
  p.mean_stride = p.variance_stride = stride;
  p.momentum = 1;
  launch(p, launch_options(plan, roomy, 1));
  for (int member = 0; member < 3; ++member)
    for (int c = 0; c < stride; ++c) {
      if (c >= 5) {
        CHECK(std::isnan(running_mean[member * stride + c]));
        continue;
      }
      const float inverse = o.inverse_deviation[member * 5 + c], variance = 1 / (inverse * inverse) - p.epsilon;
      CHECK(running_mean[member * stride + c] == o.mean[member * 5 + c]);
      CHECK(std::abs(running_variance[member * stride + c] - variance * 50 / 49) <= 10 * epsilon<float>() * variance);
    }
}
