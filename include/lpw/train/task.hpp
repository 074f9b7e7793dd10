// What the trainer asks of a task: minibatches, their losses, and test scores.
#pragma once

#include <concepts>
#include <string>
#include <vector>

#include <lpw/nn/module.hpp>
#include <lpw/train/scores.hpp>

namespace lpw::inline LPW_ABI::train {

/// A task for networks of type Network, K members of which are trained at once. ImageClassification shows one. It has
///   Batch                               what epoch() is a range of: a minibatch for every member, on the device
///   words(), train_metric(sums)         how it speaks of itself, and its metric of an epoch's training
///   samples(K), iterations(K)           of an epoch with K members: samples that they visit together, and iterations
///   check(K)                            throws OptionError where K members cannot be trained
///   describe_iteration(K)               says what an iteration holds
///   epoch(epoch, K, first)              the minibatches of an epoch from iteration `first` on
///   samples_in(batch), place(batch)     how many, and where it lies (place_of its tensors)
///   accumulate_gradient(network, tape, batch, outputs)   forward and backward for the tape's members
///   evaluate_members(network), evaluate(network)         scores of members and ensemble, and of a plain network
///   evaluate_networks(networks)         scores of the ensemble of several networks
///   epoch_scores(network)               scores of a plain network, or of the members' ensemble, for an epoch's row,
///   the
///                                       metric of its line first
/// and may have
///   notes()                             texts for the metadata of the network's file, by their names
///   inputs(batch)                       for networks with running statistics: what the network takes of a batch
///   save(tensors), load(tensors, K)     what it carries on from iteration to iteration
///   carried(), carry(states)            the same, as a copy on the device and from there, for steps inside SAM
///   member_data()                       what members read, where that may be other than minibatches of their own
///   holds_out(), held_out_scores(network), for_each_loss(network, which, record, f)   held-out samples: collapsing.hpp
///   evaluate_dropout(network, samples, random), scored_samples()   scores of dropout samples, and how many it scores
template <class T, class Network>
concept Task = requires(T& task, const T& fixed, Network& network, std::vector<Network>& networks, Tape& tape,
                        const typename T::Batch& batch,
                        StepOutputs<nn::WeightOf<Network>, typename Network::device_type>& outputs, const Sums& sums) {
  { T::words() } -> std::same_as<Words>;
  { T::train_metric(sums) } -> std::convertible_to<double>;
  { fixed.samples(std::int64_t{}) } -> std::convertible_to<std::int64_t>;
  { fixed.iterations(std::int64_t{}) } -> std::convertible_to<std::int64_t>;
  fixed.check(std::int64_t{});
  { fixed.describe_iteration(std::int64_t{}) } -> std::convertible_to<std::string>;
  task.epoch(std::int64_t{}, std::int64_t{}, std::int64_t{});
  { task.samples_in(batch) } -> std::convertible_to<std::int64_t>;
  { T::place(batch) } -> std::convertible_to<std::string>;
  task.accumulate_gradient(network, tape, batch, outputs);
  { task.evaluate_members(network) } -> std::same_as<MemberScores>;
  { task.evaluate(network) } -> std::same_as<Scores>;
  { task.evaluate_networks(networks) } -> std::same_as<Scores>;
  { task.epoch_scores(network) } -> std::same_as<Scores>;
};

}  // namespace lpw::inline LPW_ABI::train
