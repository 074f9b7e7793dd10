// Language modelling as the trainer's task: every member reads streams of its own through a text, with a state carried
// from window to window (back-propagation is cut between windows), and is scored by the bits it needs for a character,
// which here is a byte.
//
// The text is cut into K B streams, or where members read the same or all of it into B (data::MemberData). Before
// release one network reads all of them as one batch, or as many as are asked for; states are zero at the start of an
// epoch, and with the release, which is the start of one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/data/text.hpp>
#include <lpw/distributed/any_communicator.hpp>
#include <lpw/io/named_tensors.hpp>
#include <lpw/late_phase/dropout_samples.hpp>
#include <lpw/metrics/calibration.hpp>
#include <lpw/metrics/likelihood.hpp>
#include <lpw/models/language_model.hpp>
#include <lpw/nn/flat_weights.hpp>
#include <lpw/train/interrupt.hpp>
#include <lpw/train/scores.hpp>

namespace lpw::inline LPW_ABI::train {

/// How a text becomes minibatches of streams, and how it is scored.
struct LanguageModellingOptions {
  std::int64_t batch = 20;                               // B, streams per member
  std::int64_t pre_batch = 20;                           // streams of the one network before release
  std::int64_t window = 100;                             // T, bytes of a stream in an iteration
  data::MemberData member_data = data::MemberData::own;  // what members read
};

/// The task (train/task.hpp) of predicting a text's next byte, with state carried from window to window.
template <class Network>
class LanguageModelling {
 public:
  using T = typename Network::value_type;
  using D = typename Network::device_type;
  /// Of all members here.
  using Batch = data::TextBatch<D>;
  /// Of every layer, for all streams.
  using States = typename Network::States;

  // Texts are scored by many streams side by side, since a single one would be slow.
  static constexpr std::int64_t score_streams = 64;         // at most
  static constexpr std::int64_t score_stream_bytes = 8192;  // of each, at least
  static constexpr std::int64_t score_past = 512;           // bytes of past that each has
  static constexpr std::int64_t score_pass_bytes = 16384;   // of a pass, with all members together

  /// The text must outlive the task, and the processes that share it: each reads and scores a part.
  LanguageModelling(const data::TextParts& text, const LanguageModellingOptions& options,
                    distributed::AnyCommunicator& processes = distributed::single_process())
      : text_(&text),
        options_(options),
        processes_(&processes),
        train_(text.train, options.window, options.member_data) {}

  /// How it speaks of itself.
  [[nodiscard]] static constexpr Words words() { return {"bpc", "valid", "characters"}; }
  /// Bits per character of training.
  [[nodiscard]] static double train_metric(const Sums& sums) { return sums.mean_loss() / std::numbers::ln2; }
  /// What members read.
  [[nodiscard]] data::MemberData member_data() const { return options_.member_data; }
  /// Characters of an epoch, but for the first of each stream.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const {
    return train_.size() * (members / sharing(members));
  }
  /// Windows of an epoch with K members.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const {
    return train_.windows(train_.streams(members, member_streams(members)));
  }
  /// Throws OptionError where a text is too short: for the streams before release or of so many members, or to be
  /// scored.
  void check(std::int64_t members) const {
    require_long_enough(1, options_.pre_batch);
    if (members > 1) require_long_enough(sharing(members), options_.batch);
    const auto require_scorable = [](const data::Text& part, const char* name, const char* field) {
      require<OptionError>(part.size() >= 2, "the ", name, " text of ", part.size(),
                           " bytes is too short to score anything; ",
                           "give it a larger share in `shares`, or a text of its own in `", field, '`');
    };
    require_scorable(text_->valid, "validation", "valid");
    require_scorable(text_->test, "test", "test");
  }
  /// For the log: how many characters an iteration has.
  [[nodiscard]] std::string describe_iteration(std::int64_t members) const {
    return to_text(members, " x ", member_streams(members), " streams x ", options_.window, " = ",
                   members * member_streams(members) * options_.window, " characters an iteration, ",
                   iterations(members), " iterations an epoch");
  }

  /// Of all members together.
  [[nodiscard]] std::int64_t samples_in_iteration(std::int64_t members, std::int64_t iteration) const {
    const std::int64_t streams = member_streams(members);
    return members * streams * train_.steps_of(members, streams, iteration);
  }

  /// The windows of an epoch. States start at zero with the first, and go on as they are from a later one.
  [[nodiscard]] auto epoch(std::int64_t, const data::ReadMembers& members, std::int64_t first_iteration) {
    reads_ = members;
    const std::int64_t streams = member_streams(members.all);
    if (first_iteration == 0) reset_states(members.count, members.samples_of(streams).first);
    return train_.epoch(members, streams, first_iteration);
  }
  /// Of all members here.
  [[nodiscard]] static std::int64_t samples_in(const Batch& batch) { return batch.targets.size(); }
  /// Bytes of each stream.
  [[nodiscard]] static std::int64_t steps_in(const Batch& batch) { return batch.targets.dim(1); }
  /// Where a step finds its input. (The states lie where they lay since the last release.)
  [[nodiscard]] static std::string place(const Batch& batch) {
    return place_of(batch.inputs) + place_of(batch.targets);
  }

  /// Forward and backward for the tape's members with their windows: adds the gradient of the sum of their losses, each
  /// the mean over the characters, in nats, and carries their states on.
  void accumulate_gradient(Network& network, Tape& tape, const Batch& batch, StepOutputs<Accumulate<T>, D>& outputs) {
    const MemberRange range = tape.options().members;
    if (states_.empty()) states_ = network.start(batch.inputs.dim(0), batch.inputs.dim(2));
    auto carried = nn::rows(states_, range.first, range.count);
    const auto after = network.forward(tape.input(batch.inputs.rows(range.first, range.count)), carried);
    const Shape rows{range.count, batch.targets.dim(1) * batch.targets.dim(2)};
    auto loss = cross_entropy(after.logits, batch.targets.rows(range.first, range.count).reshaped(rows));
    auto losses = outputs.losses.rows(range.first, range.count);
    copy(loss.value(), losses);
    tape.backward(loss);
    // Not before: backward reads the states with which the window began.
    for (std::size_t layer = 0; layer < carried.size(); ++layer) {
      copy(after.states[layer].hidden, carried[layer].hidden);
      copy(after.states[layer].cell, carried[layer].cell);
    }
  }

  /// Scores of the members of a network and of their ensemble on the validation and on the test text: bits per
  /// character, and the calibration error of the predicted characters. Throws Interrupted where a signal came.
  [[nodiscard]] MemberScores evaluate_members(Network& network) const {
    const Predicted valid = predict({&network}, text_->valid), test = predict({&network}, text_->test);
    MemberScores result;
    for (std::size_t k = 0; k < valid.members.size(); ++k)
      result.members.push_back(scores(valid.members[k], test.members[k]));
    result.ensemble = scores(valid.ensemble, test.ensemble);
    return result;
  }
  /// Scores of a plain network.
  [[nodiscard]] Scores evaluate(Network& network) const { return evaluate_members(network).ensemble; }
  /// Scores of the ensemble of several networks: of the mean of all their members' probabilities.
  [[nodiscard]] Scores evaluate_networks(std::vector<Network>& networks) const {
    std::vector<Network*> all;
    for (Network& network : networks) all.push_back(&network);
    return scores(predict(all, text_->valid).ensemble, predict(all, text_->test).ensemble);
  }
  /// Scores of a network, or of its members' ensemble, on the validation text.
  [[nodiscard]] Scores epoch_scores(Network& network) const {
    const TextScore valid = predict({&network}, text_->valid).ensemble;
    return {{"valid_bpc", valid.bpc()}, {"valid_ece", valid.calibration.error()}};
  }
  /// Scores of so many dropout samples of a plain network together, each with states of its own.
  [[nodiscard]] Scores evaluate_dropout(Network& network, std::int64_t samples, const Philox& random) const {
    const Sampling sampling{samples, random};
    return scores(predict({&network}, text_->valid, &sampling).ensemble,
                  predict({&network}, text_->test, &sampling).ensemble);
  }
  /// How many characters an evaluation scores.
  [[nodiscard]] std::int64_t scored_samples() const { return std::ssize(text_->valid) + std::ssize(text_->test) - 2; }

  /// Whether there is held-out text (TextParts::held_out). The validation text is scored for reports: what is chosen by
  /// it would score too well on it.
  [[nodiscard]] bool holds_out() const { return !text_->held_out.empty(); }
  /// What each member of a network scores on it.
  [[nodiscard]] std::vector<HeldOutScore> held_out_scores(Network& network) const {
    const std::int64_t characters = std::ssize(text_->held_out) - 1;
    std::vector<HeldOutScore> result;
    for (const TextScore& member : predict({&network}, text_->held_out).members) {
      const double bpc = member.bpc();
      result.push_back({.loss = bpc * std::numbers::ln2, .metric = bpc, .quality = -bpc, .samples = characters});
    }
    return result;
  }
  /// Calls f(tape, loss, samples) for every window of a pass of a plain network over the held-out or the training
  /// text, states carried on from zero: `loss` [1] is the window's mean cross-entropy in nats, without dropout.
  /// Recorded where `record` says so.
  template <class F>
  void for_each_loss(Network& network, Samples which, bool record, F&& f) const {
    const bool held_out = which == Samples::held_out;
    data::TextLoader<D> loader(held_out ? text_->held_out : text_->train, options_.window);
    const std::int64_t streams =
        held_out ? std::clamp<std::int64_t>(loader.size() / score_stream_bytes, 1, score_streams) : options_.pre_batch;
    States states = network.start(1, streams);
    for (const auto& [inputs, targets] : loader.epoch(1, streams)) {
      InterruptGuard::check();
      Tape tape({.record = record, .mode = Mode::statistics});
      auto after = network.forward(tape.input(inputs), states);
      auto loss = cross_entropy(after.logits, targets.reshaped({1, targets.size()}));
      f(tape, loss, targets.size());
      states = std::move(after.states);
    }
  }

  /// The carried states: a copy, empty before the first window of so many members, and the way back from one. An empty
  /// one stands for states of zeros.
  [[nodiscard]] States carried() const {
    States states;
    for (const auto& [hidden, cell] : states_) states.push_back({clone(hidden), clone(cell)});
    return states;
  }
  /// Takes such a copy back.
  void carry(const States& states) {
    if (states.empty()) return clear_states();
    for (std::size_t layer = 0; layer < states_.size(); ++layer) {
      copy(states[layer].hidden, states_[layer].hidden);
      copy(states[layer].cell, states_[layer].cell);
    }
  }

  /// What a checkpoint holds of the task: the carried states, of all processes together.
  void save(io::NamedTensors& tensors) const {
    for (std::size_t layer = 0; layer < states_.size(); ++layer) {
      tensors.add(to_text("hidden.", layer), states_of_all(states_[layer].hidden));
      tensors.add(to_text("cell.", layer), states_of_all(states_[layer].cell));
    }
  }
  /// Takes them from a checkpoint, of the streams that are read here. Throws FileError where they are missing, or not
  /// those of so many members' streams.
  void load(const io::NamedTensors& tensors, const data::ReadMembers& members) {
    reads_ = members;
    const std::int64_t batch = member_streams(members.all);
    const auto [streams, before] = members.samples_of(batch);
    const auto get = [&, first = before, count = streams]<class V>(const std::string& name, V) {
      const Shape shape = tensors.at(name).shape;
      require<FileError>(shape.rank() == 3 && shape[0] == members.all && shape[1] == batch, tensors.source(),
                         ": damaged: tensor '", name, "' is ", shape, ", expected the states of ", members.all, " x ",
                         batch, " streams");
      const auto own = tensors.get<V>(name, shape).rows(members.first, members.count);
      if (count == batch) return to_device<D>(own);
      return to_device<D>(own.reshaped(shape.slice(1, 3)).rows(first, count).reshaped(shape.with(0, 1).with(1, count)));
    };
    states_.clear();
    for (std::size_t layer = 0; layer == 0 || tensors.contains(to_text("hidden.", layer)); ++layer)
      states_.push_back({get(to_text("hidden.", layer), T()), get(to_text("cell.", layer), Accumulate<T>())});
  }

 private:
  /// Of this process' streams [K, B, H] those of all on the host: members or parts, one after another.
  template <class V>
  [[nodiscard]] Tensor<V, Cpu> states_of_all(const Tensor<V, D>& states) const {
    const Tensor<V, Cpu> own = to_host(states);
    const std::int64_t batch = member_streams(reads_.all);
    const Shape shape = own.shape().with(0, reads_.all).with(1, batch);
    if (own.size() == shape.size()) return own;
    Tensor<V, Cpu> all(shape);
    const bool repeats = batch < reads_.parts && reads_.part > 0;  // fewer streams than processes: all have them
    processes_->gather(std::as_bytes(std::span(own.data(), repeats ? 0 : to_size(own.size()))),
                       std::as_writable_bytes(std::span(all.data(), to_size(all.size()))));
    return all;
  }

  /// Sums over the characters that a network, or an ensemble, has predicted.
  struct TextScore {
    double log_likelihood = 0;  // nats
    metrics::Calibration calibration = {};

    [[nodiscard]] double bpc() const {
      return -log_likelihood / std::numbers::ln2 / static_cast<double>(calibration.count());
    }
  };
  struct Predicted {
    std::vector<TextScore> members;
    TextScore ensemble = {};
  };

  /// Divides, since a product of options may be beyond any number.
  void require_long_enough(std::int64_t members, std::int64_t batch) const {
    const std::int64_t least = options_.window + 1;
    require<OptionError>(batch <= train_.size() / least / members, "the training text of ", train_.size(),
                         " bytes is too short for ", members, " x ", batch, " streams of at least ", least,
                         " bytes, a window and the one after; ",
                         "take a smaller `batch`, `members`, `pre_batch` or `window`, or a longer text");
  }
  /// Streams of a member.
  [[nodiscard]] std::int64_t member_streams(std::int64_t members) const {
    return members == 1 ? options_.pre_batch : options_.batch;
  }
  /// Members that share the text, each with a part of it.
  [[nodiscard]] std::int64_t sharing(std::int64_t members) const {
    return member_data() == data::MemberData::own ? members : 1;
  }
  [[nodiscard]] static Scores scores(const TextScore& valid, const TextScore& test) {
    return {{"valid_bpc", valid.bpc()},
            {"test_bpc", test.bpc()},
            {"valid_ece", valid.calibration.error()},
            {"test_ece", test.calibration.error()}};
  }

  /// Zero states, where they lie if there are as many: a captured step goes on with what is there. The first step of
  /// other members makes them, which is never a captured one.
  void reset_states(std::int64_t members, std::int64_t batch) {
    if (!states_.empty() && (states_.front().hidden.dim(0) != members || states_.front().hidden.dim(1) != batch))
      states_.clear();
    clear_states();
  }
  void clear_states() {
    for (auto& [hidden, cell] : states_) {
      fill(hidden, T(0));
      fill(cell, Accumulate<T>(0));
    }
  }

  /// Dropout samples in place of members.
  struct Sampling {
    std::int64_t samples;
    Philox random;
  };

  /// A network on its way through a text, or a dropout sample of a plain one.
  struct Reader {
    Network* network;                    // whose it is
    std::int64_t members;                // that are here
    States states;                       // where it is in the text
    const Sampling* sampling = nullptr;  // of dropout samples; null: none are drawn
    std::int64_t sample = 0;             // its number
    std::uint32_t window = 0;            // windows so far

    /// At the beginning of so many streams.
    Reader(Network& of, std::int64_t streams)
        : network(&of), members(nn::members(of)), states(of.start(members, streams)) {}
    /// For dropout sample `number`.
    Reader(Network& of, std::int64_t streams, const Sampling* samples, std::int64_t number) : Reader(of, streams) {
      sampling = samples;
      sample = number;
    }

    /// The tape of the next window.
    [[nodiscard]] Tape tape() {
      if (!sampling) return Tape::evaluation();
      return dropout_tape(sampling->random.later(window++ * dropout_steps(sampling->samples)), sample);
    }

    /// Whether what it predicts is among the sums over processes: theirs that have the same members are once.
    [[nodiscard]] bool counts(int rank) const {
      const auto share = nn::member_share(*network);
      return share ? share->part() == 0 : rank == 0;
    }

    /// What each member says of a window's targets (metrics::label_scores), [members, 3, targets]; goes on behind it.
    /// Members of other processes are among them. Adds probabilities of those that are here to `sums`, which it makes
    /// where they are empty, if not null.
    [[nodiscard]] Tensor<double, Cpu> read(const Tensor<std::int32_t, D>& inputs,
                                           const Tensor<std::int32_t, Cpu>& labels, Tensor<double, Cpu>* sums) {
      auto after = network->forward(tape().input(repeated(inputs, members)), states);
      states = std::move(after.states);
      const auto logits = to_host(after.logits.value());
      if (sums && sums->size() == 0) *sums = zeros<double, Cpu>({labels.size(), logits.dim(2)});
      const auto scores = metrics::label_scores(logits, labels, sums);
      const auto share = nn::member_share(*network);
      return share ? nn::all_rows(*share, scores) : scores;
    }
  };

  /// What all members of all networks, and all of them together, predict of a text; or dropout samples of a plain
  /// network.
  [[nodiscard]] Predicted predict(const std::vector<Network*>& networks, const data::Text& text,
                                  const Sampling* sampling = nullptr) const {
    const auto streams = std::clamp<std::int64_t>(std::ssize(text) / score_stream_bytes, 1, score_streams);
    const data::ReadMembers part = scored_part(networks, streams, sampling);
    std::vector<Reader> readers;
    for (Network* network : networks)
      if (!sampling) readers.emplace_back(*network, part.samples_of(streams).first);
    for (std::int64_t s = 0; sampling && s < sampling->samples; ++s)
      readers.emplace_back(*networks.front(), streams, sampling, s);
    std::int64_t members = 0, most = 1;
    for (const Reader& reader : readers) {
      const std::int64_t all = nn::flatten(*reader.network)->all_members();
      members += all, most = std::max(most, all);
    }
    const auto scored = data::scored_streams(text, streams, score_past);
    data::TextLoader<D> loader(scored.text, std::max<std::int64_t>(score_pass_bytes / (most * streams), 1));
    Predicted result{std::vector<TextScore>(to_size(members))};
    std::int64_t step = 0;
    for (const auto& [inputs, targets] : loader.epoch(part, streams)) {
      InterruptGuard::check();
      const auto scores = window_scores(readers, members, streams, spread(networks), inputs, targets);
      for (std::int64_t k = 0; k < members; ++k)
        add(result.members[to_size(k)], scores.row(k), step, scores.dim(2), scored.first);
      add(result.ensemble, scores.row(members), step, scores.dim(2), scored.first);
      step += inputs.dim(1);
    }
    return result;
  }

  /// Of a window's targets in all streams, [T, B], what each member says (metrics::label_scores), and behind these what
  /// all of them together do, [members + 1, 3, T B]. Of one the bits are the same.
  [[nodiscard]] Tensor<double, Cpu> window_scores(std::vector<Reader>& readers, std::int64_t members,
                                                  std::int64_t streams, bool over_processes,
                                                  const Tensor<std::int32_t, D>& inputs,
                                                  const Tensor<std::int32_t, D>& targets) const {
    const std::int64_t steps = targets.dim(1), all = steps * streams;
    const auto labels = to_host(targets).reshaped({targets.size()});
    Tensor<double, Cpu> scores({members + 1, 3, all}), sums, others;
    std::int64_t row = 0;
    for (Reader& reader : readers) {
      const bool counts = !over_processes || reader.counts(processes_->rank());
      const auto read = reader.read(inputs, labels, members == 1 ? nullptr : counts ? &sums : &others);
      const std::int64_t rows = read.dim(0);
      const auto of_all = of_all_streams(read.reshaped({3 * rows, read.dim(2)}), steps, streams);
      std::copy_n(of_all.data(), of_all.size(), scores.row(row));
      row += rows;
    }
    if (members == 1) {
      std::copy_n(scores.row(0), 3 * all, scores.row(1));
      return scores;
    }
    if (sums.size() == 0) sums = zeros<double, Cpu>(others.shape());
    if (over_processes) processes_->sum(std::span(sums.data(), to_size(sums.size())));
    const auto confidences = of_all_streams(metrics::ensemble_confidences(sums, members, labels), steps, streams);
    Tensor<double, Cpu> likelihoods({members, all});
    for (std::int64_t k = 0; k < members; ++k) std::copy_n(scores.row(k), all, likelihoods.row(k));
    std::copy_n(metrics::ensemble_log_likelihoods(likelihoods).data(), all, scores.row(members));
    std::copy_n(confidences.data(), 2 * all, scores.row(members) + all);
    return scores;
  }

  /// Whether several processes hold the members of one of the networks.
  [[nodiscard]] static bool spread(const std::vector<Network*>& networks) {
    return std::any_of(networks.begin(), networks.end(),
                       [](Network* network) { return nn::member_share(*network) != nullptr; });
  }
  /// The streams that this process scores: a part, where all processes have all networks whole. Dropout samples would
  /// be others.
  [[nodiscard]] data::ReadMembers scored_part(const std::vector<Network*>& networks, std::int64_t streams,
                                              const Sampling* sampling) const {
    if (spread(networks) || sampling || streams < processes_->size()) return 1;
    return data::ReadMembers::part_of_one(processes_->rank(), processes_->size());
  }
  /// From [K, steps x streams here] the same of all streams, in their order.
  [[nodiscard]] Tensor<double, Cpu> of_all_streams(const Tensor<double, Cpu>& here, std::int64_t steps,
                                                   std::int64_t streams) const {
    const std::int64_t members = here.dim(0), rows = members * steps;
    if (here.dim(1) == steps * streams) return here;
    std::vector<double> parts(to_size(rows * streams));
    processes_->gather(std::as_bytes(std::span(here.data(), to_size(here.size()))),
                       std::as_writable_bytes(std::span(parts)));
    Tensor<double, Cpu> all({members, steps * streams});
    const double* next = parts.data();
    for (int rank = 0; rank < processes_->size(); ++rank) {
      const auto [count, before] = data::ReadMembers::part_of_one(rank, processes_->size()).samples_of(streams);
      for (std::int64_t i = 0; i < rows; ++i, next += count)
        std::copy_n(next, count, all.data() + i * streams + before);
    }
    return all;
  }

  /// The same row for every member.
  [[nodiscard]] static Tensor<std::int32_t, D> repeated(const Tensor<std::int32_t, D>& row, std::int64_t members) {
    if (members == 1) return row;
    Tensor<std::int32_t, D> result(row.shape().with(0, members));
    nn::detail::copy_rows(row, result);
    return result;
  }
  /// Adds what is said of a window's targets, [3, T B] in the order [T, B], where a step is scored; the window begins
  /// with `step`.
  static void add(TextScore& score, const double* said, std::int64_t step, std::int64_t targets,
                  const std::vector<std::int64_t>& first) {
    for (std::int64_t i = 0, streams = std::ssize(first); i < targets; ++i) {
      if (step + i / streams < first[to_size(i % streams)]) continue;
      score.log_likelihood += said[i];
      score.calibration.add(said[targets + i], said[2 * targets + i] > 0);
    }
  }

  const data::TextParts* text_;
  LanguageModellingOptions options_;
  distributed::AnyCommunicator* processes_;
  data::TextLoader<D> train_;
  States states_;
  data::ReadMembers reads_ = 1;  // whose states those are
};

}  // namespace lpw::inline LPW_ABI::train
