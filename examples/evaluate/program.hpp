// What the evaluation does in an element type and on a device: it reads the networks, and predicts with them.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/loader.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/train/trainer.hpp>

#include "../cifar/example.hpp"
#include "../shared/trainer_program.hpp"
#include "evaluation.hpp"
#include "example.hpp"
#include "inputs.hpp"

namespace evaluate {

/// Reads saved networks of one source, each as it was served.
template <class T, class Device>
class NetworkReader {
 public:
  using Network = cifar::Example::Network<T, Device>;

  explicit NetworkReader(lpw::train::Display& display) : display_(display) {}

  /// Throws FileError and OptionError for what cannot be read.
  [[nodiscard]] std::vector<Network> read(const Source& source) const {
    std::vector<Network> networks;
    if (source.kind == Source::Kind::model) {
      networks.push_back(plain(*source.run));
      lpw::io::load_safetensors(source.file, networks.back(), {.convert = source.run->convert});
    } else if (source.kind == Source::Kind::members) {
      networks.push_back(members(*source.run));
    } else {
      networks = snapshots(source);
    }
    return networks;
  }

 private:
  /// As a run ends with.
  [[nodiscard]] static Network plain(cifar::Options run) {
    run.model = run.plain_model();
    return Network(cifar::network_options(run), lpw::Philox(0));
  }

  /// As the trainer would score them: of a checkpoint, by all that makes up its run.
  [[nodiscard]] Network members(const cifar::Options& run) const {
    using Task = cifar::Example::Task<Network>;
    const auto shape = cifar::network_options(run);
    const auto data = cifar::load_data(run);
    Network network(shape, lpw::Philox(run.seed));
    Task task(data, cifar::task_options(run));
    lpw::train::Trainer trainer(network, task, example::train_options(run), run.recorded,
                                [shape](const lpw::Philox& random) { return Network(shape, random); });
    trainer.load(run.eval);
    trainer.offer(display_);
    return network;
  }

  [[nodiscard]] static std::vector<Network> snapshots(const Source& source) {
    const auto folder = source.file.parent_path() / "snapshots";
    auto networks = lpw::io::Snapshots(folder, std::max<std::int64_t>(source.run->snapshots, 1))
                        .networks(plain(*source.run), source.steps);
    lpw::require<lpw::FileError>(!networks.empty(), folder.string(),
                                 ": there are no snapshots of this run; a run takes them with --snapshots");
    return networks;
  }

  lpw::train::Display& display_;
};

/// Predicts with networks on their device.
template <class Network>
class NetworksPredictor final : public Predictor {
 public:
  using T = typename Network::value_type;
  using D = typename Network::device_type;

  NetworksPredictor(std::vector<Network> networks, lpw::data::Normalization normalization, std::int64_t batch)
      : networks_(std::move(networks)), normalization_(std::move(normalization)), batch_(batch) {
    for (Network& network : networks_) members_ += lpw::nn::members(network);
  }

  void predict(const Images& images, const std::function<void(const Probabilities&)>& take) override {
    const auto set = set_of(images);
    const typename lpw::data::LoaderFor<T, D>::type loader(set, normalization_, lpw::data::evaluation(batch_));
    for (auto& [inputs, labels] : loader.epoch(0)) {
      const auto members = lpw::predict_networks(networks_, inputs), ensemble = lpw::ensemble_of(members);
      const auto there = lpw::to_host(labels);
      take({values_of(members), values_of(ensemble), values_of(there), ensemble.dim(1)});
    }
  }
  [[nodiscard]] std::int64_t members() const override { return members_; }

 private:
  template <class U>
  [[nodiscard]] static std::span<const U> values_of(const lpw::Tensor<U, lpw::Cpu>& tensor) {
    return {tensor.data(), lpw::to_size(tensor.size())};
  }
  [[nodiscard]] static lpw::data::ImageSet set_of(const Images& images) {
    return {.count = std::ssize(images.labels),
            .height = images.height,
            .width = images.width,
            .channels = images.channels,
            .classes = images.classes,
            .pixels = {images.pixels.begin(), images.pixels.end()},
            .labels = {images.labels.begin(), images.labels.end()}};
  }

  std::vector<Network> networks_;
  lpw::data::Normalization normalization_;
  std::int64_t batch_, members_ = 0;
};

/// Made and run like a trainer's program.
template <class T, class Device>
class Program {
  using Network = cifar::Example::Network<T, Device>;

 public:
  Program(const Options& options, const std::string&) : options_(options) {}

  /// Returns the exit code.
  int run() {
    const auto sources = find_sources(options_);
    for (const Source& source : sources)
      if (!source.says_normalization)
        display_.line(lpw::to_text("warning: ", lpw::train::one_line(source.given),
                                   " does not say what its images were normalised by; taken are the statistics of ",
                                   source.images));
    for (const Source& source : sources)
      if (options_.test.empty() && cifar::unknown_split(*source.run))
        display_.line(lpw::train::one_line(cifar::warn_of_split(*source_of_images(sources).run, source.given)));
    const Evaluation evaluation(options_, sources);
    std::vector<Network> networks;
    Scored scored{.members = {}, .machine = example::Machine<Device>::description()};
    const NetworkReader<T, Device> reader(display_);
    for (const Source& source : sources) {
      auto found = reader.read(source);
      std::int64_t members = 0;
      for (Network& network : found) {
        members += lpw::nn::members(network);
        networks.push_back(std::move(network));
      }
      scored.members.push_back(members);
    }
    if (!options_.exported.empty()) export_scored(networks, evaluation, sources);
    NetworksPredictor<Network> predictor(std::move(networks), evaluation.dataset().normalization, options_.batch);
    try {
      evaluation.run(scored, predictor);
    } catch (const lpw::NonFinite& error) {
      lpw::fail<lpw::NonFinite>(sources.size() == 1 ? sources.front().given : "one of the networks",
                                ": the outputs are not finite (", error.what(),
                                "): its training diverged; take a checkpoint or model of before");
    }
    return 0;
  }

 private:
  void export_scored(std::vector<Network>& networks, const Evaluation& evaluation, const std::vector<Source>& sources) {
    lpw::require<lpw::OptionError>(networks.size() == 1, "--export ", options_.exported, ": writes one network, and ",
                                   networks.size(), " are scored; name one by --network");
    const Source& source = sources.front();
    auto run = *source.run;
    choose_sizes(options_, run);
    auto [about, sample] = cifar::exported(run, evaluation.dataset());
    example::export_network(options_.exported, networks.front(), sample, std::move(about));
    display_.line("exported " + lpw::train::one_line(options_.exported));
  }

  const Options& options_;
  lpw::train::Display display_;
};

}  // namespace evaluate
