#include <lpw/autograd/batch_norm.hpp>

#include "support/gradient_check.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

template <class W>
RunningStatistics<W, Cpu> random_statistics(std::int64_t members, std::int64_t channels) {
  RunningStatistics<W, Cpu> running{random_tensor<W>({members, channels}, 31),
                                    random_tensor<W>({members, channels}, 32)};
  for (std::int64_t i = 0; i < running.variance.size(); ++i)
    running.variance.data()[i] = std::abs(running.variance.data()[i]) + W(0.5);
  return running;
}

/// Per member and channel, in double by the definition: index k C + c.
struct Plain {
  std::vector<double> mean, variance, y;
};

Plain plain_batch_norm(const std::vector<double>& x, std::int64_t members, std::int64_t channels,
                       const std::vector<double>& gamma, const std::vector<double>& beta, double epsilon) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / (members * channels);
  Plain result{std::vector<double>(members * channels), std::vector<double>(members * channels),
               std::vector<double>(x.size())};
  for (std::int64_t k = 0; k < members; ++k)
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto at = [&](std::int64_t r) { return (k * rows + r) * channels + c; };
      double &mean = result.mean[k * channels + c], &variance = result.variance[k * channels + c];
      for (std::int64_t r = 0; r < rows; ++r) mean += x[at(r)] / static_cast<double>(rows);
      for (std::int64_t r = 0; r < rows; ++r)
        variance += (x[at(r)] - mean) * (x[at(r)] - mean) / static_cast<double>(rows);
      for (std::int64_t r = 0; r < rows; ++r)
        result.y[at(r)] =
            gamma[k * channels + c] * (x[at(r)] - mean) / std::sqrt(variance + epsilon) + beta[k * channels + c];
    }
  return result;
}

/// [1 or K, C] as K C values.
std::vector<double> per_member(const DoubleTensor& parameter, std::int64_t members) {
  std::vector<double> result;
  for (std::int64_t k = 0; k < members; ++k)
    result.insert(result.end(), member_row(parameter, k), member_row(parameter, k) + parameter.dim(1));
  return result;
}

constexpr Mode modes[] = {Mode::training, Mode::evaluation, Mode::statistics};

}  // namespace

// In these cases no pre-activation lies within the step, 6e-6, of ReLU's kink (see conv2d.cpp). epsilon is large, to be
// seen.
TEST_CASE("batch_norm: gradients", "[batch_norm]") {
  for (const std::int64_t members : {1, 3})
    for (const bool shared : {true, false})
      for (const bool relu : {false, true})
        for (const Mode mode : modes) {
          INFO("K=" << members << " shared " << shared << " relu " << relu << " mode " << static_cast<int>(mode));
          const Shape parameter{shared ? 1 : members, 3};
          const auto operation = [&](const auto& in) {
            return batch_norm(in[0], in[1], in[2], random_statistics<double>(members, 3),
                              {.epsilon = 0.1, .relu = relu});
          };
          expect_gradient("batch_norm", operation, random_inputs({{members, 4, 2, 2, 3}, parameter, parameter}),
                          {.mode = mode});
        }
}

TEST_CASE("batch_norm: gradients with gamma per member and beta shared", "[batch_norm]") {
  const auto operation = [](const auto& in) {
    return batch_norm(in[0], in[1], in[2], random_statistics<double>(3, 2), {.relu = true});
  };
  expect_gradient("batch_norm", operation, random_inputs({{3, 7, 2}, {3, 2}, {1, 2}}));
}

TEST_CASE("batch_norm_add: gradients", "[batch_norm]") {
  for (const std::int64_t members : {1, 3})
    for (const bool shared : {true, false})
      for (const bool relu : {false, true})
        for (const Mode mode : modes) {
          INFO("K=" << members << " shared " << shared << " relu " << relu << " mode " << static_cast<int>(mode));
          const Shape x{members, 4, 2, 2, 3}, parameter{shared ? 1 : members, 3};
          const auto operation = [&](const auto& in) {
            return batch_norm_add(in[0], in[1], in[2], in[3], random_statistics<double>(members, 3),
                                  {.epsilon = 0.1, .relu = relu});
          };
          expect_gradient("batch_norm_add", operation, random_inputs({x, x, parameter, parameter}), {.mode = mode});
        }
}

TEST_CASE("batch_norm_add: gradients of a variable that is used more than once", "[batch_norm]") {
  for (const bool relu : {false, true}) {
    INFO("relu " << relu);
    const auto same = [&](const auto& in) {
      return batch_norm_add(in[0], in[0], in[1], in[2], random_statistics<double>(2, 3), {.relu = relu});
    };
    expect_gradient("x is its own residual", same, random_inputs({{2, 6, 3}, {1, 3}, {2, 3}}));
    const auto twice = [&](const auto& in) {
      const auto y = batch_norm_add(in[0], in[1], in[2], in[3], random_statistics<double>(2, 3), {.relu = relu});
      return add(add(y, in[0]), in[1]);
    };
    expect_gradient("x and the residual are read again", twice, random_inputs({{2, 6, 3}, {2, 6, 3}, {1, 3}, {2, 3}}));
  }
}

TEST_CASE("batch_norm: values and running statistics of every member", "[batch_norm]") {
  const std::int64_t members = 3, channels = 5, rows = 4 * 3 * 2;
  const double eps = 1e-3, momentum = 0.3;
  for (const bool shared : {true, false}) {
    const auto values = random_inputs(
        {{members, 4, 3, 2, channels}, {shared ? 1 : members, channels}, {shared ? 1 : members, channels}});
    const Plain plain = plain_batch_norm(values_of(values[0]), members, channels, per_member(values[1], members),
                                         per_member(values[2], members), eps);
    const auto before = random_statistics<double>(members, channels),
               running = random_statistics<double>(members, channels);
    const Tape tape;
    const auto x = tape.input(values[0]), gamma = tape.input(values[1]), beta = tape.input(values[2]);
    const auto y = batch_norm(x, gamma, beta, running, {.epsilon = eps, .momentum = momentum}).value();
    CHECK(largest_difference(values_of(y), plain.y) <= 1e-12);  // some tens of roundings of 1e-16 each
    std::vector<double> mean, variance;
    for (std::size_t i = 0; i < plain.mean.size(); ++i) {
      mean.push_back((1 - momentum) * before.mean.data()[i] + momentum * plain.mean[i]);
      variance.push_back((1 - momentum) * before.variance.data()[i] +
                         momentum * plain.variance[i] * double(rows) / double(rows - 1));
    }
    CHECK(largest_difference(values_of(running.mean), mean) <= 1e-14);
    CHECK(largest_difference(values_of(running.variance), variance) <= 1e-14);
  }
}

TEST_CASE("batch_norm: evaluation uses the running statistics and leaves them", "[batch_norm]") {
  const std::int64_t members = 2, channels = 3;
  const auto values = random_inputs({{members, 5, channels}, {1, channels}, {members, channels}});
  const auto running = random_statistics<double>(members, channels);
  const auto mean = values_of(running.mean), variance = values_of(running.variance);
  const Tape tape = Tape::evaluation();
  const auto y =
      batch_norm(tape.input(values[0]), tape.input(values[1]), tape.input(values[2]), running, {.epsilon = 1e-3})
          .value();
  std::vector<double> expected = values_of(values[0]);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::size_t c = i % 3, k = i / 15;
    expected[i] = values[1].data()[c] * (expected[i] - mean[3 * k + c]) / std::sqrt(variance[3 * k + c] + 1e-3) +
                  values[2].row(k)[c];
  }
  CHECK(largest_difference(values_of(y), expected) <= 1e-14);
  CHECK(values_of(running.mean) == mean);
  CHECK(values_of(running.variance) == variance);
}

TEST_CASE("batch_norm: one value per channel is nothing to train on", "[batch_norm]") {
  const auto run = [](const Shape& shape, Mode mode) {
    const Tape tape({.record = false, .mode = mode});
    const auto gamma = tape.input(full<float, Cpu>({1, 3}, 1.f));
    const RunningStatistics<float, Cpu> running{zeros<float, Cpu>({2, 3}), full<float, Cpu>({2, 3}, 1.f)};
    const auto x = tape.input(random_tensor<float>(shape, 1));
    (void)batch_norm(x, gamma, gamma, running);
    (void)batch_norm_add(x, x, gamma, gamma, running);
  };
  for (const Shape& one : {Shape{2, 1, 3}, Shape{2, 1, 1, 1, 3}}) {
    CHECK_THROWS_AS(run(one, Mode::training), ShapeError);
    CHECK_NOTHROW(run(one, Mode::evaluation));
    CHECK_NOTHROW(run(one, Mode::statistics));  // weighted like any other sample
  }
  for (const Shape& more : {Shape{2, 2, 3}, Shape{2, 1, 2, 1, 3}}) CHECK_NOTHROW(run(more, Mode::training));
}

TEST_CASE("batch_norm: statistics passes pool to the moments of all values", "[batch_norm]") {
  const std::int64_t members = 2, channels = 3, passes = 4;
  const auto running = random_statistics<double>(members, channels);
  std::vector<double> mean(6, 0.0), variance(6, 0.0);
  double seen = 0, all = 8 + 9 + 10 + 1;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    const std::int64_t rows = pass < 3 ? 8 + pass : 1;
    const auto x = random_tensor<double>({members, rows, channels}, static_cast<std::uint32_t>(pass));
    seen += double(rows);
    const Tape tape({.record = false, .mode = Mode::statistics, .share = double(rows) / seen});
    const auto gamma = tape.input(full<double, Cpu>({1, channels}, 1.0));
    (void)batch_norm(tape.input(x), gamma, gamma, running, {.momentum = 0.9});
    const Plain plain = plain_batch_norm(values_of(x), members, channels, std::vector<double>(6, 1.0),
                                         std::vector<double>(6, 1.0), 1e-5);
    for (std::size_t i = 0; i < 6; ++i) {
      mean[i] += double(rows) / all * plain.mean[i];
      variance[i] += double(rows) / all * (plain.variance[i] + plain.mean[i] * plain.mean[i]);
    }
  }
  for (std::size_t i = 0; i < 6; ++i) variance[i] -= mean[i] * mean[i];
  CHECK(largest_difference(values_of(running.mean), mean) <= 1e-14);
  CHECK(largest_difference(values_of(running.variance), variance) <= 1e-14);
}

TEST_CASE("batch_norm_add: values", "[batch_norm]") {
  const auto values = random_inputs({{2, 6, 3}, {2, 6, 3}, {1, 3}, {2, 3}});
  for (const bool relu : {false, true})
    for (const Mode mode : modes) {
      const Tape tape({.record = false, .mode = mode});
      const auto x = tape.input(values[0]), residual = tape.input(values[1]), gamma = tape.input(values[2]),
                 beta = tape.input(values[3]);
      const auto running = random_statistics<double>(2, 3), other = random_statistics<double>(2, 3);
      const auto fused = batch_norm_add(x, residual, gamma, beta, running, {.relu = relu});
      const auto sum = add(batch_norm(x, gamma, beta, other), residual);
      CHECK(values_of(fused.value()) == values_of((relu ? lpw::relu(sum) : sum).value()));
      CHECK(values_of(running.mean) == values_of(other.mean));
      CHECK(values_of(running.variance) == values_of(other.variance));
    }
}

// Values 1000 +- 0.01 in float, spaced by 6e-5: the square of the mean is 1e10 times the variance, a sum of squares in
// float would be lost.
TEST_CASE("batch_norm: a large mean costs no digits of the variance", "[batch_norm]") {
  const std::int64_t channels = 3;
  Tensor<float, Cpu> x({2, 8192, channels});  // two blocks per member
  const Philox random(5, Stream::test);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(1e3 + 1e-2 * random.normal(i));
  const std::vector<double> ones(2 * channels, 1.0);
  const Plain plain = plain_batch_norm(values_of(x), 2, channels, ones, ones, 1e-5);
  const auto moments = batch_moments(x);
  for (std::size_t i = 0; i < ones.size(); ++i) {
    CHECK(std::abs(moments.mean.data()[i] - plain.mean[i]) <= 1e3 * epsilon<float>());
    CHECK(std::abs(moments.variance.data()[i] / plain.variance[i] - 1) <= 1e-3);
  }
}

TEST_CASE("batch_norm: the same bits on any number of threads", "[batch_norm]") {
  const std::int64_t members = 2, channels = 3;
  const Shape shape{members, 4, 48, 48, channels};  // two blocks of rows per member
  const auto results = [&] {
    Tape tape;
    const auto leaf = [&](const Shape& s, std::uint32_t key) {
      return std::pair{random_tensor<float>(s, key), zeros<float, Cpu>(s)};
    };
    const auto x = leaf(shape, 1), residual = leaf(shape, 2), gamma = leaf({1, channels}, 3),
               beta = leaf({members, channels}, 4);
    const auto on_tape = [&](const auto& pair) { return tape.leaf(pair.first, pair.second); };
    const auto running = random_statistics<float>(members, channels);
    const auto vx = on_tape(x), vr = on_tape(residual), vg = on_tape(gamma), vb = on_tape(beta);
    const auto y = batch_norm_add(batch_norm(vx, vg, vb, running, {.relu = true}), vr, vg, vb, running, {.relu = true});
    std::vector<std::vector<double>> values{values_of(y.value())};
    backward_of_sum(tape, scale_channels(y, tape.input(random_tensor<float>({members, channels}, 5))));
    for (const auto& tensor : {x.second, residual.second, gamma.second, beta.second, running.mean, running.variance})
      values.push_back(values_of(tensor));
    return values;
  };
  CHECK(same_on_any_threads(results));
}

TEST_CASE("batch_norm: shapes that do not fit", "[batch_norm]") {
  const Tape tape;
  const auto variable = [&](const Shape& shape) { return tape.input(zeros<float, Cpu>(shape)); };
  const auto x = variable({3, 8, 2, 2, 16});
  const auto running = random_statistics<float>(3, 16);
  CHECK_THROWS_WITH(batch_norm(x, variable({1, 16}), variable({1, 8}), running),
                    "batch_norm: x has 16 channels [3 8 2 2 16], gamma and beta are [K=1 C=16] and [K=1 C=8]");
  CHECK_THROWS_AS(batch_norm(x, variable({1, 8}), variable({1, 16}), running), ShapeError);
  CHECK_THROWS_AS(batch_norm(x, variable({16}), variable({16}), running), ShapeError);
  CHECK_THROWS_AS(batch_norm(x, variable({2, 16}), variable({1, 16}), running), ShapeError);
  CHECK_THROWS_WITH(batch_norm(x, variable({1, 16}), variable({1, 16}), random_statistics<float>(1, 16)),
                    "batch_norm: running statistics are [1 16], x has K=3 members and 16 channels");
  CHECK_THROWS_AS(batch_norm(x, variable({1, 16}), variable({1, 16}), random_statistics<float>(1, 16)), ShapeError);
  CHECK_THROWS_AS(batch_norm(variable({3, 16}), variable({1, 16}), variable({1, 16}), running), ShapeError);
  CHECK_THROWS_WITH(
      batch_norm(variable({3, 16}), variable({1, 16}), variable({1, 16}), running),
      "batch_norm: expected x [K B ... C], got [3 16]; K is the axis of the members, 1 for a plain network");
  // Of a network that was released with its head alone, too, every member has running statistics of its own.
  CHECK_THROWS_WITH(batch_norm(variable({1, 8, 2, 2, 16}), variable({1, 16}), variable({1, 16}), running),
                    "batch_norm: running mean has 3 member rows, the input is one minibatch [1 B ...]; pass [3 B ...], "
                    "a minibatch for each "
                    "member, or evaluate one member with Tape::evaluation({k, 1})");
  CHECK_THROWS_WITH(batch_norm_add(x, variable({3, 8, 2, 1, 16}), variable({1, 16}), variable({1, 16}), running),
                    "batch_norm_add: x [3 8 2 2 16], residual [3 8 2 1 16]");
  CHECK_THROWS_WITH(batch_norm(x, variable({1, 16}), variable({1, 16}), running, {.epsilon = -1}),
                    "batch_norm: epsilon -1; expected a number of 0 or more");
  CHECK_THROWS_WITH(batch_norm(x, variable({1, 16}), variable({1, 16}), running, {.momentum = 2}),
                    "batch_norm: momentum 2 is outside [0, 1]");
}
