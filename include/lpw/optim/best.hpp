// The best of several candidates by a score on held-out data. (A score on the test set would choose for the test set.)
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <lpw/optim/averages/average.hpp>
#include <lpw/tensor/float_bits.hpp>

namespace lpw::inline LPW_ABI::optim {

/// What was offered, and what it scored.
struct Candidate {
  std::string name;  // how messages call it
  double score = 0;  // higher is better
  [[nodiscard]] bool operator==(const Candidate&) const = default;
};

/// Knows the best candidate so far, the one with the highest score; whoever offers them keeps it. Of equal scores the
/// first stays, and a score that is NaN never wins.
class Best {
 public:
  /// Whether such a score would be the best.
  [[nodiscard]] bool beaten_by(double score) const { return !is_nan(score) && (!best_ || score > best_->score); }
  /// Calls keep() if the candidate is the best so far. Where that throws, the best is what it was. Returns whether it
  /// is.
  template <std::invocable Keep>
  bool offer(std::string name, double score, Keep&& keep) {
    if (!beaten_by(score)) return false;
    keep();
    best_ = Candidate{std::move(name), score};
    return true;
  }

  /// The best so far; none while there was no candidate with a score.
  [[nodiscard]] const std::optional<Candidate>& candidate() const { return best_; }
  /// Goes on from a candidate, a checkpoint's, say. Throws OptionError for a score of NaN.
  void set_candidate(std::optional<Candidate> candidate) {
    require<OptionError>(!candidate || !is_nan(candidate->score), "Best: the score of '",
                         candidate ? candidate->name : "", "' is NaN, which is never the best");
    best_ = std::move(candidate);
  }

 private:
  std::optional<Candidate> best_;
};

/// Keeps the best candidate's weights and running statistics in memory.
template <class W, class D>
class BestWeights {
 public:
  using Flat = nn::FlatWeights<W, D>;

  /// Copies the network's weights and statistics if it is the best so far, and returns whether it is. Throws Error for
  /// one whose running statistics belong to other weights: it cannot have been scored.
  template <nn::Visitable M>
  bool offer(std::string name, double score, M& network) {
    require(!nn::statistics_stale(network), "BestWeights: the running statistics of '", name,
            "' belong to other weights; call recompute_statistics before it is scored");
    nn::require_all_members(nn::member_share(network), "BestWeights");
    return best_.offer(std::move(name), score, [&] { hold(*nn::flatten(network)); });
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto offer(const std::string&, double, M&) {
    return nn::detail::not_a_module<M>();
  }

  /// The best so far, or none.
  [[nodiscard]] const std::optional<Candidate>& candidate() const { return best_.candidate(); }

  /// Puts the best candidate into a network of its form. Throws Error if there is none, or the network is of another
  /// form.
  template <nn::Visitable M>
  void apply(M& network) const {
    const auto flat = nn::flatten(network);
    nn::require_all_members(flat->share, "BestWeights");
    require(candidate().has_value(), "BestWeights: no candidate with a score has been offered yet");
    require(nn::same_form(*flat, form_) && statistics_.shape() == flat->buffers.shape(),
            "BestWeights: the network has other weights than '", candidate()->name, "'");
    copy(weights_.base, flat->value.base);
    copy(weights_.late, flat->value.late);
    copy(statistics_, flat->buffers);
    nn::set_statistics_stale(network, false);
  }
  /// For what is no module: says so.
  template <nn::detail::NoModule M>
  auto apply(M&) const {
    return nn::detail::not_a_module<M>();
  }

  /// What a checkpoint holds, beside candidate().
  [[nodiscard]] const nn::FlatPair<W, D>& weights() const { return weights_; }
  /// [1 or K, Q], of all batch norms in the order of visit; empty before there is a candidate.
  [[nodiscard]] const Tensor<W, D>& statistics() const { return statistics_; }
  /// Of which form its network was: its members and segments, without memory.
  [[nodiscard]] const Flat& form() const { return form_; }
  /// Takes a checkpoint's candidate of such a form. Throws as Best does, and ShapeError for weights of another size.
  void set_candidate(Candidate candidate, std::int64_t members, std::vector<nn::Segment> segments,
                     const nn::FlatPair<W, D>& weights, const Tensor<W, D>& statistics) {
    std::int64_t columns[2] = {0, 0};
    for (const nn::Segment& segment : segments) columns[segment.late_phase] += segment.size;
    const Shape base{1, columns[0]}, late{members, columns[1]};
    require<ShapeError>(weights.base.shape() == base && weights.late.shape() == late, "BestWeights: weights ",
                        weights.base.shape(), " and ", weights.late.shape(), ", expected ", base, " and ", late);
    best_.set_candidate(std::move(candidate));
    weights_ = {clone(weights.base), clone(weights.late)};
    statistics_ = clone(statistics);
    form_.members = members;
    form_.segments = std::move(segments);
  }
  /// Takes a checkpoint's candidate, whose weights and statistics are the network's. Throws as Best and offer do.
  template <nn::Visitable M>
  void set_candidate(Candidate candidate, M& network) {
    nn::require_all_members(nn::member_share(network), "BestWeights");
    best_.set_candidate(std::move(candidate));
    hold(*nn::flatten(network));
  }

 private:
  void hold(const Flat& flat) {
    nn::FlatPair<W, D> weights{clone(flat.value.base), clone(flat.value.late)};
    statistics_ = clone(flat.buffers);
    weights_ = std::move(weights);
    form_.members = flat.members;
    form_.segments = flat.segments;
  }

  Best best_;
  nn::FlatPair<W, D> weights_;
  Tensor<W, D> statistics_;
  Flat form_;  // without memory
};

}  // namespace lpw::inline LPW_ABI::optim
