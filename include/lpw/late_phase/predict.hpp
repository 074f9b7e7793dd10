// Prediction with the members of a released network, or with a plain network as its only member.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <lpw/cpu/softmax.hpp>
#include <lpw/nn/flat_weights.hpp>

namespace lpw::inline LPW_ABI {

/// What every member of a network gives, [K, ...], in double on the host: f(tape) is a variable [1, ...] of the member
/// that the tape is for, computed by whatever of the network's parts on tape.input(...). One member is computed at a
/// time, so this needs the memory of one. Where several processes hold members, each computes its own and gets all:
/// they must call it together. Throws ShapeError for other outputs.
///
///     const auto scores = lpw::outputs_of_members(network, [&](const lpw::Tape& tape) {
///       return network.forward(tape.input(left), tape.input(right));
///     });
template <nn::Visitable M, class F>
[[nodiscard]] Tensor<double, Cpu> outputs_of_members(M& network, F&& f) {
  const std::int64_t members = nn::members(network);
  Tensor<double, Cpu> result;
  for (std::int64_t k = 0; k < members; ++k) {
    const Tape tape = Tape::evaluation({k, 1});
    const auto output = to_host(f(tape).value());
    require<ShapeError>(output.shape().rank() >= 1 && output.dim(0) == 1,
                        "outputs_of_members: expected outputs [1 ...] of one member, got ", output.shape());
    if (k == 0) result = Tensor<double, Cpu>(output.shape().with(0, members));
    require<ShapeError>(output.shape() == result.shape().with(0, 1), "outputs_of_members: member ", k, " gave ",
                        output.shape(), ", member 0 ", result.shape().with(0, 1));
    std::copy_n(output.data(), output.size(), result.row(k));
  }
  const auto share = nn::member_share(network);
  return share ? nn::all_rows(*share, result) : result;
}
/// For what is no module: says so.
template <nn::detail::NoModule M>
auto outputs_of_members(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// The mean over the members: [K, ...] -> [...], of a regression, say.
[[nodiscard]] inline Tensor<double, Cpu> mean_of(const Tensor<double, Cpu>& outputs) {
  return mean_rows(outputs).reshaped(outputs.shape().slice(1, outputs.shape().rank()));
}

/// Softmax outputs of every member for the same inputs [1, B, ...]: [K, B, classes], in double on the host, as
/// outputs_of_members.
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_members(
    M& network, const Tensor<typename M::value_type, typename M::device_type>& inputs) {
  require<ShapeError>(inputs.shape().rank() >= 2 && inputs.dim(0) == 1,
                      "predict_members: expected inputs [1 B ...], shared by all members, got ", inputs.shape());
  const auto logits =
      outputs_of_members(network, [&](const Tape& tape) { return network.forward(tape.input(inputs)); });
  const Shape& shape = logits.shape();
  require<ShapeError>(shape.rank() == 3, "predict_members: expected logits [1 B classes], got ", shape.with(0, 1),
                      "; for other outputs call outputs_of_members");
  return softmax_rows(logits.reshaped({shape[0] * shape[1], shape[2]})).reshaped(shape);
}
/// For what is no module: says so.
template <nn::detail::NoForward M>
auto predict_members(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
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
/// For what is no module: says so.
template <nn::detail::NoForward M>
auto predict_networks(std::vector<M>&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

/// The ensemble's prediction: the mean of the members' softmax outputs [K, B, classes] -> [B, classes].
[[nodiscard]] inline Tensor<double, Cpu> ensemble_of(const Tensor<double, Cpu>& probabilities) {
  return mean_of(probabilities);
}

/// The ensemble's prediction for inputs [1, B, ...].
template <nn::Module M>
[[nodiscard]] Tensor<double, Cpu> predict_ensemble(
    M& network, const Tensor<typename M::value_type, typename M::device_type>& inputs) {
  return ensemble_of(predict_members(network, inputs));
}
/// For what is no module: says so.
template <nn::detail::NoForward M>
auto predict_ensemble(M&, auto&&...) {
  return nn::detail::not_a_module<M>();
}

}  // namespace lpw::inline LPW_ABI
