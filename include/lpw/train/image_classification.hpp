// Image classification as the trainer's task: minibatches, loss, and scores on the test set.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/data/held_out.hpp>
#include <lpw/data/loader.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/distributed/any_communicator.hpp>
#include <lpw/io/class_names.hpp>
#include <lpw/late_phase/dropout_samples.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/scores.hpp>
#include <lpw/train/turns.hpp>

namespace lpw::inline LPW_ABI::train {

/// How images become minibatches, and how they are scored.
struct ImageClassificationOptions {
  std::int64_t batch = 128;                              // per member
  data::AugmentOptions augment = data::no_augmentation;  // changes to training images
  double label_smoothing = 0;                            // of the training loss, in [0, 1]
  std::uint64_t seed = 0;                                // of order and augmentation
  std::int64_t test_batch = 250;                         // images of a pass that scores
  data::MemberData member_data = data::MemberData::own;  // what members read
  std::map<std::string, std::string> notes = {};         // of the images, beside normalization and classes: see notes()
};

/// What the file of a network says of the images of a data set: `normalization`, `classes` where it names them, and its
/// own notes.
[[nodiscard]] inline std::map<std::string, std::string> notes_of(const data::Dataset& dataset) {
  std::map<std::string, std::string> notes{{"normalization", data::describe(dataset.normalization)}};
  if (!dataset.class_names.empty()) notes.emplace("classes", io::describe_class_names(dataset.class_names));
  notes.insert(dataset.notes.begin(), dataset.notes.end());
  return notes;
}

/// The task (train/task.hpp) of classifying images by cross-entropy.
template <nn::Module Network>
class ImageClassification {
 public:
  using T = typename Network::value_type;
  using D = typename Network::device_type;
  /// Of all members here.
  using Batch = data::Batch<T, D>;

  /// The data set must outlive the task, and the processes that share it: each reads and scores a part.
  ImageClassification(const data::Dataset& dataset, const ImageClassificationOptions& options,
                      distributed::AnyCommunicator& processes = distributed::single_process())
      : options_(options),
        processes_(&processes),
        notes_(options.notes),
        train_(dataset.train, dataset.normalization,
               {.batch = options.batch,
                .augment = options.augment,
                .seed = options.seed,
                .member_data = options.member_data}),
        test_(dataset.test, dataset.normalization, data::evaluation(options.test_batch)) {
    notes_.merge(notes_of(dataset));
    if (dataset.held_out.count > 0)
      held_out_.emplace(dataset.held_out, dataset.normalization, data::evaluation(options.batch));
  }

  /// How it speaks of itself.
  [[nodiscard]] static constexpr Words words() { return {"accuracy", "test", "samples"}; }
  /// The training accuracy.
  [[nodiscard]] static double train_metric(const Sums& sums) {
    return static_cast<double>(sums.correct) / static_cast<double>(std::max<std::int64_t>(sums.seen, 1));
  }
  /// What the file of a network says of the images that it knows: what they are normalised by, their classes where
  /// the data set names them, and what the options add.
  [[nodiscard]] std::map<std::string, std::string> notes() const { return notes_; }
  /// What members read.
  [[nodiscard]] data::MemberData member_data() const { return options_.member_data; }
  /// That K members visit together in an epoch.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const { return train_.samples(members); }
  /// Of an epoch with K members.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const { return train_.iterations(members); }
  /// Of all members together.
  [[nodiscard]] std::int64_t samples_in_iteration(std::int64_t members, std::int64_t iteration) const {
    return members * train_.plan().batch(members, iteration);
  }
  /// Throws OptionError where so many members cannot be trained.
  void check(std::int64_t members) const {
    require<OptionError>(members <= images() || member_data() != data::MemberData::own, "`members` ", members,
                         ": they are more than the ", images(),
                         " training samples, of which each needs its own; take "
                         "fewer, or another `member_data` than own");
  }
  /// What an iteration holds; says so where there are fewer samples than a batch of `batch` for each member, and where
  /// the last iteration of an epoch is larger.
  [[nodiscard]] std::string describe_iteration(std::int64_t members) const {
    const std::int64_t shares = member_data() == data::MemberData::own ? members : 1,
                       batch = std::min(options_.batch, images() / shares);
    return to_text(
        members, " x ", batch, " = ", members * batch, " samples an iteration, ", iterations(members),
        " iterations an epoch",
        batch < options_.batch
            ? to_text(" (not ", options_.batch, " a member: there are ", images(), " training samples)")
            : "",
        train_.joins(members) ? "; the last has one more a member, which alone would be too few for batch norm" : "");
  }
  /// The minibatches of an epoch, as `member_data` says: the members visit the training set once, together or each.
  [[nodiscard]] auto epoch(std::int64_t epoch, const data::ReadMembers& members, std::int64_t first_iteration) const {
    return train_.epoch(epoch, members, first_iteration);
  }
  /// Of all members here.
  [[nodiscard]] static std::int64_t samples_in(const Batch& batch) { return batch.labels.size(); }
  /// What the network takes, [K, B, H, W, C].
  [[nodiscard]] static Tensor<T, D> inputs(const Batch& batch) { return batch.images; }
  /// Where a step finds its input.
  [[nodiscard]] static std::string place(const Batch& batch) { return place_of(batch.images) + place_of(batch.labels); }

  /// Forward and backward for the tape's members with their minibatches: adds the gradient of the sum of their losses.
  void accumulate_gradient(Network& network, Tape& tape, const Batch& batch,
                           StepOutputs<Accumulate<T>, D>& outputs) const {
    const MemberRange range = tape.options().members;
    const auto labels = batch.labels.rows(range.first, range.count);
    auto logits = network.forward(tape.input(batch.images.rows(range.first, range.count)));
    auto loss = cross_entropy(logits, labels, {.label_smoothing = options_.label_smoothing});
    auto losses = outputs.losses.rows(range.first, range.count);
    copy(loss.value(), losses);
    auto correct = outputs.correct.rows(range.first, 1);
    copy(count_correct(logits.value(), labels), correct);
    tape.backward(loss);
  }

  /// Scores of the members of a network and of their ensemble on the test set, and on held-out samples where there are
  /// any. Throws Interrupted where a signal came. Of several processes each predicts with its members, or where all
  /// have the whole network, a part of the samples.
  [[nodiscard]] MemberScores evaluate_members(Network& network) const {
    return evaluate_predictions(by_members(network), [&](const Tensor<T, D>& images, std::uint32_t) {
      return predict_members(network, images);
    });
  }
  /// Scores of a plain network.
  [[nodiscard]] Scores evaluate(Network& network) const { return evaluate_members(network).ensemble; }
  /// Scores of the ensemble of several networks: of the mean of all their members' predictions.
  [[nodiscard]] Scores evaluate_networks(std::vector<Network>& networks) const {
    return evaluate_predictions(
               false, [&](const Tensor<T, D>& images, std::uint32_t) { return predict_networks(networks, images); })
        .ensemble;
  }
  /// Scores of a network, or of its members' ensemble, on the test set, for the row of an epoch.
  [[nodiscard]] Scores epoch_scores(Network& network) const {
    const Evaluations test = evaluate_on(test_, by_members(network), [&](const Tensor<T, D>& images, std::uint32_t) {
      return predict_members(network, images);
    });
    return scores(test.ensemble, nullptr);
  }
  /// Scores of so many dropout samples of a plain network together.
  [[nodiscard]] Scores evaluate_dropout(Network& network, std::int64_t samples, const Philox& random) const {
    return evaluate_predictions(false,
                                [&](const Tensor<T, D>& images, std::uint32_t batch) {
                                  return predict_dropout(network, images, samples,
                                                         random.later(batch * dropout_steps(samples)));
                                })
        .ensemble;
  }
  /// How many samples an evaluation scores.
  [[nodiscard]] std::int64_t scored_samples() const {
    return test_.set().count + (held_out_ ? held_out_->set().count : 0);
  }

  /// Whether there are held-out samples (Dataset::held_out).
  [[nodiscard]] bool holds_out() const { return held_out_.has_value(); }
  /// What each member of a network scores on them.
  [[nodiscard]] std::vector<HeldOutScore> held_out_scores(Network& network) const {
    const Evaluations found =
        evaluate_on(*held_out_, by_members(network),
                    [&](const Tensor<T, D>& images, std::uint32_t) { return predict_members(network, images); });
    std::vector<HeldOutScore> result;
    for (const auto& member : found.members) {
      const metrics::Evaluation e = member.result();
      result.push_back({.loss = e.nll, .metric = e.accuracy, .quality = e.accuracy, .samples = e.count});
    }
    return result;
  }
  /// Calls f(tape, loss, samples) for every minibatch of a pass of a plain network over the held-out or the training
  /// samples, always the same ones: `loss` [1] is their mean cross-entropy in nats, without smoothing and dropout, by
  /// the minibatch's statistics, which the network's running ones pool. Recorded where `record` says so.
  template <class F>
  void for_each_loss(Network& network, Samples which, bool record, F&& f) const {
    std::int64_t seen = 0;
    const auto& loader = which == Samples::held_out ? *held_out_ : train_;
    for (auto& [images, labels] : loader.epoch(0)) {
      InterruptGuard::check();
      seen += labels.size();
      Tape tape({.record = record,
                 .mode = Mode::statistics,
                 .share = static_cast<double>(labels.size()) / static_cast<double>(seen)});
      auto loss = cross_entropy(network.forward(tape.input(images)), labels);
      f(tape, loss, labels.size());
    }
  }

 private:
  [[nodiscard]] std::int64_t images() const { return train_.set().count; }

  struct Evaluations {
    std::vector<metrics::Evaluator> members;
    metrics::Evaluator ensemble;

    /// Of probabilities [K, B, classes].
    void add(const Tensor<double, Cpu>& probabilities, const Tensor<std::int32_t, Cpu>& labels) {
      members.resize(to_size(probabilities.dim(0)));
      for (std::size_t k = 0; k < members.size(); ++k) {
        const auto member = probabilities.rows(static_cast<std::int64_t>(k), 1);
        members[k].add(member.reshaped(member.shape().slice(1, 3)), labels);
      }
      ensemble.add(ensemble_of(probabilities), labels);
    }
  };

  /// Whether processes predict together, each with the members that it has.
  [[nodiscard]] static bool by_members(Network& network) { return nn::member_share(network) != nullptr; }

  /// What predict(images, number of the minibatch), probabilities [K, B, classes], scores on a set. Several processes
  /// predict `together`, or take turns.
  template <class Loader, class Predict>
  [[nodiscard]] Evaluations evaluate_on(const Loader& loader, bool together, Predict&& predict) const {
    Evaluations result;
    Turns turns(*processes_, [&](const auto& probabilities, const auto& labels) { result.add(probabilities, labels); });
    std::uint32_t number = 0;
    for (auto& [images, labels] : loader.epoch(0)) {
      InterruptGuard::check();
      const auto flat_labels = to_host(labels).reshaped({labels.size()});
      if (together || !processes_->several())
        result.add(predict(images, number), flat_labels);
      else
        turns.take(flat_labels, [&, &at = images] { return predict(at, number); });
      ++number;
    }
    turns.finish();
    return result;
  }

  /// What predict(images, number of the minibatch) scores on the test set and on held-out samples.
  template <class Predict>
  [[nodiscard]] MemberScores evaluate_predictions(bool together, Predict&& predict) const {
    const Evaluations test = evaluate_on(test_, together, predict);
    std::optional<Evaluations> held_out;
    if (held_out_) held_out = evaluate_on(*held_out_, together, predict);
    MemberScores result;
    for (std::size_t k = 0; k < test.members.size(); ++k)
      result.members.push_back(scores(test.members[k], held_out ? &held_out->members[k] : nullptr));
    result.ensemble = scores(test.ensemble, held_out ? &held_out->ensemble : nullptr);
    return result;
  }

  [[nodiscard]] static Scores scores(const metrics::Evaluator& test, const metrics::Evaluator* held_out) {
    const metrics::Evaluation e = test.result();
    Scores result{{"test_accuracy", e.accuracy}, {"test_nll", e.nll}, {"test_ece", e.ece}};
    if (held_out != nullptr) {
      const metrics::Evaluation valid = held_out->result();
      result.insert(result.end(), {{"valid_accuracy", valid.accuracy}, {"valid_nll", valid.nll}});
    }
    return result;
  }

  ImageClassificationOptions options_;
  distributed::AnyCommunicator* processes_;
  std::map<std::string, std::string> notes_;
  typename data::LoaderFor<T, D>::type train_, test_;
  std::optional<typename data::LoaderFor<T, D>::type> held_out_ = {};
};

}  // namespace lpw::inline LPW_ABI::train
