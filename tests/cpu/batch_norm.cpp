#include <lpw/cpu/batch_norm.hpp>

#include "catch.hpp"
#include "support/random.hpp"
#include "support/sums.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

struct BatchNormCase {
  Shape x;            // [K, ..., C]
  std::int64_t rows;  // of gamma and beta
  bool strided = false;

  [[nodiscard]] std::int64_t members() const { return x[0]; }
  [[nodiscard]] std::int64_t channels() const { return x[-1]; }
  [[nodiscard]] Shape parameter() const { return {rows, channels()}; }
};

std::ostream& operator<<(std::ostream& out, const BatchNormCase& c) {
  return out << "x " << c.x << " parameter rows " << c.rows << (c.strided ? " strided" : "");
}

const BatchNormCase batch_norm_cases[] = {
    {.x = {1, 2, 1}, .rows = 1},
    {.x = {1, 7, 3, 2, 5}, .rows = 1},
    {.x = {3, 4, 2, 2, 3}, .rows = 1},
    {.x = {3, 4, 2, 2, 3}, .rows = 3, .strided = true},
    {.x = {2, 5, 20, 20, 17}, .rows = 2, .strided = true},  // several blocks of rows per member
};

/// Calls visit(index, column) for every element; `column` = k C + c names its member and channel.
template <class Visit>
void for_each_element(const BatchNormCase& c, Visit&& visit) {
  for (std::int64_t i = 0; i < c.x.size(); ++i) visit(i, i / c.x.size_from(1) * c.channels() + i % c.channels());
}

/// The row of a parameter, or of its gradient, that `column` belongs to, as an index into values_of().
std::int64_t parameter_index(const BatchNormCase& c, std::int64_t column) {
  return c.rows == 1 ? column % c.channels() : column;
}

template <class T>
struct Problem {
  using W = Accumulate<T>;
  Tensor<T, Cpu> x, residual, dy;
  Tensor<W, Cpu> gamma, beta;
  Normalizer<W, Cpu> by;

  explicit Problem(const BatchNormCase& c)
      : x(random_tensor<T>(c.x, 1)),
        residual(random_tensor<T>(c.x, 2)),
        dy(random_tensor<T>(c.x, 3)),
        gamma(random_parameter<W>(c.parameter(), c.strided, 4)),
        beta(random_parameter<W>(c.parameter(), c.strided, 5)),
        by(make_normalizer(batch_moments(x), gamma, beta, 1e-3)) {}

  /// What the forward rounds before ReLU and the conversion to T.
  [[nodiscard]] W before_relu(std::int64_t i, std::int64_t column, bool with_residual) const {
    const W z = std::fma(W(x.data()[i]) - by.mean.data()[column], by.scale.data()[column], by.shift.data()[column]);
    return with_residual ? z + W(residual.data()[i]) : z;
  }
};

/// Gradients by their formulas in double. The mask is the forward's own, and scale, mean and deviation are those it
/// saved.
template <class T>
struct PlainGradients {
  using W = Accumulate<T>;
  Expected dx, dresidual, dgamma, dbeta;

  PlainGradients(const BatchNormCase& c, const Problem<T>& p, bool relu, bool with_residual, bool batch_statistics,
                 const Gradient<T, Cpu>& x, const Gradient<T, Cpu>& residual, const Gradient<W, Cpu>& gamma,
                 const Gradient<W, Cpu>& beta)
      : dx(x.tensor, x.accumulate),
        dresidual(residual.tensor, residual.accumulate),
        dgamma(gamma.tensor, gamma.accumulate),
        dbeta(beta.tensor, beta.accumulate) {
    const std::int64_t columns = c.members() * c.channels();
    const double m = static_cast<double>(c.x.size() / columns);
    std::vector<double> sum(columns), product(columns), sum_size(columns), product_size(columns);
    const auto g_of = [&](std::int64_t i, std::int64_t column) {
      return relu && !(p.before_relu(i, column, with_residual) > W(0)) ? 0.0 : double(p.dy.data()[i]);
    };
    const auto centred = [&](std::int64_t i, std::int64_t column) {
      return double(p.x.data()[i]) - double(p.by.mean.data()[column]);
    };
    for_each_element(c, [&](auto i, auto column) {
      const double g = g_of(i, column), d = centred(i, column), inverse = p.by.inverse_deviation.data()[column];
      sum[column] += g;
      product[column] += g * d;
      sum_size[column] += std::abs(g);
      product_size[column] += std::abs(g * d);
      dresidual.add(i, g);
      dgamma.add(parameter_index(c, column), g * d * inverse);
      dbeta.add(parameter_index(c, column), g);
    });
    for_each_element(c, [&](auto i, auto column) {
      const double scale = p.by.scale.data()[column], inverse = p.by.inverse_deviation.data()[column],
                   slope = centred(i, column) * inverse * inverse / m;
      dx.add(i, scale * g_of(i, column));
      if (!batch_statistics) return;
      dx.sum[i] -= scale * (sum[column] / m + slope * product[column]);
      dx.magnitude[i] += std::abs(scale) * (sum_size[column] / m + std::abs(slope) * product_size[column]);
    });
    dx.terms = dbeta.terms = m + 4;
    dgamma.terms = 2 * m + 4;  // x - mean is rounded too
    dresidual.terms = 2;
  }
};

template <class T>
void check_backward(const BatchNormCase& c, bool relu, bool with_residual, bool batch_statistics, bool accumulate) {
  using W = Accumulate<T>;
  INFO("relu " << relu << " residual " << with_residual << " batch statistics " << batch_statistics << " accumulate "
               << accumulate);
  const Problem<T> p(c);
  Gradient<T, Cpu> dx{random_tensor<T>(c.x, 6), accumulate}, dresidual{random_tensor<T>(c.x, 7), accumulate};
  Gradient<W, Cpu> dgamma{random_parameter<W>(c.parameter(), c.strided, 8), accumulate};
  Gradient<W, Cpu> dbeta{random_parameter<W>(c.parameter(), c.strided, 9), accumulate};
  const PlainGradients<T> expected(c, p, relu, with_residual, batch_statistics, dx, dresidual, dgamma, dbeta);
  const BatchNormSaved<T, Cpu> saved{p.x, p.by, with_residual && relu ? p.residual : Tensor<T, Cpu>(), relu,
                                     batch_statistics};
  batch_norm_backward(saved, p.dy, &dgamma, &dbeta, &dx, with_residual && relu ? &dresidual : nullptr);
  CHECK(mismatch<T>(dx.tensor, expected.dx) == "");
  if (with_residual && relu) CHECK(mismatch<T>(dresidual.tensor, expected.dresidual) == "");
  CHECK(mismatch<W>(dgamma.tensor, expected.dgamma) == "");
  CHECK(mismatch<W>(dbeta.tensor, expected.dbeta) == "");
  CHECK(gaps_untouched(dgamma.tensor));
  CHECK(gaps_untouched(dbeta.tensor));
}

}  // namespace

TEMPLATE_TEST_CASE("batch moments are the mean and the biased variance", "[batch_norm]", float, double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const BatchNormCase& c : batch_norm_cases) {
    INFO(c);
    const auto x = random_tensor<TestType>(c.x, 1);
    const auto moments = batch_moments(x);
    const std::int64_t columns = c.members() * c.channels();
    const double m = static_cast<double>(c.x.size() / columns);
    Expected mean(columns), variance(columns);
    for_each_element(c, [&](auto i, auto column) { mean.add(column, double(x.data()[i]) / m); });
    for_each_element(c, [&](auto i, auto column) {
      const double d = double(x.data()[i]) - mean.sum[column];
      variance.add(column, d * d / m);
      variance.magnitude[column] += 4 / m;  // sums run over squares of differences from a first element, at most 2 away
    });
    for (auto& magnitude : mean.magnitude) magnitude += 2;
    mean.terms = variance.terms = m;
    CHECK(moments.mean.shape() == Shape{c.members(), c.channels()});
    CHECK(mismatch<W>(moments.mean, mean) == "");
    CHECK(mismatch<W>(moments.variance, variance) == "");
  }
}

TEMPLATE_TEST_CASE("a large mean costs batch norm no digits but those of the mean itself", "[batch_norm]", float,
                   bfloat16) {
  const std::int64_t rows = 64, channels = 19;
  const auto one = full<float, Cpu>({1, channels}, 1.5f), quarter = full<float, Cpu>({1, channels}, 0.25f);
  const double tolerance = epsilon<TestType>();
  for (const float mean : {0.f, 100.f, -1e3f, 1e5f})
    for (const bool constant : {true, false})
      for (const bool with_residual : {true, false}) {
        INFO("mean " << mean << " constant " << constant << " residual " << with_residual);
        auto x = random_tensor<TestType>({1, rows, channels}, 1);
        for (std::int64_t i = 0; i < x.size(); ++i)
          x.data()[i] = TestType(mean + (constant ? 0.f : float(x.data()[i])));
        const auto by = make_normalizer(batch_moments(x), one, quarter, 1e-5);
        const auto y =
            normalize(x, by, with_residual ? zeros<TestType, Cpu>(x.shape()) : Tensor<TestType, Cpu>(), false);
        int wrong = 0;
        for (std::int64_t c = 0; c < channels; ++c) {
          double exact = 0, square = 0;
          for (std::int64_t r = 0; r < rows; ++r) exact += double(x.data()[r * channels + c]) / double(rows);
          for (std::int64_t r = 0; r < rows; ++r)
            square += std::pow(double(x.data()[r * channels + c]) - exact, 2) / double(rows);
          const double scale = 1.5 / std::sqrt(square + 1e-5);
          for (std::int64_t r = 0; r < rows; ++r) {
            const double z = (double(x.data()[r * channels + c]) - exact) * scale;
            // The mean is rounded to float; its sum over 64 differences, which err at random, the scale and the result
            // to y's own size.
            const double allowed =
                epsilon<float>() / 2 * std::abs(mean) * scale + 8 * tolerance * (std::abs(z) + scale);
            wrong += !(std::abs(double(y.data()[r * channels + c]) - (z + 0.25)) <= (constant ? 0 : allowed));
          }
        }
        CHECK(wrong == 0);
      }
}

TEMPLATE_TEST_CASE("normalize applies the map, the residual and ReLU, and rounds the result", "[batch_norm]", float,
                   double, bfloat16) {
  using W = Accumulate<TestType>;
  for (const BatchNormCase& c : batch_norm_cases)
    for (const bool relu : {false, true})
      for (const bool with_residual : {false, true}) {
        INFO(c << " relu " << relu << " residual " << with_residual);
        const Problem<TestType> p(c);
        const auto y = normalize(p.x, p.by, with_residual ? p.residual : Tensor<TestType, Cpu>(), relu);
        std::int64_t wrong = 0;
        for_each_element(c, [&](auto i, auto column) {
          const W z = p.before_relu(i, column, with_residual);
          wrong += y.data()[i] != TestType(relu && z <= W(0) ? W(0) : z);
        });
        CHECK(wrong == 0);
      }
}

TEMPLATE_TEST_CASE("batch norm's gradients equal their formulas", "[batch_norm]", float, double, bfloat16) {
  for (const BatchNormCase& c : batch_norm_cases) {
    INFO(c);
    for (const bool relu : {false, true})
      for (const bool with_residual : {false, true})
        for (const bool batch_statistics : {false, true})
          for (const bool accumulate : {false, true})
            check_backward<TestType>(c, relu, with_residual, batch_statistics, accumulate);
  }
}

TEST_CASE("batch norm's gradients do not depend on which of them are wanted", "[batch_norm]") {
  const BatchNormCase c{.x = {2, 9, 5}, .rows = 1};
  const Problem<float> p(c);
  const BatchNormSaved<float, Cpu> saved{p.x, p.by, p.residual, true, true};
  const auto gradient = [](const Shape& shape) { return Gradient<float, Cpu>{random_tensor<float>(shape, 6), false}; };
  auto dx = gradient(c.x), dresidual = gradient(c.x), dgamma = gradient(c.parameter()), dbeta = gradient(c.parameter());
  batch_norm_backward<float>(saved, p.dy, &dgamma, &dbeta, &dx, &dresidual);
  auto alone = gradient(c.x), alone_residual = gradient(c.x), alone_gamma = gradient(c.parameter());
  batch_norm_backward<float>(saved, p.dy, nullptr, nullptr, &alone, nullptr);
  batch_norm_backward<float>(saved, p.dy, nullptr, nullptr, nullptr, &alone_residual);
  batch_norm_backward<float>(saved, p.dy, &alone_gamma, nullptr, nullptr, nullptr);
  CHECK(values_of(alone.tensor) == values_of(dx.tensor));
  CHECK(values_of(alone_residual.tensor) == values_of(dresidual.tensor));
  CHECK(values_of(alone_gamma.tensor) == values_of(dgamma.tensor));
}

TEST_CASE("update_running writes the rows of the statistics and nothing between them", "[batch_norm]") {
  const auto mean = random_parameter<float>({3, 5}, true, 1), variance = random_parameter<float>({3, 5}, true, 2);
  const auto old_mean = values_of(mean), old_variance = values_of(variance);
  const Moments<float, Cpu> batch{random_tensor<float>({3, 5}, 3), random_tensor<float>({3, 5}, 4)};
  update_running(mean, variance, batch, 10, 0.25);
  const auto new_mean = values_of(mean), new_variance = values_of(variance);
  for (std::size_t i = 0; i < 15; ++i) {  // three roundings of values below 2
    CHECK(std::abs(new_mean[i] - (0.75 * old_mean[i] + 0.25 * batch.mean.data()[i])) <= 6 * epsilon<float>());
    CHECK(std::abs(new_variance[i] - (0.75 * old_variance[i] + 0.25 * 10 / 9 * batch.variance.data()[i])) <=
          6 * epsilon<float>());
  }
  CHECK(gaps_untouched(mean));
  CHECK(gaps_untouched(variance));
}

TEST_CASE("a minibatch of one row has variance zero, biased and unbiased", "[batch_norm]") {
  const auto x = random_tensor<float>({2, 1, 3}, 1);
  const auto moments = batch_moments(x);
  CHECK(values_of(moments.mean) == values_of(x));
  CHECK(values_of(moments.variance) == std::vector<double>(6, 0));
  const auto mean = zeros<float, Cpu>({2, 3}), variance = full<float, Cpu>({2, 3}, 1.f);
  update_running(mean, variance, moments, 1, 0.5);
  CHECK(values_of(variance) == std::vector<double>(6, 0.5));
}

TEMPLATE_TEST_CASE("batch norm's primitives give the same bits on any number of threads", "[batch_norm]", float,
                   bfloat16) {
  const BatchNormCase c{.x = {2, 5, 40, 20, 17}, .rows = 1};
  CHECK(same_on_any_threads([&] {
    using W = Accumulate<TestType>;
    const Problem<TestType> p(c);
    Gradient<TestType, Cpu> dx{Tensor<TestType, Cpu>(c.x)}, dresidual{Tensor<TestType, Cpu>(c.x)};
    Gradient<W, Cpu> dgamma{Tensor<W, Cpu>(c.parameter())}, dbeta{Tensor<W, Cpu>(c.parameter())};
    batch_norm_backward<TestType>({p.x, p.by, p.residual, true, true}, p.dy, &dgamma, &dbeta, &dx, &dresidual);
    return std::vector{
        values_of(p.by.mean),   values_of(p.by.scale),       values_of(normalize(p.x, p.by, p.residual, true)),
        values_of(dx.tensor),   values_of(dresidual.tensor), values_of(dgamma.tensor),
        values_of(dbeta.tensor)};
  }));
}
