// One type for all networks that classify images, so that a program chooses among them when it runs, and what handles a
// whole network is compiled once.
#pragma once

#include <utility>
#include <variant>

#include <lpw/models/densenet.hpp>
#include <lpw/models/resnet.hpp>
#include <lpw/models/wide_resnet.hpp>

namespace lpw::inline LPW_ABI::nn {

/// Which of them, and how it is made.
using ImageNetworkOptions = std::variant<WideResNetOptions, ResNetOptions, DenseNetOptions>;

/// A WideResNet, ResNet or DenseNet, with its names of parameters.
template <class T, class D>
struct ImageNetwork {
  using value_type = T;
  using device_type = D;
  /// The networks that it can be.
  using Any = std::variant<WideResNet<T, D>, ResNet<T, D>, DenseNet<T, D>>;

  /// Throws OptionError for options that the network refuses.
  ImageNetwork(const ImageNetworkOptions& options, Philox random) : network(make(options, random)) {}

  /// Images [K, B, H, W, in_channels] -> logits [K, B, classes].
  [[nodiscard]] Variable<T, D> forward(const Variable<T, D>& images) {
    return std::visit([&](auto& one) { return one.forward(images); }, network);
  }

  /// Images [K, B, H, W, in_channels] -> what the head reads, [K, B, C].
  [[nodiscard]] Variable<T, D> features(const Variable<T, D>& images) {
    return std::visit([&](auto& one) { return one.features(images); }, network);
  }

  template <class F>
  void visit(F&& f) {
    std::visit([&](auto& one) { one.visit(f); }, network);
  }

  Any network;  // which of them it is

 private:
  static Any make(const ImageNetworkOptions& options, Philox random) {
    return std::visit(
        [&](const auto& o) -> Any {
          using Options = std::decay_t<decltype(o)>;
          if constexpr (std::is_same_v<Options, WideResNetOptions>) return WideResNet<T, D>(o, random);
          if constexpr (std::is_same_v<Options, ResNetOptions>) return ResNet<T, D>(o, random);
          if constexpr (std::is_same_v<Options, DenseNetOptions>) return DenseNet<T, D>(o, random);
        },
        options);
  }
};

}  // namespace lpw::inline LPW_ABI::nn
