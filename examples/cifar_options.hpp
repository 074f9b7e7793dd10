// The options of the CIFAR trainer: their names, checks, and what they mean for the library.
#pragma once

#include <cmath>
#include <ctime>
#include <filesystem>
#include <optional>
#include <regex>
#include <string>
#include <thread>

#include <omp.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <lpw/cpu/engine.hpp>
#include <lpw/data/cifar.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/checkpoint.hpp>
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
  std::string schedule = "constant", late_schedule;
  std::int64_t swa_start = -1;
  double label_smoothing = 0, dropout = 0;
  int cutout = 0;
  std::int64_t train_subset = 0, member_chunk = 0;
  std::string precision = "fp32", augment = "standard", init;
  std::uint64_t seed = 0;
  int threads = 0;
  std::string device = "cpu", out;
  bool resume = false;
  double checkpoint_minutes = 10;
  std::string eval;
};

/// "batchnorm,head", "rank1" or "none" (any combination of names joined by commas) as groups.
inline lpw::Group parse_late(const std::string& text) {
  lpw::Group groups = lpw::Group::none;
  for (const auto part : lpw::optim::detail::split(text, ',')) {
    if (part == "none") continue;
    lpw::require<lpw::OptionError>(part == "batchnorm" || part == "head" || part == "rank1", "--late ", text, ": \"", part,
                                   "\" is not one of batchnorm, head, rank1, none");
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

/// The options that make up a run's result: a checkpoint made with others is not continued.
inline nlohmann::json description(const Options& o) {
  return {{"data", o.data == "synthetic" ? "synthetic" : o.dataset},
          {"dataset", o.data == "synthetic" ? "synthetic" : o.dataset},
          {"model", o.model},
          {"epochs", o.epochs},
          {"batch", o.batch},
          {"members", o.members},
          {"release-epoch", o.release_epoch},
          {"late", o.late},
          {"sigma", o.sigma},
          {"base-gradient", o.base_gradient},
          {"lr", o.lr},
          {"late-lr", o.late_lr},
          {"momentum", o.momentum},
          {"weight-decay", o.weight_decay},
          {"late-weight-decay", o.late_weight_decay},
          {"schedule", o.schedule},
          {"late-schedule", o.late_schedule},
          {"swa-start", o.swa_start},
          {"label-smoothing", o.label_smoothing},
          {"dropout", o.dropout},
          {"cutout", o.cutout},
          {"train-subset", o.train_subset},
          {"member-chunk", o.member_chunk},
          {"precision", o.precision},
          {"augment", o.augment},
          {"init", o.init},
          {"seed", o.seed},
          {"device", o.device}};
}

/// Takes the options that describe a run from its checkpoint, for --eval.
inline void adopt(Options& o, const nlohmann::json& d) {
  try {
    o.dataset = o.data == "synthetic" ? o.dataset : d.at("dataset").get<std::string>();
    o.model = d.at("model"), o.epochs = d.at("epochs"), o.batch = d.at("batch"), o.members = d.at("members");
    o.release_epoch = d.at("release-epoch"), o.late = d.at("late"), o.sigma = d.at("sigma"), o.base_gradient = d.at("base-gradient");
    o.lr = d.at("lr"), o.late_lr = d.at("late-lr"), o.momentum = d.at("momentum"), o.weight_decay = d.at("weight-decay");
    o.late_weight_decay = d.at("late-weight-decay"), o.schedule = d.at("schedule"), o.late_schedule = d.at("late-schedule");
    o.swa_start = d.at("swa-start"), o.label_smoothing = d.at("label-smoothing"), o.dropout = d.at("dropout"), o.cutout = d.at("cutout");
    o.train_subset = d.at("train-subset"), o.member_chunk = d.at("member-chunk"), o.precision = d.at("precision");
    o.augment = d.at("augment"), o.seed = d.at("seed");
  } catch (const nlohmann::json::exception&) {
    lpw::fail<lpw::FileError>(o.eval, ": is not the checkpoint of this trainer");
  }
}

inline lpw::data::Dataset load_dataset(const Options& o) {
  auto dataset = o.data == "synthetic" ? lpw::data::synthetic({}) : o.dataset == "cifar100" ? lpw::data::cifar100(o.data) : lpw::data::cifar10(o.data);
  if (o.train_subset > 0) dataset.train = lpw::data::balanced_subset(dataset.train, o.train_subset);
  return dataset;
}

inline lpw::nn::WideResNetOptions network_options(const Options& o, const lpw::data::Dataset& dataset) {
  auto result = parse_model(o.model);
  result.classes = dataset.train.classes;
  result.dropout = o.dropout;
  return result;
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

template <class Network>
std::string banner(const Options& o, const lpw::data::Dataset& dataset, Network& network) {
  return lpw::concat(o.model, ", ", lpw::nn::flatten(network)->value.base.dim(1), " parameters, ", o.precision, " on the CPU with ",
                     lpw::max_threads(), " threads (", lpw::cpu_engine() == lpw::CpuEngine::onednn ? "oneDNN" : "Eigen; oneDNN is not compiled in, convolutions are slower",
                     "); ", dataset.name, ": ", dataset.train.count, " training and ", dataset.test.count, " test images; run folder ", o.out);
}

class CommandLine {
 public:
  CommandLine() { declare(); }

  /// Fills `options`. Returns an exit code where the program should end: --help, or a mistake, which has been printed.
  std::optional<int> parse(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      std::fputs(app_.help().c_str(), stdout);
      return 0;
    } catch (const CLI::ParseError& error) {
      std::fprintf(stderr, "cifar: %s (see --help)\n", error.what());
      return 2;
    }
    finish();
    return std::nullopt;
  }

  /// The options as TOML, which --config reads.
  [[nodiscard]] std::string config() const { return app_.config_to_str(true, false); }

  Options options;

 private:
  void declare();
  void finish();
  CLI::App app_{"Trains a Wide ResNet with late-phase weights on CIFAR and collapses its members into one plain network."};
};

inline void CommandLine::declare() {
  using CLI::IsMember, CLI::Range, CLI::NonNegativeNumber, CLI::PositiveNumber;
  Options& o = options;
  const auto huge = std::int64_t{1} << 40;
  app_.set_config("--config", "", "read options from a TOML file, such as those in examples/configs or a run folder's config.toml");
  app_.add_option("--data", o.data, "folder of the CIFAR binary files, or synthetic: ten procedural classes")->capture_default_str();
  app_.add_option("--dataset", o.dataset, "cifar10 or cifar100")->check(IsMember({"cifar10", "cifar100"}))->capture_default_str();
  app_.add_option("--model", o.model, "wrn-DEPTH-WIDEN, DEPTH = 6n + 4")->capture_default_str();
  app_.add_option("--epochs", o.epochs, "passes over the training set")->check(Range(std::int64_t{1}, huge))->capture_default_str();
  app_.add_option("--batch", o.batch, "samples per member and iteration")->check(Range(std::int64_t{1}, huge))->capture_default_str();
  app_.add_option("--members", o.members, "K, late-phase members after release")->check(Range(std::int64_t{1}, huge))->capture_default_str();
  app_.add_option("--release-epoch", o.release_epoch, "T0, epochs before release; 0 releases at once")->check(Range(std::int64_t{0}, huge))->capture_default_str();
  app_.add_option("--late", o.late, "late-phase weights: batchnorm, head, rank1 joined by commas, or none")->capture_default_str();
  app_.add_option("--sigma", o.sigma, "sigma_0, release noise relative to each parameter's rms")->check(NonNegativeNumber)->capture_default_str();
  app_.add_option("--base-gradient", o.base_gradient, "base gradient over the members: sum or mean")->check(IsMember({"sum", "mean"}))->capture_default_str();
  app_.add_option("--lr", o.lr, "initial learning rate")->check(PositiveNumber)->capture_default_str();
  app_.add_option("--late-lr", o.late_lr, "the same for late-phase weights; -1: --lr")->capture_default_str();
  app_.add_option("--momentum", o.momentum, "Nesterov momentum; 0: plain SGD")->check(Range(0.0, 0.999999))->capture_default_str();
  app_.add_option("--weight-decay", o.weight_decay, "weight decay")->check(NonNegativeNumber)->capture_default_str();
  app_.add_option("--late-weight-decay", o.late_weight_decay, "the same for late-phase weights; -1: --weight-decay")->capture_default_str();
  app_.add_option("--schedule", o.schedule, "anneal:START:END:FINAL, cosine, steps:a,b,..:gamma or constant, by epoch")->capture_default_str();
  app_.add_option("--late-schedule", o.late_schedule, "the same for late-phase weights; default: --schedule");
  app_.add_option("--swa-start", o.swa_start, "average weights after each epoch from this one on; -1: never")->capture_default_str();
  app_.add_option("--label-smoothing", o.label_smoothing, "label smoothing")->check(Range(0.0, 0.999))->capture_default_str();
  app_.add_option("--dropout", o.dropout, "dropout rate within residual blocks")->check(Range(0.0, 0.999))->capture_default_str();
  app_.add_option("--cutout", o.cutout, "side of the square that cutout erases; 0: none")->check(Range(0, 32))->capture_default_str();
  app_.add_option("--train-subset", o.train_subset, "train on this many images, class-balanced; 0: all")->check(Range(std::int64_t{0}, huge))->capture_default_str();
  app_.add_option("--member-chunk", o.member_chunk, "members computed at a time, for less memory; 0: all")->check(Range(std::int64_t{0}, huge))->capture_default_str();
  app_.add_option("--precision", o.precision, "fp32 or bf16")->check(IsMember({"fp32", "bf16"}))->capture_default_str();
  app_.add_option("--augment", o.augment, "standard (pad-crop and flip) or none")->check(IsMember({"standard", "none"}))->capture_default_str();
  app_.add_option("--init", o.init, "start from a saved plain network (model.safetensors)")->check(CLI::ExistingFile);
  app_.add_option("--seed", o.seed, "seed of everything random")->capture_default_str();
  app_.add_option("--threads", o.threads, "CPU threads; 0: one for each core")->check(Range(0, 4096))->capture_default_str();
  app_.add_option("--device", o.device, "cpu")->check(IsMember({"cpu"}))->capture_default_str();
  app_.add_option("--out", o.out, "run folder; default: runs/DATE-TIME");
  app_.add_option("--checkpoint-minutes", o.checkpoint_minutes, "minutes between checkpoints within an epoch")->check(PositiveNumber)->capture_default_str();
  app_.add_flag("--resume", o.resume, "continue the run in --out, or start it if there is none yet");
  app_.add_option("--eval", o.eval, "evaluate a checkpoint.lpw or model.safetensors and exit")->check(CLI::ExistingFile);
}

inline void CommandLine::finish() {
  Options& o = options;
  using lpw::require, lpw::OptionError;
  require<OptionError>(!o.resume || !o.out.empty(), "--resume needs --out, the folder of the run to continue");
  require<OptionError>(o.data != "synthetic" || o.dataset == "cifar10", "--dataset ", o.dataset, " needs --data DIR; the synthetic data has 10 classes");
  if (!o.eval.empty() && !o.eval.ends_with(".safetensors")) {
    const auto checkpoint = lpw::io::load_checkpoint(o.eval);
    adopt(o, checkpoint.meta.value("options", nlohmann::json::object()));
  }
  if (o.out.empty()) {
    char text[64];
    const std::time_t now = std::time(nullptr);
    std::strftime(text, sizeof text, "runs/%Y%m%d-%H%M%S", std::localtime(&now));
    o.out = text;
  }
  if (o.threads > 0) omp_set_num_threads(o.threads);
}

}  // namespace cifar
