// A convolution layer with each kind of late-phase weight that release gives it: gradients, and what collapse leaves.
#pragma once

#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>

#include "support/layer_gradients.hpp"

namespace lpw::test {

/// Holds the gradients of make()'s layer for x [B, ...] against finite differences, plain, and with K rows of all
/// weights, of the bias if it has one, with rank-1 factors, and with deviations. Collapsed from one member it computes
/// what it did.
template <class Make>
void check_released_layers(Make&& make, const Shape& x, bool has_bias) {
  {
    auto plain = make();
    check_layer(plain, x, all_members);
  }
  std::vector<std::string> kinds{"all", "rank1", "additive"};
  if (has_bias) kinds.insert(kinds.end(), {"bias", "rank1,bias"});
  for (const std::string& late : kinds) {
    INFO("late " << late);
    auto layer = make();
    release(layer, {.members = layer_members, .late = Selectors::parse(late), .sigma = 0.5});
    check_layer(layer, x, all_members);
    check_layer(layer, x, last_two);
  }
  for (const std::string& late : kinds) {
    INFO("collapse of late " << late);
    auto layer = make();
    release(layer, {.members = 1, .late = Selectors::parse(late)});
    std::uint32_t key = 40;
    nn::for_each_parameter(layer, [&](const std::string&, auto& parameter) {
      copy(random_tensor<double>(parameter.value().shape(), key++), parameter.value());
    });
    const Tape tape = Tape::evaluation();
    const auto in = tape.input(random_tensor<double>(x.prepend(1), 9));
    const auto before = clone(layer.forward(in).value());
    collapse(layer);
    // sums of some hundred products of three numbers below 1, the factors multiplied in first
    CHECK(largest_difference(layer.forward(in).value(), before) <= 100 * epsilon<double>());
  }
}

}  // namespace lpw::test
