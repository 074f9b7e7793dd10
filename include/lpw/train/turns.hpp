// Predictions that several processes make in turns, a minibatch each, and all get, in the order of minibatches: what is
// made of them is what one process makes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/tensor/tensor.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::train {

/// Calls add(probabilities [K, B, classes], labels [B]) with every minibatch's, on every process.
class Turns {
 public:
  /// Of a minibatch, [B, classes].
  using Probabilities = Tensor<double, Cpu>;
  /// Of a minibatch, [B].
  using Labels = Tensor<std::int32_t, Cpu>;

  /// The processes must outlive it.
  Turns(distributed::AnyCommunicator& processes, std::function<void(const Probabilities&, const Labels&)> add)
      : processes_(&processes), add_(std::move(add)) {}

  /// The next minibatch: predict() is called where it is this process' turn.
  template <class Predict>
  void take(const Labels& labels, Predict&& predict) {
    if (std::ssize(labels_) == processes_->rank()) own_ = predict();
    labels_.push_back(labels);
    if (std::ssize(labels_) == processes_->size()) exchange();
  }
  /// After the last.
  void finish() {
    if (!labels_.empty()) exchange();
  }

 private:
  void exchange() {
    std::array<std::int64_t, 2> form{};  // K and classes; process 0 has a minibatch in every round
    if (own_) form = {own_->dim(0), own_->dim(2)};
    processes_->broadcast(std::as_writable_bytes(std::span(form)), 0);
    std::int64_t samples = 0;
    for (const Labels& labels : labels_) samples += labels.size();
    std::vector<double> all(to_size(form[0] * samples * form[1]));
    const auto own = own_ ? std::span<const double>(own_->data(), to_size(own_->size())) : std::span<const double>();
    processes_->gather(std::as_bytes(own), std::as_writable_bytes(std::span(all)));
    const double* next = all.data();
    for (const Labels& labels : labels_) {
      Probabilities probabilities({form[0], labels.size(), form[1]});
      std::copy_n(next, probabilities.size(), probabilities.data());
      next += probabilities.size();
      add_(probabilities, labels);
    }
    labels_.clear();
    own_.reset();
  }

  distributed::AnyCommunicator* processes_;
  std::function<void(const Probabilities&, const Labels&)> add_;
  std::vector<Labels> labels_;  // of this round
  std::optional<Probabilities> own_;
};

}  // namespace lpw::inline LPW_ABI::train
