// Image classification as the trainer's task: minibatches, loss, and scores on the test set.
#pragma once

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/data/loader.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/train/scores.hpp>

namespace lpw::train {

/// Predictions [K, B] that hit their label: the largest logit, the first of equals.
template <class T>
[[nodiscard]] std::int64_t count_correct(const Tensor<T, Cpu>& logits, const Tensor<std::int32_t, Cpu>& labels) {
  const std::int64_t classes = logits.dim(2);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const T* row = logits.data() + i * classes;
    correct += std::max_element(row, row + classes) - row == labels.data()[i];
  }
  return correct;
}

struct ImageClassificationOptions {
  std::int64_t batch = 128;  // per member
  data::AugmentOptions augment = data::pad_crop_flip;
  double label_smoothing = 0;
  std::uint64_t seed = 0;
  std::int64_t test_batch = 250;
};

template <nn::Module Network>
class ImageClassification {
 public:
  using T = typename Network::value_type;
  using D = typename Network::device_type;
  using Batch = data::Batch<T>;

  /// The data set must outlive the task.
  ImageClassification(const data::Dataset& dataset, const ImageClassificationOptions& options)
      : options_(options),
        train_(dataset.train, dataset.normalization, {.batch = options.batch, .augment = options.augment, .seed = options.seed}),
        test_(dataset.test, dataset.normalization, data::evaluation(options.test_batch)) {}

  [[nodiscard]] static const char* metric() { return "accuracy"; }
  [[nodiscard]] std::int64_t batch() const { return options_.batch; }
  [[nodiscard]] std::int64_t samples() const { return train_.set().count; }
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const { return train_.iterations(members); }
  /// The minibatches of an epoch: every member has its own, and together they visit the training set once.
  [[nodiscard]] auto epoch(std::int64_t epoch, std::int64_t members, std::int64_t first_iteration) const {
    return train_.epoch(epoch, members, first_iteration);
  }
  [[nodiscard]] static std::int64_t samples_in(const Batch& batch) { return batch.labels.size(); }
  [[nodiscard]] static Tensor<T, D> inputs(const Batch& batch) { return to_device<D>(batch.images); }

  /// Forward and backward for the tape's members with their minibatches: adds the gradient of the sum of their losses.
  [[nodiscard]] StepResult accumulate_gradient(Network& network, Tape& tape, const Batch& batch) const {
    const MemberRange range = tape.options().members;
    const auto labels = to_device<D>(batch.labels.rows(range.first, range.count).reshaped({range.count, batch.labels.dim(1)}));
    auto logits = network.forward(tape.input(to_device<D>(batch.images.rows(range.first, range.count))));
    auto loss = cross_entropy(logits, labels, {.label_smoothing = options_.label_smoothing});
    StepResult result;
    const auto losses = to_host(loss.value());
    for (std::int64_t k = 0; k < range.count; ++k) result.losses.push_back(static_cast<double>(losses.data()[k]));
    result.correct = count_correct(to_host(logits.value()), to_host(labels));
    tape.backward(loss);
    return result;
  }

  /// Scores of the members of a network and of their ensemble on the test set.
  [[nodiscard]] MemberScores evaluate_members(Network& network) const {
    std::vector<metrics::Evaluator> members(nn::members(network));
    metrics::Evaluator ensemble;
    for (auto& [images, labels] : test_.epoch(0)) {
      const auto probabilities = predict_members(network, to_device<D>(images));
      const auto flat_labels = labels.reshaped({labels.size()});
      for (std::size_t k = 0; k < members.size(); ++k) {
        const auto member = probabilities.rows(static_cast<std::int64_t>(k), 1);
        members[k].add(member.reshaped(member.shape().slice(1, 3)), flat_labels);
      }
      ensemble.add(ensemble_of(probabilities), flat_labels);
    }
    MemberScores result;
    for (const auto& member : members) result.members.push_back(scores(member.result()));
    result.ensemble = scores(ensemble.result());
    return result;
  }

  /// Scores of a plain network.
  [[nodiscard]] Scores evaluate(Network& network) const { return evaluate_members(network).ensemble; }

 private:
  [[nodiscard]] static Scores scores(const metrics::Evaluation& e) { return {{"accuracy", e.accuracy}, {"nll", e.nll}, {"ece", e.ece}}; }

  ImageClassificationOptions options_;
  data::Loader<T> train_, test_;
};

}  // namespace lpw::train
