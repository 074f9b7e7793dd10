// The catalogue of networks for images: what their names mean.
//   wrn-DEPTH-WIDEN             WideResNet, DEPTH = 6n + 4
//   hyper-wrn-DEPTH-WIDEN       the same made of templates
//   resnet18, ... densenet201   torchvision's, whose weights they take
//   resnet18-cifar, ...         the same with a stem for images of 32x32
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/models/image_network.hpp>
#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI::models {

/// What a network of some name is made for.
struct ImageFit {
  std::int64_t classes = 1000;   // outputs of the last layer
  std::int64_t in_channels = 3;  // of images
  double dropout = 0;            // within its blocks
};

namespace detail {

/// A network that has a name of its own.
struct Entry {
  const char* name;
  nn::ImageNetworkOptions options;
};

[[nodiscard]] inline const std::vector<Entry>& entries() {
  using nn::DenseNetOptions, nn::ResNetOptions;
  static const std::vector<Entry> list{
      {"resnet18", ResNetOptions{.blocks = {2, 2, 2, 2}}},
      {"resnet34", ResNetOptions{.blocks = {3, 4, 6, 3}}},
      {"resnet50", ResNetOptions{.blocks = {3, 4, 6, 3}, .bottleneck = true}},
      {"resnet101", ResNetOptions{.blocks = {3, 4, 23, 3}, .bottleneck = true}},
      {"resnet152", ResNetOptions{.blocks = {3, 8, 36, 3}, .bottleneck = true}},
      {"densenet121", DenseNetOptions{.blocks = {6, 12, 24, 16}}},
      {"densenet161", DenseNetOptions{.blocks = {6, 12, 36, 24}, .growth = 48, .width = 96}},
      {"densenet169", DenseNetOptions{.blocks = {6, 12, 32, 32}}},
      {"densenet201", DenseNetOptions{.blocks = {6, 12, 48, 32}}},
  };
  return list;
}

constexpr std::string_view of_templates = "hyper-", for_small_images = "-cifar";

/// Depth and width where `plain` is wrn-DEPTH-WIDEN, and nothing else.
[[nodiscard]] inline std::optional<nn::WideResNetOptions> wide_resnet(const std::string& plain) {
  int depth = 0, widen = 0;
  const bool found = std::sscanf(plain.c_str(), "wrn-%4d-%3d", &depth, &widen) == 2 && depth > 0 && widen > 0;
  if (!found || plain != to_text("wrn-", depth, '-', widen)) return std::nullopt;
  return nn::WideResNetOptions{.depth = depth, .widen = widen};
}

[[nodiscard]] inline std::optional<nn::ImageNetworkOptions> find(std::string name) {
  const bool templates = name.starts_with(of_templates);
  if (templates) name.erase(0, of_templates.size());
  if (auto wide = wide_resnet(name)) {
    wide->templates = templates;
    return *wide;
  }
  const bool small = name.ends_with(for_small_images);
  if (small) name.resize(name.size() - for_small_images.size());
  for (const Entry& entry : entries()) {
    if (templates || name != entry.name) continue;
    auto options = entry.options;
    if (auto* resnet = std::get_if<nn::ResNetOptions>(&options); resnet && small) resnet->stem = nn::Stem::small;
    if (auto* densenet = std::get_if<nn::DenseNetOptions>(&options); densenet && small)
      densenet->stem = nn::Stem::small;
    return options;
  }
  return std::nullopt;
}

}  // namespace detail

/// All names there are, as a list in a sentence.
[[nodiscard]] inline std::string names() {
  std::string list = "wrn-DEPTH-WIDEN (such as wrn-28-10), hyper-wrn-DEPTH-WIDEN";
  for (const auto& entry : detail::entries()) list += to_text(", ", entry.name);
  return list + ", or resnet and densenet with -cifar behind their names";
}

/// Whether a network of this name is made of templates.
[[nodiscard]] inline bool has_templates(std::string_view name) { return name.starts_with(detail::of_templates); }

/// The name of what is left of it after collapse.
[[nodiscard]] inline std::string plain_name(const std::string& name) {
  return has_templates(name) ? name.substr(detail::of_templates.size()) : name;
}

/// The options of the network of a name. Throws OptionError, with all names there are, for another one.
[[nodiscard]] inline nn::ImageNetworkOptions options_of(const std::string& name, const ImageFit& fit = {}) {
  auto options = detail::find(name);
  require<OptionError>(options.has_value(), "`model` ", name, ": there is none of this name; expected ", names());
  std::visit(
      [&](auto& o) {
        o.classes = fit.classes;
        o.in_channels = fit.in_channels;
        o.dropout = fit.dropout;
      },
      *options);
  return *options;
}

/// The network of a name, with weights drawn from `random`. Throws OptionError as options_of, and for what the network
/// refuses.
template <class T, class D>
[[nodiscard]] nn::ImageNetwork<T, D> make(const std::string& name, const ImageFit& fit, Philox random) {
  return {options_of(name, fit), random};
}

}  // namespace lpw::inline LPW_ABI::models
