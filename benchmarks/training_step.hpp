// The training steps that are timed, as the trainer does them: forward, backward and optimizer, recorded and replayed
// where the device can; and the evaluation of the plain network that is left after collapse.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/catalogue.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/tensor/replay.hpp>

#include "measure.hpp"
#include "step_options.hpp"

namespace benchmarks {

/// Of a Wide ResNet; nothing for other networks. Throws OptionError where there is none of the
/// name.
[[nodiscard]] inline std::optional<lpw::nn::WideResNetOptions> wide_resnet_options(const std::string& model) {
  const auto options = lpw::models::options_of(model);
  const auto* wide = std::get_if<lpw::nn::WideResNetOptions>(&options);
  return wide ? std::optional(*wide) : std::nullopt;
}

/// Throws OptionError where there is none of the name.
template <class T, class D>
[[nodiscard]] lpw::nn::ImageNetwork<T, D> image_network(const std::string& model) {
  return lpw::models::make<T, D>(model, {.classes = classes_of(model)}, lpw::Philox(1));
}

/// A network of the catalogue on images of the size that it is for, where there is more than one member with late-phase
/// batch norm and head, or what the shape says.
template <class T, class D>
class ImageNetworkStep {
 public:
  explicit ImageNetworkStep(const StepShape& shape)
      : chunk_(shape.chunk),
        network_(image_network<T, D>(shape.model)),
        optimizer_(network_, {.learning_rate = 1e-3}),
        images_(random_tensor<T, D>({shape.members, shape.batch, side_of(shape.model), side_of(shape.model), 3})),
        labels_(random_labels<D>({shape.members, shape.batch}, classes_of(shape.model))),
        losses_(lpw::zeros<lpw::Accumulate<T>, D>({shape.members})) {
    if (shape.members == 1) return;
    lpw::ReleaseOptions release{.members = shape.members};
    if (!shape.late.empty()) release.late = lpw::Selectors::parse(shape.late);
    lpw::release(network_, optimizer_, release);
  }

  void run() {
    optimizer_.advance();
    replay_.run("step", 0, [&](std::uint32_t) {
      for (const auto range : lpw::member_chunks(images_.dim(0), chunk_)) accumulate_gradient(range);
      optimizer_.apply();
    });
  }

  /// Each member's loss in the last step.
  [[nodiscard]] lpw::Tensor<lpw::Accumulate<T>, lpw::Cpu> losses() const { return to_host(losses_); }

 private:
  void accumulate_gradient(lpw::MemberRange range) {
    lpw::Tape tape({.members = range});
    const auto logits = network_.forward(tape.input(images_.rows(range.first, range.count)));
    const auto loss = lpw::cross_entropy(logits, labels_.rows(range.first, range.count));
    auto losses = losses_.rows(range.first, range.count);
    copy(loss.value(), losses);
    tape.backward(loss);
  }

  std::int64_t chunk_;
  lpw::nn::ImageNetwork<T, D> network_;
  lpw::optim::Sgd<lpw::Accumulate<T>, D> optimizer_;
  lpw::Tensor<T, D> images_;
  lpw::Tensor<std::int32_t, D> labels_;
  lpw::Tensor<lpw::Accumulate<T>, D> losses_;
  lpw::Replay<D> replay_;
};

/// The same network, plain: the forward pass over a batch in evaluation mode. Its layers have the shapes of a collapsed
/// network's, and other weights.
template <class T, class D>
class ImageNetworkEvaluation {
 public:
  explicit ImageNetworkEvaluation(const StepShape& shape)
      : network_(image_network<T, D>(network_of(shape.model))),
        images_(random_tensor<T, D>({1, shape.batch, side_of(shape.model), side_of(shape.model), 3})) {}

  void run() { logits_ = network_.forward(lpw::Tape::evaluation().input(images_)).value(); }

 private:
  lpw::nn::ImageNetwork<T, D> network_;
  lpw::Tensor<T, D> images_, logits_;
};

/// Bytes that backward needs of the forward of a Wide ResNet: the images, the raw input of every batch norm, and
/// nothing else.
[[nodiscard]] inline std::int64_t activation_floor(const lpw::nn::WideResNetOptions& network, const StepShape& shape,
                                                   std::int64_t element_bytes) {
  std::int64_t elements = shape.images_at_once() * 32 * 32 * (3 + 16);
  for (int group = 0; group < 3; ++group) {
    const std::int64_t size = 32 >> group, channels = (std::int64_t{16} << group) * network.widen;
    elements += (network.depth - 4) / 6 * 2 * shape.images_at_once() * size * size * channels;
  }
  return elements * element_bytes;
}

}  // namespace benchmarks
