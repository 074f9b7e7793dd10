// How often members of an ensemble disagree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include <lpw/metrics/probabilities.hpp>

namespace lpw::inline LPW_ABI::metrics {

/// Counts pairs of members that predict different classes, batch by batch.
class Disagreement {
 public:
  /// Adds probabilities [K, B, classes] of the same number K of members each time. Throws ShapeError, or Error for a
  /// row that is no distribution.
  template <Real T>
  void add(const Tensor<T, Cpu>& members) {
    require<ShapeError>(members.shape().rank() == 3 && (samples_ == 0 || members.dim(0) == members_),
                        "disagreement: expected probabilities [K, B, classes] of the members of before, found ",
                        members.shape());
    members_ = members.dim(0);
    std::vector<std::vector<std::int64_t>> votes(to_size(members.dim(1)),
                                                 std::vector<std::int64_t>(to_size(members.dim(2))));
    for (std::int64_t k = 0; k < members_; ++k) {
      const auto member = members.rows(k, 1).reshaped(members.shape().slice(1, 3));
      detail::check_probabilities(member, "disagreement");
      for (std::int64_t i = 0; i < member.dim(0); ++i) {
        const T* row = member.row(i);
        ++votes[to_size(i)][to_size(std::max_element(row, row + member.dim(1)) - row)];
      }
    }
    for (const auto& of_sample : votes)
      for (const std::int64_t count : of_sample) differing_ += count * (members_ - count);  // each pair twice
    samples_ += members.dim(1);
  }

  /// The mean over the K (K - 1) / 2 pairs of members of the share of samples of which they predict different classes
  /// (the disagreement measure of Skalak 1996, as in Kuncheva and Whitaker, "Measures of diversity in classifier
  /// ensembles", 2003, for classes in place of right and wrong). Nothing for one member, or without samples.
  [[nodiscard]] std::optional<double> result() const {
    if (members_ < 2 || samples_ == 0) return std::nullopt;
    const auto pairs = static_cast<double>(members_) * static_cast<double>(members_ - 1);
    return static_cast<double>(differing_) / (pairs * static_cast<double>(samples_));
  }

 private:
  std::int64_t members_ = 0, samples_ = 0, differing_ = 0;
};

}  // namespace lpw::inline LPW_ABI::metrics
