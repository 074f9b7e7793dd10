// Averages' and the best candidate's way into a checkpoint and back, bit for bit.
#pragma once

#include <algorithm>
#include <string>

#include <lpw/io/flat_pair.hpp>
#include <lpw/optim/averages/average.hpp>
#include <lpw/optim/best.hpp>

namespace lpw::inline LPW_ABI::io {

/// Adds an average's states and counts, all of them under <name>.
template <class W, class D>
void add_average(NamedTensors& tensors, const std::string& name, const optim::Average<W, D>& average) {
  for (const auto& [state, pair] : average.states()) add_pair(tensors, name + '.' + state, pair);
  Tensor<std::int64_t, Cpu> counts({2});
  counts.data()[0] = average.counts().updates, counts.data()[1] = average.counts().late_updates;
  tensors.add(name + ".counts", counts);
}

/// An average's counts. Throws FileError where they are missing or cannot be.
[[nodiscard]] inline optim::AverageCounts recorded_average_counts(const NamedTensors& tensors,
                                                                  const std::string& name) {
  const auto counts = tensors.get<std::int64_t>(name + ".counts", {2});
  const optim::AverageCounts recorded{counts.data()[0], counts.data()[1]};
  const bool possible = recorded.late_updates >= 0 && recorded.updates >= recorded.late_updates;
  require<FileError>(possible, tensors.source(), ": tensor '", name, ".counts' says ", recorded.updates,
                     " updates, of which ", recorded.late_updates,
                     " were of late-phase weights; expected 0 <= late-phase ones <= all");
  return recorded;
}

/// Puts them into an average of the same options, for a network of the same form. Throws FileError where they are
/// missing, of other shapes, or not what such an average can have; it is untouched then but for its states.
template <class W, class D>
void get_average(const NamedTensors& tensors, const std::string& name, optim::Average<W, D>& average) {
  const auto recorded = recorded_average_counts(tensors, name);
  for (auto& [state, pair] : average.states()) get_pair(tensors, name + '.' + state, pair);
  average.set_counts(recorded);
}

/// Adds the best candidate, if there is one, under <name>.
template <class W, class D>
void add_best(NamedTensors& tensors, const std::string& name, const optim::BestWeights<W, D>& best) {
  if (!best.candidate()) return;
  const auto& [title, score] = *best.candidate();
  tensors.add(name + ".score", full<double, Cpu>({1}, score));
  Tensor<std::uint8_t, Cpu> text({std::ssize(title)});
  std::copy(title.begin(), title.end(), text.data());
  tensors.add(name + ".name", text);
  add_pair(tensors, name, best.weights());
  tensors.add(name + ".buffers", to_host(best.statistics()));
}

/// Goes on from the best candidate that was recorded, if there was one, a network of the form of `like`. Throws
/// FileError where what is recorded of it is not whole or of another form.
template <class W, class D, nn::Visitable M>
void get_best(const NamedTensors& tensors, const std::string& name, const M& like, optim::BestWeights<W, D>& best) {
  if (!tensors.contains(name + ".score")) return;
  const double score = *tensors.get<double>(name + ".score", {1}).data();
  require<FileError>(!is_nan(score), tensors.source(), ": tensor '", name, ".score' is NaN, which is never the best");
  const auto& stored = tensors.at(name + ".name");
  require<FileError>(stored.dtype == "U8" && stored.shape.rank() == 1, tensors.source(), ": tensor '", name,
                     ".name' is ", stored.dtype, ' ', stored.shape, ", expected a text in U8");
  const auto* text = reinterpret_cast<const char*>(stored.data.data());
  M network = nn::clone_module(like);
  auto& flat = *nn::flatten(network);
  get_pair(tensors, name, flat.value);
  copy(to_device<D>(tensors.template get<W>(name + ".buffers", flat.buffers.shape())), flat.buffers);
  best.set_candidate({std::string(text, stored.data.size()), score}, network);
}

}  // namespace lpw::inline LPW_ABI::io
