// What the tests of recurrent layers on the GPU share: operands of a step and of a window.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <ostream>
#include <vector>

#include <lpw/autograd/recurrent.hpp>

#include "cuda/operands.hpp"

namespace lpw::test {

/// Parts of a window, whose members lie `gap` elements further apart than they are long.
template <class T>
[[nodiscard]] Tensor<T, Cpu> apart(const Shape& shape, std::int64_t gap, std::uint32_t key) {
  auto store = full<T, Cpu>({shape[0], shape.size_from(1) + gap}, T(77.f));
  auto view = store.columns(0, shape.slice(1, 3));
  copy(random_tensor<T>(shape, key), view);
  return view;
}

/// The sizes of a step with so many gates, and its parameters.
struct CellSizes {
  std::int64_t members, rows, units, gap;
  ParameterKind kind;
  bool factors;

  [[nodiscard]] Shape state() const { return {members, rows, units}; }
  [[nodiscard]] Tensor<float, Cpu> parameter(std::int64_t columns, std::uint32_t key) const {
    return kind.make(members, columns, key);
  }
  [[nodiscard]] Tensor<float, Cpu> factor(std::int64_t columns, std::uint32_t key) const {
    return factors ? parameter(columns, key) : Tensor<float, Cpu>();
  }
  /// Of what goes into the recurrent products and comes out of them.
  [[nodiscard]] std::int64_t columns() const { return gap == 8 ? (units + 7) / 8 * 8 : units; }
  /// [K, B, H] in so many columns, zeros past H.
  template <class V>
  [[nodiscard]] Tensor<V, Cpu> in_columns(const Tensor<V, Cpu>& tensor) const {
    auto result = zeros<V, Cpu>(state().with(2, columns()));
    auto view = result.reshaped({members * rows, columns()}).columns(0, {units});
    copy(tensor.reshaped({members * rows, units}), view);
    return result;
  }
};

/// Values of up to 5 from some twenty roundings, exp and tanh among them, rounded to T twice on their way.
template <class T>
constexpr double cell_tolerance = 40 * epsilon<float>() + 2 * epsilon<T>();

/// Calls body(step) for units that fill vectors of 4 or do not, members that begin where these may or do not, and all
/// forms of parameters.
template <class Step, class Body>
void for_each_cell(const Body& body) {
  for (const std::int64_t members : {1, 3})
    for (const std::int64_t units : {1, 5, 16, 36})
      for (const std::int64_t gap : {8, 5})
        for (const ParameterKind& kind : parameter_kinds)
          for (const bool factors : {false, true}) {
            const std::int64_t rows = 50 / units + 1;
            INFO("members " << members << " rows " << rows << " units " << units << " gap " << gap << ' ' << kind
                            << " factors " << factors);
            body(Step{{members, rows, units, gap, kind, factors}});
          }
}

/// A window, and how many rows each kind of parameter has; 0: without factors.
struct WindowCase {
  std::int64_t members, hidden, weight_rows = 1, bias_rows = 1, ih_rows = 0, hh_rows = 0;
  static constexpr std::int64_t steps = 7, batch = 5, inputs = 9;

  [[nodiscard]] Shape x() const { return {members, steps, batch, inputs}; }
  [[nodiscard]] Shape state() const { return {members, batch, hidden}; }
};

inline std::ostream& operator<<(std::ostream& out, const WindowCase& w) {
  return out << "members " << w.members << " units " << w.hidden << " rows of weights " << w.weight_rows << ", biases "
             << w.bias_rows << ", factors " << w.ih_rows << " and " << w.hh_rows;
}

/// Puts numbers that are the same in every type on a device, and remembers their gradients. T: what the network under
/// test computes in.
template <class T, class D>
struct WindowOperands {
  Tape tape = Tape();
  std::uint32_t key = 100;
  std::vector<std::function<std::vector<double>()>> gradients = {};

  /// Rows of a parameter lie in a wider store, as late-phase weights do.
  template <class V>
  [[nodiscard]] Variable<V, D> leaf(const Shape& shape, V, double size = 1) {
    const bool strided = shape.rank() < 4 && shape[0] > 1;
    auto values = random_parameter<V>(shape, strided, 0), zero = random_parameter<V>(shape, strided, 0);
    const auto draws = random_tensor<double>(shape, key++);
    for (std::int64_t k = 0, i = 0; k < shape[0]; ++k)
      for (std::int64_t j = 0; j < shape.size_from(1); ++j)
        values.row(k)[j] = V(double(T(float(size * draws.data()[i++]))));
    fill(zero, V(0.f));
    const auto gradient = there(zero);
    gradients.push_back([gradient] { return values_of(to_host(gradient)); });
    return tape.leaf(there(values), gradient);
  }
  template <class W>
  [[nodiscard]] RecurrentMatrix<W, D> matrix(const WindowCase& w, std::int64_t gates, std::int64_t columns,
                                             std::int64_t factor_rows, W) {
    const std::int64_t outputs = gates * w.hidden;
    auto weight = leaf({w.weight_rows, outputs, columns}, W(), 0.3);  // sums of some ten terms then stay below 2
    RecurrentMatrix<W, D> result{weight, leaf({w.bias_rows, outputs}, W())};
    if (factor_rows > 0) {
      auto output = leaf({factor_rows, outputs}, W());
      result.factors = RankOneFactors<W, D>{output, leaf({factor_rows, columns}, W())};
    }
    return result;
  }

 private:
  template <class V>
  [[nodiscard]] static Tensor<V, D> there(const Tensor<V, Cpu>& host) {
    if constexpr (std::is_same_v<D, Cpu>) {
      return host;
    } else {
      return on_device(host);
    }
  }
};

/// Whether results(case, type, device) on the GPU in T are those of double on the CPU, for windows of each kind of
/// parameters.
template <class T, class Results>
void check_windows(const Results& results) {
  for (const WindowCase& w :
       {WindowCase{.members = 1, .hidden = 17}, WindowCase{.members = 3, .hidden = 16, .ih_rows = 3, .hh_rows = 3},
        WindowCase{.members = 2, .hidden = 17, .bias_rows = 2, .ih_rows = 1, .hh_rows = 1},
        WindowCase{.members = 2, .hidden = 8, .weight_rows = 2, .bias_rows = 2, .ih_rows = 2},
        WindowCase{.members = 2, .hidden = 8, .weight_rows = 2, .hh_rows = 2}}) {
    INFO(w);
    const auto expected = results(w, double(), Cpu()), found = results(w, T(0.f), Cuda());
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      INFO("result " << i);
      // Some ten roundings in each of seven steps, or sums of 70 terms in float, which add up as their square root.
      CHECK(relative_difference(found[i], expected[i]) <= std::sqrt(70.0) * epsilon<T>());
    }
  }
}

}  // namespace lpw::test
