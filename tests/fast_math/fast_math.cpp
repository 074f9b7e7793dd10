// lpw compiled with flags that promise the compiler sums of any order and no NaN (-ffast-math and its parts): functions
// keep their digits, and what is not a number is still found. Not a Catch2 program: it is compiled once for each set of
// flags, so it is to be small.
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/finite.hpp>
#include <lpw/cpu/base/transcendental.hpp>
#include <lpw/cpu/softmax.hpp>
#include <lpw/io/finite.hpp>
#include <lpw/metrics/likelihood.hpp>
#include <lpw/optim/sgd.hpp>

using namespace lpw;

namespace {

int failures = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

template <class E, class F>
void check_throws(F&& f, const char* what) {
  try {
    f();
  } catch (const E&) {
    return;
  }
  check(false, what);
}

// By bits and behind a volatile: the compiler is to know nothing of what these are.
[[nodiscard]] float number(std::uint32_t bits) {
  volatile std::uint32_t hidden = bits;
  return std::bit_cast<float>(std::uint32_t(hidden));
}
[[nodiscard]] float nan() { return number(0x7fc00000u); }
[[nodiscard]] float negative_nan() { return number(0xffc00000u); }
[[nodiscard]] float infinity() { return number(0x7f800000u); }
[[nodiscard]] bool bits_of_nan(float x) { return (std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) > 0x7f800000u; }

/// Largest relative error of a float function, in a loop that is vectorised, against its double overload.
template <class F>
[[nodiscard]] double worst_error(F f, float first, float last) {
  std::array<float, 4096> x, y;
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = first + (last - first) * static_cast<float>(i) / static_cast<float>(x.size());
#pragma omp simd
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (bits_of_nan(y[i])) return 1;  // which a comparison, compiled with these flags, need not find
    const double expected = f(static_cast<double>(x[i])),
                 error = std::abs(static_cast<double>(y[i]) - expected) / std::abs(expected);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

void check_functions() {
  const auto decay = [](auto x) { return exp_of_negative(x); };
  const auto logistic = [](auto x) { return sigmoid(x); };
  const auto tangent = [](auto x) { return hyperbolic_tangent(x); };
  // A few roundings, a reciprocal by approximation and one Newton step among them.
  check(worst_error(decay, -86.f, -1e-3f) < 8 * epsilon<float>(), "exp of negative numbers");
  check(worst_error(logistic, -80.f, 80.f) < 8 * epsilon<float>(), "sigmoid");
  check(worst_error(tangent, -12.f, -1e-6f) < 8 * epsilon<float>(), "tanh");
  check(worst_error(tangent, 1e-4f, 0.1f) < 8 * epsilon<float>(), "tanh near 0");
  check(worst_error([](auto x) { return exponential(x); }, -87.f, 88.7f) < 8 * epsilon<float>(), "exp");
  check(worst_error([](auto x) { return logarithm(x); }, 1.01f, 1e30f) < 8 * epsilon<float>(), "log");
  // (Below -12.7 it is no normal number, and such a program has no others.)
  check(worst_error([](auto x) { return normal_distribution(x); }, -12.5f, 13.f) < 8 * epsilon<float>(), "Phi");
  for (const float x : {nan(), negative_nan()}) {
    check(bits_of_nan(exp_of_negative(x)) && bits_of_nan(sigmoid(x)) && bits_of_nan(hyperbolic_tangent(x)) &&
              bits_of_nan(exponential(x)) && bits_of_nan(logarithm(x)) && bits_of_nan(normal_distribution(x)),
          "functions keep NaN");
    check(bits_of_nan(float(bfloat16(x))) && bits_of_nan(float(half(x))), "narrow types keep NaN");
    check(bits_of_nan(rectified(x)) && is_nan(x) && !is_finite(x), "NaN is NaN");
  }
  check(!is_finite(infinity()) && !is_finite(-infinity()) && !is_nan(infinity()) && is_finite(3e38f),
        "infinity is infinite");
  check(bfloat16(1.00390625f).bits == 0x3f80 && bfloat16(1.01171875f).bits == 0x3f82, "bfloat16 rounds to even");
  check(half(1e-7f).bits == 2 && half(65520.f).bits == 0x7c00 && half(2049.f).bits == half(2048.f).bits,
        "half rounds to even");
}

[[nodiscard]] Tensor<float, Cpu> filled(const Shape& shape, float first) {
  Tensor<float, Cpu> x(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = first + 0.37f * static_cast<float>(i % 11) - 1.5f;
  return x;
}

void check_operations() {
  auto x = filled({1, 8, 16}, 0.f);
  x.data()[3] = nan(), x.data()[20] = negative_nan();
  const auto y = relu_forward(x);
  check(bits_of_nan(y.data()[3]) && bits_of_nan(y.data()[20]) && y.data()[0] == 0.f, "relu keeps NaN");
  const auto pooled = max_pool2d_forward(x.reshaped({1, 1, 8, 16, 1}), {.kernel_size = 2});
  check(bits_of_nan(pooled.y.data()[1]) && bits_of_nan(pooled.y.data()[2]), "NaN wins in max pooling");
  check_throws<NonFinite>([&] { static_cast<void>(softmax_rows(x.reshaped({8, 16}))); }, "softmax of NaN throws");
  const auto labels = full<std::int32_t, Cpu>({8}, 1);
  check_throws<NonFinite>(
      [&] {
        static_cast<void>(metrics::log_likelihoods(x.reshaped({8, 16}), labels));
      },
      "likelihood of NaN throws");
  const auto loss = cross_entropy_forward(x, labels.reshaped({1, 8}), 0);
  check(bits_of_nan(loss.loss.data()[0]), "the loss of NaN is NaN");
}

/// The gradient passes exactly where the forward's result was positive, and a constant beside a large mean is
/// normalised to 0.
void check_batch_norm() {
  const std::int64_t rows = 200, channels = 19;
  const auto gamma = full<float, Cpu>({1, channels}, 1.f), beta = full<float, Cpu>({1, channels}, 0.125f);
  for (const float mean : {0.f, 1e3f}) {
    const auto x = filled({1, rows, channels}, mean), dy = full<float, Cpu>({1, rows, channels}, 1.f);
    const auto residual = filled({1, rows, channels}, 0.5f);
    const auto by = make_normalizer(batch_moments(x), gamma, beta, 1e-5);
    for (const bool with_residual : {false, true}) {
      const auto y = normalize(x, by, with_residual ? residual : Tensor<float, Cpu>(), true);
      // With constant moments dx = scale where the mask is open, else 0.
      Gradient<float, Cpu> dx{Tensor<float, Cpu>(x.shape()), false}, dresidual{Tensor<float, Cpu>(x.shape()), false};
      batch_norm_backward<float>({x, by, with_residual ? residual : Tensor<float, Cpu>(), true, false}, dy, nullptr,
                                 nullptr, &dx, with_residual ? &dresidual : nullptr);
      int wrong = 0;
      for (std::int64_t i = 0; i < x.size(); ++i) wrong += (y.data()[i] > 0.f) != (dx.tensor.data()[i] != 0.f);
      check(wrong == 0, "batch norm's mask is the forward's");
    }
  }
  const auto constant = full<float, Cpu>({1, rows, channels}, 100.1f);
  const auto y = normalize(constant, make_normalizer(batch_moments(constant), gamma, beta, 1e-5), {}, false);
  check(y.data()[0] == 0.125f && y.data()[y.size() - 1] == 0.125f, "a constant channel is beta");
}

struct Layer {
  using value_type = float;
  using device_type = Cpu;
  nn::Parameter<float, Cpu> weight{zeros<float, Cpu>({1, 3})};
  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }
};

void check_options() {
  Layer layer;
  const double bad = static_cast<double>(nan());
  check_throws<OptionError>([&] { optim::Sgd(layer, {.learning_rate = bad}); }, "a learning rate of NaN throws");
  check_throws<OptionError>([&] { optim::Sgd(layer, {.momentum = bad}); }, "a momentum of NaN throws");
}

/// What the documents tell a loop of one's own to call, and what reads files.
void check_guards() {
  for (const float bad : {nan(), negative_nan(), infinity()}) {
    Tape tape;
    check_throws<NonFinite>([&] { require_finite(tape.input(full<float, Cpu>({2}, bad))); }, "a bad loss is found");
    Layer layer;
    nn::require_finite(layer);
    layer.weight.value().data()[2] = bad;
    check_throws<NonFinite>([&] { nn::require_finite(layer); }, "a bad weight is found");
    io::NamedTensors tensors("file");
    tensors.add("weight", layer.weight.value());
    check_throws<FileError>([&] { io::require_finite(*tensors.begin(), "file"); }, "a bad weight in a file is found");
  }
}

void check_clipping() {
  auto gradient = full<float, Cpu>({1, 4}, 2.f);
  const auto factor = [&] {
    return clip_factor(ScaledGradient<float, Cpu>{gradient, 1}, ScaledGradient<float, Cpu>{gradient, 0}, 1).data()[0];
  };
  const float of_four = factor();
  check(of_four > 0.249f && of_four < 0.25f, "a norm of 4 is clipped to 1");
  gradient.data()[1] = nan();
  check(bits_of_nan(factor()), "gradients of NaN are not clipped to numbers");
}

}  // namespace

int main() {
  check_functions();
  check_operations();
  check_batch_norm();
  check_options();
  check_guards();
  check_clipping();
  return failures ? 1 : 0;
}
