// Prediction with the members of a released network, or with a plain network as its only member.
#pragma once

#include <vector>

#include <lpw/cpu/softmax.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI {

/// Softmax outputs of every member for the same inputs [1, B, ...]: [K, B, classes], in double on the host. One member
/// is computed at a time, so this needs the memory of one. Where several processes hold members, each computes its own
/// and gets all: they must call it together, for the same inputs.
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_members(
    M& network, const Tensor<typename M::value_type, typename M::device_type>& inputs) {
  require<ShapeError>(inputs.shape().rank() >= 2 && inputs.dim(0) == 1,
                      "predict_members: expected inputs [1 B ...], shared by all members, got ", inputs.shape());
  const std::int64_t members = nn::members(network);
  Tensor<double, Cpu> result;
  for (std::int64_t k = 0; k < members; ++k) {
    const auto logits = to_host(network.forward(Tape::evaluation({k, 1}).input(inputs)).value());
    const auto probabilities = softmax_rows(logits.reshaped(logits.shape().slice(1, 3)));
    if (k == 0) result = Tensor<double, Cpu>(probabilities.shape().prepend(members));
    auto row = result.rows(k, 1).reshaped(probabilities.shape());
    copy(probabilities, row);
  }
  const auto share = nn::member_share(network);
  return share ? nn::all_rows(*share, result) : result;
}

/// The same of several networks, one after another: of S plain ones [S, B, classes], and so on for networks with
/// members. Throws Error for none.
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_networks(
    std::vector<M>& networks, const Tensor<typename M::value_type, typename M::device_type>& inputs) {
  require(!networks.empty(), "predict_networks: there are no networks to predict with");
  std::vector<Tensor<double, Cpu>> parts;
  std::int64_t rows = 0;
  for (M& network : networks) rows += parts.emplace_back(predict_members(network, inputs)).dim(0);
  Tensor<double, Cpu> result(parts.front().shape().with(0, rows));
  rows = 0;
  for (const auto& part : parts) {
    auto place = result.rows(rows, part.dim(0));
    copy(part, place);
    rows += part.dim(0);
  }
  return result;
}

/// The ensemble's prediction: the mean of the members' softmax outputs [K, B, classes] -> [B, classes].
[[nodiscard]] inline Tensor<double, Cpu> ensemble_of(const Tensor<double, Cpu>& probabilities) {
  return mean_rows(probabilities).reshaped(probabilities.shape().slice(1, 3));
}

/// The ensemble's prediction for inputs [1, B, ...].
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_ensemble(
    M& network, const Tensor<typename M::value_type, typename M::device_type>& inputs) {
  return ensemble_of(predict_members(network, inputs));
}

}  // namespace lpw::inline LPW_ABI
