// The training step of a byte-level LSTM (500 units, windows of 100) with rank-1 late-phase weights, and its matrix
// products alone.
#pragma once

#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/language_model.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/tensor/replay.hpp>

#include "training_step.hpp"

namespace benchmarks {

struct LanguageModelSize {
  static constexpr std::int64_t window = 100, hidden = 500, embedding = 128, vocabulary = 256;
};

/// As ImageNetworkStep; rank-1 factors where there is more than one member.
template <class T, class D>
class LanguageModelStep {
  using Size = LanguageModelSize;

 public:
  explicit LanguageModelStep(const StepShape& shape)
      : chunk_(shape.chunk),
        network_({.hidden = Size::hidden, .embedding = Size::embedding, .vocabulary = Size::vocabulary},
                 lpw::Philox(1)),
        optimizer_(network_, {}),
        text_(random_labels<D>({shape.members, Size::window, shape.batch}, Size::vocabulary)),
        states_(network_.start(shape.members, shape.batch)),
        losses_(lpw::zeros<lpw::Accumulate<T>, D>({shape.members})) {
    if (shape.members == 1) return;
    lpw::ReleaseOptions release{.members = shape.members, .late = lpw::Group::rank_one};
    if (!shape.late.empty()) release.late = lpw::Selectors::parse(shape.late);
    lpw::release(network_, optimizer_, release);
  }

  void run() {
    optimizer_.advance();
    replay_.run("step", 0, [&](std::uint32_t) {
      for (const auto range : lpw::member_chunks(text_.dim(0), chunk_)) accumulate_gradient(range);
      optimizer_.apply();
    });
  }

  /// Each member's loss in the last step.
  [[nodiscard]] lpw::Tensor<lpw::Accumulate<T>, lpw::Cpu> losses() const { return to_host(losses_); }

 private:
  void accumulate_gradient(lpw::MemberRange range) {
    lpw::Tape tape({.members = range});
    const auto text = text_.rows(range.first, range.count);
    const auto result = network_.forward(tape.input(text), lpw::nn::rows(states_, range.first, range.count));
    const auto loss = lpw::cross_entropy(result.logits, text.reshaped({range.count, text.dim(1) * text.dim(2)}));
    auto losses = losses_.rows(range.first, range.count);
    copy(loss.value(), losses);
    tape.backward(loss);
  }

  std::int64_t chunk_;
  lpw::nn::LanguageModel<T, D> network_;
  lpw::optim::Adam<lpw::Accumulate<T>, D> optimizer_;
  lpw::Tensor<std::int32_t, D> text_;
  typename lpw::nn::LanguageModel<T, D>::States states_;
  lpw::Tensor<lpw::Accumulate<T>, D> losses_;
  lpw::Replay<D> replay_;
};

/// The matrix products of that step, forward, backward to the data and to the weights, with the recurrent matrix
/// prepared and the others as they lie. The members' rows are in one product, as the shared weights allow.
template <class T>
class BareProducts {
  using Size = LanguageModelSize;
  using W = lpw::Accumulate<T>;

 public:
  explicit BareProducts(const StepShape& shape) {
    const std::int64_t step_rows = shape.images_at_once(), rows = Size::window * step_rows, gates = 4 * Size::hidden;
    add_layer(rows, Size::embedding, gates, 1);
    add_layer(rows, Size::hidden, Size::vocabulary, 1);
    add_layer(step_rows, Size::hidden, gates, Size::window);
    std::int64_t largest = 0;
    for (const Product& p : products_)
      largest = std::max({largest, p.rows * p.inner, p.inner * p.columns, p.rows * p.columns});
    a_ = random_tensor<T>({largest}, 0);
    b_ = random_tensor<T>({largest}, 1);
    c_ = random_tensor<W>({largest}, 2);
    weight_ = random_tensor<W>({gates * Size::hidden}, 1);
    h_ = random_tensor<T>({step_rows * gates}, 2);
  }
  void run() {
    for (const Product& p : products_) {
      const auto a = lpw::matrix<const T>(a_.data(), p.rows, p.inner);
      if (p.count > 1) {
        const lpw::RightMatrix<T> prepared(lpw::matrix<const W>(weight_.data(), p.inner, p.columns), p.rows);
        for (std::int64_t i = 0; i < p.count; ++i) prepared.multiply(a, lpw::matrix(h_.data(), p.rows, p.columns));
      } else {
        lpw::gemm(a, lpw::matrix<const T>(b_.data(), p.inner, p.columns), lpw::matrix(c_.data(), p.rows, p.columns));
      }
    }
  }

 private:
  struct Product {
    std::int64_t rows, inner, columns, count;
  };
  /// The gradient of a recurrent weight is one product over all steps.
  void add_layer(std::int64_t rows, std::int64_t in, std::int64_t out, std::int64_t steps) {
    products_.push_back({rows, in, out, steps});
    products_.push_back({rows, out, in, steps});
    products_.push_back({out, rows * steps, in, 1});
  }

  std::vector<Product> products_;
  lpw::Tensor<T, lpw::Cpu> a_, b_, h_;
  lpw::Tensor<W, lpw::Cpu> c_, weight_;
};

}  // namespace benchmarks
