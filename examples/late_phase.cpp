// The method in one file: train one network, release its batch norms and its head into K members, train those as one
// batched pass, each on minibatches of its own, and average them into one plain network, which is saved.
#include <cstdio>
#include <exception>

#include <lpw/lpw.hpp>

namespace {

using Network = lpw::nn::WideResNet<float, lpw::Cpu>;
constexpr std::int64_t epochs = 12, release_epoch = 8, members = 5;  // T, T0, K

/// Images of a quarter of the size, so that this takes seconds: means of 4 x 4 pixels.
lpw::data::ImageSet smaller(const lpw::data::ImageSet& set) {
  auto result = set;
  result.pixels.clear(), result.height /= 4, result.width /= 4;
  for (std::int64_t at = 0; at < result.count * result.image_size(); ++at) {
    const std::int64_t c = at % 3, x = at / 3 % result.width, y = at / 3 / result.width;  // y: of all images in a row
    int sum = 0;
    for (std::int64_t i = 0; i < 16; ++i)
      sum += set.pixels[lpw::to_size(((4 * y + i / 4) * set.width + 4 * x + i % 4) * 3 + c)];
    result.pixels.push_back(static_cast<std::uint8_t>(sum / 16));
  }
  return result;
}

/// Prints how a network does on images that it has not seen: a plain one by its softmax, members by the mean of theirs.
void print_score(const char* of, Network& network, const lpw::data::Dataset& data) {
  const lpw::data::Loader<float> test(data.test, data.normalization, lpw::data::evaluation());
  lpw::metrics::Evaluator evaluator;
  for (auto& [images, labels] : test.epoch(0))
    evaluator.add(lpw::predict_ensemble(network, images), labels.reshaped({labels.dim(1)}));
  const auto result = evaluator.result();
  std::printf("%-26s accuracy %.3f, NLL %.3f\n", of, result.accuracy, result.nll);
}

/// One pass through the training set: theta steps by the members' gradients together, each phi_k by its minibatch's.
double train_epoch(Network& network, auto& optimizer, const lpw::data::Loader<float>& train, std::int64_t epoch) {
  const std::int64_t k = lpw::nn::members(network);
  const double rate = lpw::optim::factor(lpw::optim::Cosine{.epochs = epochs}, static_cast<double>(epoch));
  double sum = 0;
  for (auto& [images, labels] : train.epoch(epoch, k)) {  // [K, B, 8, 8, 3] and [K, B]
    lpw::Tape tape;
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);  // [K]
    lpw::require_finite(loss);
    tape.backward(loss);  // of the sum over the members
    optimizer.step(rate);
    for (std::int64_t i = 0; i < k; ++i) sum += static_cast<double>(loss.value().data()[i]);
  }
  return sum / static_cast<double>(train.iterations(k) * k);
}

}  // namespace

int main() try {
  const lpw::data::SyntheticDifficulty easy{.ambiguous = 0, .min_contrast = 0.6f, .noise = 0, .occluded = 0};
  auto data = lpw::data::synthetic({.train = 2000, .test = 500, .difficulty = easy});
  data.train = smaller(data.train), data.test = smaller(data.test);
  const lpw::data::Loader<float> train(data.train, data.normalization, {.batch = 10});
  Network network({.depth = 10, .widen = 1, .classes = 10}, lpw::Philox{1});
  lpw::optim::Sgd optimizer(network, {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 5e-4});

  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    if (epoch == release_epoch) {
      print_score("before release:", network, data);
      lpw::release(network, optimizer, {.members = members, .late = lpw::Group::batch_norm | lpw::Group::head});
      std::printf("released %d members; an iteration takes %d minibatches now\n", int(members), int(members));
    }
    std::printf("epoch %d: loss %.3f\n", int(epoch + 1), train_epoch(network, optimizer, train, epoch));
  }

  print_score("ensemble of the members:", network, data);
  lpw::collapse(network);
  print_score("collapsed, one network:", network, data);
  lpw::io::save_safetensors("late_phase.safetensors", network);
  std::printf("saved as late_phase.safetensors\n");
} catch (const std::exception& error) {
  std::fprintf(stderr, "late_phase: %s\n", error.what());
  return 1;
}
