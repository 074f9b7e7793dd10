// What the options of the CIFAR trainer mean for the library.
#pragma once

#include <cmath>
#include <filesystem>
#include <regex>
#include <string>

#include <nlohmann/json.hpp>

#include <lpw/cpu/engine.hpp>
#include <lpw/data/cifar.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/nn/wide_resnet.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/options.hpp>

namespace cifar {

struct Options {
  std::string data = "synthetic", dataset = "cifar10", model = "wrn-28-10";
  std::int64_t epochs = 200, batch = 128, members = 10, release_epoch = 120;
  std::string late = "batchnorm,head";
  double sigma = 0;
  std::string base_gradient = "sum";
  double lr = 0.1, late_lr = -1, momentum = 0.9, weight_decay = 5e-4, late_weight_decay = -1;
  std::string schedule = "anneal", late_schedule;
  std::int64_t swa_start = -1;
  double label_smoothing = 0, dropout = 0;
  int cutout = 0;
  std::int64_t train_subset = 0, test_subset = 0, member_chunk = 0;
  std::string precision = "fp32", augment = "standard", init;
  std::uint64_t seed = 0;
  int threads = 0;
  std::string device = "cpu", out;
  bool resume = false, dry_run = false;
  double checkpoint_minutes = 10;
  std::string eval;
  nlohmann::json recorded;  // by the checkpoint in `eval`: the description of its run

  /// Which images there are: synthetic, cifar10 or cifar100.
  [[nodiscard]] std::string images() const { return data == "synthetic" ? data : dataset; }
};

/// Calls f(name, value) for the options that, with the data set, make up a run's result.
template <class O, class F>
void for_each_run_option(O& o, F&& f) {
  f("model", o.model), f("epochs", o.epochs), f("batch", o.batch), f("members", o.members), f("release-epoch", o.release_epoch);
  f("late", o.late), f("sigma", o.sigma), f("base-gradient", o.base_gradient), f("lr", o.lr), f("late-lr", o.late_lr);
  f("momentum", o.momentum), f("weight-decay", o.weight_decay), f("late-weight-decay", o.late_weight_decay);
  f("schedule", o.schedule), f("late-schedule", o.late_schedule), f("swa-start", o.swa_start);
  f("label-smoothing", o.label_smoothing), f("dropout", o.dropout), f("cutout", o.cutout), f("augment", o.augment);
  f("train-subset", o.train_subset), f("test-subset", o.test_subset), f("member-chunk", o.member_chunk);
  f("precision", o.precision), f("init", o.init), f("seed", o.seed), f("device", o.device);
}

/// What does the convolutions.
inline std::string engine() { return lpw::cpu_engine() == lpw::CpuEngine::onednn ? "oneDNN" : "Eigen"; }

/// What a checkpoint records of its run: one made with other options, or a program whose sums round otherwise, is not continued. One that
/// is evaluated is taken as it is.
inline nlohmann::json description(const Options& o) {
  if (!o.recorded.is_null()) return o.recorded;
  nlohmann::json result{{"dataset", o.images()}, {"engine", engine()}};
  for_each_run_option(o, [&](const char* name, const auto& value) { result[name] = value; });
  return result;
}

/// Takes the data set that a saved network was trained on, for --eval; the folder of its files remains the caller's to say.
inline void adopt_images(Options& o, const std::string& images) {
  lpw::require<lpw::OptionError>(images != "synthetic" || o.data == "synthetic", o.eval,
                                 ": was trained on the synthetic data; evaluate it without --data");
  lpw::require<lpw::OptionError>(images == "synthetic" || o.data != "synthetic", o.eval, ": was trained on ", images,
                                 "; say with --data DIR where its files are");
  if (images != "synthetic") o.dataset = images;
}

/// Takes the options of a run from its checkpoint, for --eval. Those for which `given` holds must be the same, but for the number of test
/// images, which is the caller's to choose.
template <class Given>
void adopt(Options& o, const nlohmann::json& recorded, Given&& given) {
  std::string images, differences;
  const auto take = [&](const std::string& name, auto& value) {
    auto trained = value;
    recorded.at(name).get_to(trained);
    if (given(name) && name == "test-subset") return;
    if (given(name) && value != trained)
      differences += lpw::concat(differences.empty() ? "" : "; ", name, " was ", recorded.at(name), ", now ", nlohmann::json(value));
    value = std::move(trained);
  };
  try {
    recorded.at("dataset").get_to(images);
    if (images != "synthetic") take("dataset", o.dataset);
    for_each_run_option(o, take);
  } catch (const nlohmann::json::exception&) {
    lpw::fail<lpw::FileError>(o.eval, ": is not a checkpoint of this trainer");
  }
  lpw::require<lpw::OptionError>(differences.empty(), o.eval, ": was trained with other options: ", differences,
                                 "; leave them out, --eval takes them from the checkpoint");
  adopt_images(o, images);
  o.recorded = recorded;
}

/// Whether a checkpoint is evaluated on other test images than its run was.
inline bool other_test_images(const Options& o) { return o.recorded.at("test-subset") != o.test_subset; }

/// "batchnorm,head", "rank1" or "none" (any combination of names joined by commas) as groups.
inline lpw::Group parse_late(const std::string& text) {
  if (text == "none") return lpw::Group::none;
  lpw::Group groups = lpw::Group::none;
  for (const auto part : lpw::optim::detail::split(text, ',')) {
    lpw::require<lpw::OptionError>(part == "batchnorm" || part == "head" || part == "rank1", "--late ", text, ": \"", part,
                                   "\" is not one of batchnorm, head, rank1; expected some of them joined by commas, or none");
    groups = groups | (part == "batchnorm" ? lpw::Group::batch_norm : part == "head" ? lpw::Group::head : lpw::Group::rank_one);
  }
  return groups;
}

/// "wrn-DEPTH-WIDEN".
inline lpw::nn::WideResNetOptions parse_model(const std::string& text) {
  std::smatch match;
  lpw::require<lpw::OptionError>(std::regex_match(text, match, std::regex("wrn-([0-9]{1,4})-([0-9]{1,3})")), "--model ", text,
                                 ": expected wrn-DEPTH-WIDEN, such as wrn-28-10");
  return {.depth = std::stoi(match[1]), .widen = std::stoi(match[2])};
}

inline lpw::nn::WideResNetOptions network_options(const Options& o) {
  auto result = parse_model(o.model);
  result.classes = o.images() == "cifar100" ? 100 : 10;
  result.dropout = o.dropout;
  return result;
}

inline lpw::data::Dataset load_dataset(const Options& o) {
  const std::string images = o.images();
  auto dataset = images == "synthetic"  ? lpw::data::synthetic({})
                 : images == "cifar100" ? lpw::data::cifar100(o.data)
                                        : lpw::data::cifar10(o.data);
  const auto shorten = [](lpw::data::ImageSet& set, std::int64_t size, const char* option) {
    lpw::require<lpw::OptionError>(size <= set.count, option, ' ', size, ": there are only ", set.count, " images");
    if (size > 0) set = lpw::data::balanced_subset(set, size);
  };
  shorten(dataset.train, o.train_subset, "--train-subset");
  shorten(dataset.test, o.test_subset, "--test-subset");
  return dataset;
}

inline lpw::train::ImageClassificationOptions task_options(const Options& o) {
  auto augment = o.augment == "none" ? lpw::data::no_augmentation : lpw::data::pad_crop_flip;
  augment.cutout = o.cutout;
  return {.batch = o.batch, .augment = augment, .label_smoothing = o.label_smoothing, .seed = o.seed};
}

inline lpw::train::TrainOptions train_options(const Options& o) {
  const double late_lr = o.late_lr < 0 ? o.lr : o.late_lr, epochs = static_cast<double>(o.epochs);
  return {.epochs = o.epochs,
          .members = o.members,
          .release_epoch = o.release_epoch,
          .late = parse_late(o.late),
          .sigma = o.sigma,
          .sgd = {.learning_rate = o.lr,
                  .late_learning_rate = o.late_lr,
                  .momentum = o.momentum,
                  .nesterov = o.momentum > 0,
                  .weight_decay = o.weight_decay,
                  .late_weight_decay = o.late_weight_decay,
                  .base_gradient = o.base_gradient == "mean" ? lpw::optim::BaseGradient::mean : lpw::optim::BaseGradient::sum},
          .schedule = lpw::optim::parse_schedule(o.schedule, o.lr, epochs),
          .late_schedule = o.late_schedule.empty() ? lpw::optim::parse_schedule(o.schedule, o.lr, epochs)
                                                   : lpw::optim::parse_schedule(o.late_schedule, late_lr, epochs),
          .swa_start = o.swa_start,
          .member_chunk = o.member_chunk,
          .seed = o.seed,
          .checkpoint_minutes = o.checkpoint_minutes};
}

}  // namespace cifar
