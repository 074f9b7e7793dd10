// Members over processes: each process trains some of the members, on their minibatches (of the one network that there
// is before, on its part of each minibatch), and in a step all sum the gradient of the weights that members share. The
// network that they end with is the one that one process trains.
// Usage:
//   mpirun -n R distributed     R processes; without mpirun it is one
// Every process runs this program from top to bottom. What needs all members, they do together (release, the sum of
// gradients, prediction, collapse); what they would all do alike, such as printing, the first one does.
#include <cstdio>
#include <exception>

#include <lpw/lpw.hpp>

namespace {

using Network = lpw::nn::WideResNet<float, lpw::Cpu>;
using Members = lpw::distributed::Members<lpw::distributed::Mpi>;
constexpr std::int64_t epochs = 6, release_epoch = 3;

/// One pass through the training set; returns the mean loss of all members.
double train_epoch(Members& members, Network& network, auto& optimizer, const lpw::data::Loader<float>& train,
                   std::int64_t epoch) {
  double sum = 0;
  const auto here = members.of(network);                     // those of the K members that this process holds
  for (auto& [images, labels] : train.epoch(epoch, here)) {  // their minibatches only: [members here, B, ...]
    lpw::TapeOptions pass = members.pass(network, images);
    members.overlap(network, pass);  // with this backward pass the sum of gradients begins
    lpw::Tape tape(pass);
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);
    lpw::require_finite(loss);
    tape.backward(loss);
    members.sum_gradients(network);  // of theta, over all members: the one thing that processes tell each other; the
                                     // rest of it
    optimizer.step();
    sum += members.mean(network, loss.value());
  }
  return sum / static_cast<double>(train.iterations(here.all));
}

/// The accuracy of the members' ensemble, or of a plain network. Each process predicts with its own members.
double accuracy(Network& network, const lpw::data::Dataset& data) {
  const lpw::data::Loader<float> test(data.test, data.normalization, lpw::data::evaluation());
  lpw::metrics::Evaluator evaluator;
  for (auto& [images, labels] : test.epoch(0))
    evaluator.add(lpw::predict_ensemble(network, images), labels.reshaped({labels.dim(1)}));
  return evaluator.result().accuracy;
}

}  // namespace

int main() try {
  lpw::distributed::Mpi mpi;  // MPI is there as long as this is
  Members members(mpi);
  const bool first = mpi.rank() == 0;

  const lpw::data::SyntheticDifficulty easy{.ambiguous = 0, .min_contrast = 0.6f, .noise = 0, .occluded = 0};
  const auto data = lpw::data::synthetic({.train = 800, .test = 200, .difficulty = easy});
  const lpw::data::Loader<float> train(data.train, data.normalization, {.batch = 10});
  Network network({.depth = 10, .widen = 1, .classes = 10}, lpw::Philox{1});
  lpw::optim::Sgd optimizer(network, {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 5e-4, .clip = 5});

  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    if (epoch == release_epoch)
      members.release(network, optimizer, {.members = 5, .late = lpw::Group::batch_norm | lpw::Group::head});
    const double loss = train_epoch(members, network, optimizer, train, epoch);
    if (first) std::printf("epoch %d: loss %.4f\n", int(epoch + 1), loss);
  }

  const double of_members = accuracy(network, data);
  lpw::collapse(network, optimizer);  // the mean of all members, on every process
  const double of_one = accuracy(network, data);
  if (!first) return 0;
  std::printf("%d processes: ensemble of the members %.2f, collapsed %.2f\n", mpi.size(), of_members, of_one);
  lpw::io::save_safetensors("distributed.safetensors", network);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "distributed: %s\n", error.what());
  return 1;
}
