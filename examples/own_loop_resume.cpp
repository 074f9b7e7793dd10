// A loop of one's own that can be killed at any time and goes on where its last state was, in the middle of an epoch
// too, to the same bits.
// Usage:
//   own_loop_resume [FOLDER]     FOLDER, which is made, holds state.lpw and at last model.safetensors
// A run is its network, its optimizer, what it averages, and its place: data and all else that is random are functions
// of that. save_state keeps them, with what was released; load_state puts them into a network that is made as the run's
// was at its start.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>

#include <lpw/lpw.hpp>

namespace {

constexpr std::int64_t epochs = 6, release_epoch = 3, save_every = 5;

/// All that changes in the course of the run.
struct Run {
  lpw::nn::WideResNet<float, lpw::Cpu> network{{.depth = 10, .widen = 1, .classes = 10}, lpw::Philox{1}};
  lpw::optim::Sgd<float, lpw::Cpu> optimizer{network, {.learning_rate = 0.05, .momentum = 0.9}};
  lpw::optim::ExponentialAverage<float, lpw::Cpu> average{network, {.decay = 0.95}};
  lpw::data::Place place;  // the next epoch, iteration and step
  double best_loss = 1e30;

  /// Written whole or not at all: after a kill in here, the state of before is there.
  void save(const std::filesystem::path& path) {
    lpw::io::save_state(path, network, optimizer, average, place, nlohmann::json{{"best loss", best_loss}});
  }
  void load(const std::filesystem::path& path) {
    const auto own = lpw::io::load_state(path, network, optimizer, average, place);
    best_loss = own.at("best loss").get<double>();
  }
};

void train_epoch(Run& run, const lpw::data::Loader<float>& train, const std::filesystem::path& state) {
  auto& [network, optimizer, average, place, best_loss] = run;
  for (auto& [images, labels] : train.epoch(place, lpw::nn::members(network))) {
    lpw::Tape tape({.random = place.random(1)});  // of dropout, where a network has some
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);
    lpw::require_finite(loss);
    tape.backward(loss);
    optimizer.step();
    average.update();
    best_loss = std::min(best_loss, static_cast<double>(loss.value().data()[0]));
    place.advance();
    if (place.step % save_every == 0) run.save(state);
  }
  place.end_epoch();
}

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path folder = argc > 1 ? argv[1] : "own_loop_run";
  const auto state = folder / "state.lpw";
  std::filesystem::create_directories(folder);

  const auto data = lpw::data::synthetic({}, {.train = 400, .test = 100});
  const lpw::data::Loader<float> train(data.train, data.normalization,
                                       {.batch = 20, .augment = lpw::data::pad_crop_flip});
  Run run;
  if (std::filesystem::exists(state)) run.load(state);
  std::printf("from epoch %d, iteration %d on\n", int(run.place.epoch + 1), int(run.place.iteration + 1));
  while (run.place.epoch < epochs) {
    if (run.place.epoch == release_epoch && run.place.iteration == 0)
      lpw::release(run.network, lpw::Followers(run.optimizer, run.average),
                   {.members = 3, .late = lpw::Group::batch_norm | lpw::Group::head, .sigma = 0.05});
    train_epoch(run, train, state);
    run.save(state);
    std::printf("epoch %d of %d, %d members, best loss %.4f\n", int(run.place.epoch), int(epochs),
                int(lpw::nn::members(run.network)), run.best_loss);
    std::fflush(stdout);
  }
  lpw::collapse(run.network);
  lpw::io::save_safetensors(folder / "model.safetensors", run.network);
  std::printf("saved %s\n", (folder / "model.safetensors").c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "own_loop_resume: %s\n", error.what());
  return 1;
}
