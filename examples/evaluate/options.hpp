// The options of the evaluation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lpw/tensor/text.hpp>

#include "../shared/option_table.hpp"

namespace evaluate {

struct Options {
  static constexpr const char* program = "evaluate";
  static constexpr const char* purpose =
      "Scores saved networks, or several as an ensemble: accuracy, likelihood, calibration, selective prediction, "
      "detection of other data, and robustness to corrupted images.";

  std::string networks, take = "model", model;
  bool convert = false;
  std::string data = "synthetic", dataset = "cifar10", test, ood, corruptions, reference;
  std::int64_t image_size = 0, resize = 0;
  std::string damaged = "refuse";
  std::int64_t train_subset = -1, test_subset = 0, held_out = -1, unseen = 0, corrupted = 0;
  std::string out, exported, device = "cpu", precision = "fp32", convolution = "winograd";
  std::int64_t batch = 250;
  std::uint64_t seed = 0;
  bool deterministic = false;
  int threads = 0;

  [[nodiscard]] static const example::OptionTable<Options>& table();
  /// What an option that may be repeated was given.
  [[nodiscard]] static std::vector<std::string> parts(const std::string& joined) {
    std::vector<std::string> result;
    if (!joined.empty())
      for (const auto part : lpw::split_text(joined, '\n')) result.emplace_back(part);
    return result;
  }
};

namespace detail {

/// A name that can be a value in a repeated option.
[[nodiscard]] inline example::Check single_line(example::Check check) {
  return {.complaint = [check](std::string& text) {
    if (text.find('\n') != text.npos) return std::string("a name with an end of a line in it cannot be given here");
    return check.complaint(text);
  }};
}

[[nodiscard]] inline example::OptionTable<Options> network_rows() {
  using namespace example;
  constexpr auto network = Section::network;
  return {
      {.name = "network",
       .member = &Options::networks,
       .help = "what to score: a run folder, a model.safetensors, or a checkpoint.lpw, whose members are scored; given "
               "several times, all together as an ensemble",
       .check = single_line(path_name()),
       .section = network,
       .repeated = true},
      {.name = "take",
       .member = &Options::take,
       .help = "of run folders: model (model.safetensors, the plain network that a run ends with), members (those in "
               "checkpoint.lpw, with averaged weights where the run has any) or snapshots (those in snapshots/)",
       .check = one_of({"model", "members", "snapshots"}),
       .section = network},
      {.name = "model",
       .member = &Options::model,
       .help = "as the trainer's --model, such as wrn-28-10 or resnet50, of files that do not say it themselves",
       .section = network},
      {.name = "convert",
       .member = &Options::convert,
       .help = "take F16, BF16 or F64 weights of a file, rounded to F32",
       .section = network},
  };
}

[[nodiscard]] inline example::OptionTable<Options> data_rows() {
  using namespace example;
  constexpr auto images = Section::data;
  const auto needs_corruptions = [](const Options& o) -> std::optional<Idle> {
    if (!o.corruptions.empty()) return std::nullopt;
    return Idle{"corruptions", "no corrupted images are scored"};
  };
  return {
      {.name = "data",
       .member = &Options::data,
       .help =
           "what the networks were trained on: folder of CIFAR's binary files (scripts/download_data.sh) or of "
           "images, IMAGES.npy:LABELS.npy, or synthetic; all images are normalised with its statistics, as in training",
       .check = path_name(),
       .section = images},
      {.name = "dataset",
       .member = &Options::dataset,
       .help = "cifar10, cifar100 or folder, where no file says it",
       .check = one_of({"cifar10", "cifar100", "folder"}),
       .section = images,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.data == "synthetic") return Idle{"data", "the data are synthetic"};
         if (o.data.find(".npy:") == o.data.npos) return std::nullopt;
         return Idle{"data", "the images are those of the .npy files"};
       }},
      {.name = "image-size",
       .member = &Options::image_size,
       .help = "side in pixels of what the networks see of a folder's images; 0: what their files say, or 224",
       .check = at_least<std::int64_t>(0, {}, 4096),
       .section = images},
      {.name = "resize",
       .member = &Options::resize,
       .help =
           "their shorter side in pixels, before the middle is cut out of them; 0: what the networks' files say, or "
           "8/7 of --image-size",
       .check = at_least<std::int64_t>(0, {}, 8192),
       .section = images},
      {.name = "damaged",
       .member = &Options::damaged,
       .help = "files that cannot be decoded: refuse, or skip: all are decoded once at the start, and those are named "
               "and left out; of --data also where the networks' runs did so",
       .check = one_of({"refuse", "skip"}),
       .section = images},
      {.name = "test",
       .member = &Options::test,
       .help = "score on other images of the same classes than the test set in --data: a CIFAR folder, one with a "
               "folder of images for each class, synthetic, or IMAGES.npy:LABELS.npy (bytes [N, H, W, C] and whole "
               "numbers [N])",
       .check = path_name(),
       .section = images},
      {.name = "test-subset",
       .member = &Options::test_subset,
       .help = "score on this many images of each set, class-balanced; 0: all",
       .check = at_least<std::int64_t>(0),
       .section = images},
      {.name = "train-subset",
       .member = &Options::train_subset,
       .help =
           "the networks were trained on this many images, of which --held-out are; -1: as their runs record, or all",
       .check = at_least<std::int64_t>(0, -1),
       .section = images},
      {.name = "held-out",
       .member = &Options::held_out,
       .help = "fit a temperature on this many training images, chosen as a trainer's --held-out are; 0: fit none; -1: "
               "on those that the networks' runs held out",
       .check = at_least<std::int64_t>(0, -1),
       .section = images},
      {.name = "unseen",
       .member = &Options::unseen,
       .help = "fit it on this many others instead: of training images that are not in the --train-subset that the "
               "networks were trained on; 0: on --held-out",
       .check = at_least<std::int64_t>(0),
       .section = images},
      {.name = "ood",
       .member = &Options::ood,
       .help =
           "NAME=DATA: tell the images of DATA, which are none of the classes, from the test set's; DATA is a CIFAR "
           "folder, one with folders of images, synthetic, or IMAGES.npy. May be given several times",
       .check = single_line({.complaint =
                                 [](const std::string& text) {
                                   const auto sign = text.find('=');
                                   return sign == text.npos || sign == 0 || sign + 1 == text.size()
                                              ? "expected NAME=DATA, found " + text
                                              : std::string();
                                 }}),
       .section = images,
       .repeated = true},
      {.name = "corruptions",
       .member = &Options::corruptions,
       .help = "score on corrupted images too: own (of the test set, computed here; not CIFAR-10-C), or the folder of "
               "the published .npy files of CIFAR-10-C or CIFAR-100-C",
       .check = path_name(),
       .section = images},
      {.name = "corrupted",
       .member = &Options::corrupted,
       .help = "corrupt this many of the images that are scored, class-balanced; 0: all",
       .check = at_least<std::int64_t>(0),
       .section = images,
       .idle = needs_corruptions},
      {.name = "reference",
       .member = &Options::reference,
       .help = "evaluation.json of the network whose errors under the same corruptions count as 1, for mCE",
       .check = path_name(),
       .section = images,
       .idle = needs_corruptions},
  };
}

[[nodiscard]] inline example::OptionTable<Options> run_rows() {
  using namespace example;
  constexpr auto run = Section::run;
  return {
      {.name = "out",
       .member = &Options::out,
       .help = "folder for evaluation.json, reliability.svg and risk_coverage.svg; default: none are written",
       .check = path_name(),
       .section = run},
      {.name = "export",
       .member = &Options::exported,
       .help = "write what is scored, one network with all its members, to a file of this name: NAME.onnx, a graph "
               "whose result is the members' mean, or without members NAME.safetensors",
       .check = export_name(),
       .section = run},
      {.name = "device",
       .member = &Options::device,
       .help = "cpu, or cuda: an NVIDIA GPU",
       .check = one_of({"cpu", "cuda"}),
       .section = run},
      {.name = "precision",
       .member = &Options::precision,
       .help = "fp32, or on a GPU bf16 or tf32, whatever the networks were trained in",
       .check = one_of({"fp32", "bf16", "tf32"}),
       .section = run},
      {.name = "convolution",
       .member = &Options::convolution,
       .help = "3x3 convolutions on the CPU: winograd (where it is faster) or direct",
       .check = one_of({"winograd", "direct"}),
       .section = run,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.device == "cpu") return std::nullopt;
         return Idle{"device", "it says how the CPU convolves"};
       }},
      {.name = "batch",
       .member = &Options::batch,
       .help = "images at a time",
       .check = at_least<std::int64_t>(1),
       .section = run},
      {.name = "seed",
       .member = &Options::seed,
       .help = "seed of the noise in --corruptions own",
       .check = at_least<std::uint64_t>(0, {}, ~std::uint64_t{0}),
       .section = run,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.corruptions == "own") return std::nullopt;
         return Idle{"corruptions", "nothing is drawn but for --corruptions own"};
       }},
      {.name = "deterministic",
       .member = &Options::deterministic,
       .help = "the same bits each time on a GPU too; the CPU's always are",
       .section = run},
      {.name = "threads",
       .member = &Options::threads,
       .help = "CPU threads, 0: as many as the process may use; results do not depend on it",
       .check = range(0, 4096),
       .section = run},
  };
}

}  // namespace detail

inline const example::OptionTable<Options>& Options::table() {
  static const example::OptionTable<Options> rows = [] {
    example::OptionTable<Options> all;
    for (auto&& part : {detail::network_rows(), detail::data_rows(), detail::run_rows()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return rows;
}

}  // namespace evaluate
