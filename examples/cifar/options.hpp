// The options of the CIFAR trainer, and what they mean for the library.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lpw/data/cifar.hpp>
#include <lpw/data/held_out.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/load_options.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/models/catalogue.hpp>
#include <lpw/train/image_classification.hpp>

#include "../shared/fingerprint.hpp"
#include "../shared/option_table.hpp"
#include "../shared/run_options.hpp"

namespace cifar {

struct Options : example::RunOptions {
  static constexpr const char* program = "cifar";
  static constexpr const char* purpose =
      "Trains a network for images with late-phase weights on CIFAR and collapses its members into one plain network.";
  static constexpr const char* batch_help = "samples per member and iteration";
  static constexpr const char* dropout_help = "dropout rate within residual blocks";
  static constexpr const char* late_help =
      "late-phase weights, joined by commas: batchnorm, head, rank1, templates (of hyper-wrn-DEPTH-WIDEN), all, or "
      "names of parameters, where * stands for any part; additive or additive:NAMES, deviations beside the shared "
      "weights; none. (layernorm, groupnorm and own:NUMBER are of networks of one's own)";

  Options()
      : RunOptions{.epochs = 200,
                   .batch = 128,
                   .release_epoch = 120,
                   .late = "batchnorm,head",
                   .lr = 0.1,
                   .weight_decay = 5e-4} {}

  std::string data = "synthetic", dataset = "cifar10", normalization, model = "wrn-28-10";
  double label_smoothing = 0;
  int cutout = 0;
  std::string augment = "standard", convolution = "winograd";
  std::int64_t train_subset = 0, test_subset = 0, held_out = 0;

  /// Which images there are: synthetic, cifar10 or cifar100.
  [[nodiscard]] std::string images() const { return data == "synthetic" ? data : dataset; }
  /// Whether the weights are made of templates.
  [[nodiscard]] bool has_templates() const { return lpw::models::has_templates(model); }
  /// The plain network that a run ends with.
  [[nodiscard]] std::string plain_model() const { return lpw::models::plain_name(model); }
  [[nodiscard]] static example::OptionTable<Options> own();
};

/// A text that lpw::data::parse_normalization reads.
[[nodiscard]] inline example::Check normalization_text() {
  return example::read_by([](const std::string& text) { return lpw::data::parse_normalization(text); });
}

inline example::OptionTable<Options> Options::own() {
  using namespace example;
  constexpr auto network = Section::network, images = Section::data, training = Section::training;
  return {
      {.name = "data",
       .member = &Options::data,
       .help = "folder of the CIFAR binary files (scripts/download_data.sh), or synthetic: ten procedural classes",
       .check = path_name(),
       .role = Role::data,
       .section = images},
      {.name = "dataset",
       .member = &Options::dataset,
       .help = "cifar10 or cifar100",
       .check = one_of({"cifar10", "cifar100"}),
       .role = Role::data,
       .section = images},
      {.name = "normalization",
       .member = &Options::normalization,
       .help = "what pixels are normalised by: imagenet, cifar10, or MEAN/STD of pixels in [0, 1], such as 0.5/0.25 or "
               "0.485,0.456,0.406/0.229,0.224,0.225; default: the training set's statistics, or with --eval what the "
               "network was trained with",
       .check = normalization_text(),
       .section = images,
       .later = true},
      {.name = "train-subset",
       .member = &Options::train_subset,
       .help = "train on this many images, class-balanced; 0: all",
       .check = at_least<std::int64_t>(0),
       .section = images},
      {.name = "test-subset",
       .member = &Options::test_subset,
       .help = "evaluate on this many images, class-balanced; 0: all",
       .check = at_least<std::int64_t>(0),
       .role = Role::evaluation,
       .section = images},
      {.name = "held-out",
       .member = &Options::held_out,
       .help = "so many of the training images, class-balanced, are not trained on; they are scored beside the test "
               "set's, and are what --best, --collapse greedy and fitted, and --line-search choose by",
       .check = at_least<std::int64_t>(0),
       .role = Role::training,
       .section = images,
       .later = true},
      {.name = "model",
       .member = &Options::model,
       .help = "wrn-DEPTH-WIDEN, DEPTH = 6n + 4; resnet18, 34, 50, 101 or 152 and densenet121, 161, 169 or 201, as "
               "torchvision's, or with -cifar behind for images of 32 pixels; or hyper-wrn-DEPTH-WIDEN: its weights "
               "made of templates, whose coefficients have the rates of late-phase weights from the start, or "
               "--coefficient-lr, --coefficient-weight-decay and --coefficient-schedule",
       .section = network},
      {.name = "convolution",
       .member = &Options::convolution,
       .help = "3x3 convolutions on the CPU: winograd (where it is faster) or direct",
       .check = one_of({"winograd", "direct"}),
       .role = Role::machine,
       .section = network,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.device == "cpu") return std::nullopt;
         return Idle{"device", "it says how the CPU convolves"};
       }},
      {.name = "label-smoothing",
       .member = &Options::label_smoothing,
       .help = "label smoothing",
       .check = range(0.0, 0.999),
       .role = Role::training,
       .section = training},
      {.name = "cutout",
       .member = &Options::cutout,
       .help = "side of the square that cutout erases; 0: none",
       .check = range(0, 32),
       .role = Role::training,
       .section = training},
      {.name = "augment",
       .member = &Options::augment,
       .help = "standard (pad-crop and flip) or none",
       .check = one_of({"standard", "none"}),
       .role = Role::training,
       .section = training},
      {.name = "statistics",
       .member = &Options::statistics,
       .help = "moments by which batch norms normalise before release where several processes (mpirun) share a "
               "minibatch: global, all of its samples', or local, those of each process' part",
       .check = one_of({"global", "local"}),
       .role = Role::training,
       .section = training,
       .later = true},
  };
}

inline void complete(Options& o) {
  lpw::require<lpw::OptionError>(o.data != "synthetic" || o.dataset == "cifar10", "--dataset ", o.dataset,
                                 " needs --data DIR; the synthetic data has 10 classes");
  lpw::require<lpw::OptionError>(o.init.empty() || !o.has_templates(), "--init ", o.init,
                                 ": is a plain network, and the weights of --model ", o.model,
                                 " are made of templates; start --model ", o.plain_model(), " from it");
  if (o.data != "synthetic") o.data = example::absolute_path(o.data);
}

[[nodiscard]] inline nlohmann::json describe(const Options& o, const lpw::data::Dataset&) {
  nlohmann::json result{{"dataset", o.images()}};
  if (o.has_templates()) result["collapsed_model"] = o.plain_model();
  return result;
}

/// How processes that train together know that they have the same images.
[[nodiscard]] inline std::string fingerprint(const Options&, const lpw::data::Dataset& dataset) {
  const auto of = [](const lpw::data::ImageSet& set) {
    return lpw::to_text(example::fingerprint_of(std::span(set.pixels)), " and labels ",
                        example::fingerprint_of(std::span(set.labels)));
  };
  return lpw::to_text("training ", of(dataset.train), "; test ", of(dataset.test));
}

/// Takes the data set that a saved network was trained on; the folder of its files remains the caller's to say.
inline void adopt_images(Options& o, const std::string& images) {
  lpw::require<lpw::OptionError>(images != "synthetic" || o.data == "synthetic", o.eval,
                                 ": was trained on the synthetic data; evaluate it without --data");
  lpw::require<lpw::OptionError>(images == "synthetic" || o.data != "synthetic", o.eval, ": was trained on ", images,
                                 "; say with --data DIR where its files are");
  if (images != "synthetic") o.dataset = images;
}

template <class Given>
void adopt_data(Options& o, const nlohmann::json& recorded, Given&& given) {
  const auto images = recorded.at("dataset").get<std::string>();
  lpw::require<lpw::OptionError>(!given("dataset") || images == "synthetic" || images == o.dataset, o.eval,
                                 ": was trained on ", images, "; leave out --dataset ", o.dataset);
  adopt_images(o, images);
}

/// What the images of a network in a file were normalised by, as far as the file says. Throws FileError where it says
/// what is no normalization.
[[nodiscard]] inline std::optional<lpw::data::Normalization> normalization_in(
    const std::map<std::string, std::string>& metadata, const std::string& file) {
  const auto found = metadata.find("normalization");
  if (found == metadata.end()) return std::nullopt;
  try {
    return lpw::data::parse_normalization(found->second);
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::FileError>(file, ": its normalization is none: ", error.what());
  }
}

/// Takes what a saved network's images were normalised by.
template <class Given>
void adopt_normalization(Options& o, const std::map<std::string, std::string>& metadata, Given&& given) {
  const auto trained = normalization_in(metadata, o.eval);
  if (!trained) return;
  lpw::require<lpw::OptionError>(
      !given("normalization") || same(*trained, lpw::data::parse_normalization(o.normalization)), o.eval,
      ": was trained on images normalised by ", describe(*trained), "; leave out --normalization ", o.normalization);
  o.normalization = describe(*trained);
}

template <class Given>
void adopt_model(Options& o, const lpw::io::Safetensors& content, Given&& given) {
  if (const auto model = content.metadata.find("model"); model != content.metadata.end() && !given("model"))
    o.model = model->second;
  if (const auto images = content.metadata.find("dataset"); images != content.metadata.end() && !given("dataset"))
    adopt_images(o, images->second);
  adopt_normalization(o, content.metadata, given);
}

/// What is to be said of a network that was read from a file, to train or to score it: whether it knows other images.
[[nodiscard]] inline std::vector<std::string> remarks_on_model(const Options&, const std::string& file,
                                                               const lpw::data::Dataset& dataset,
                                                               const lpw::io::LoadReport& report) {
  const auto trained = normalization_in(report.metadata, file);
  const auto here = describe(dataset.normalization);
  if (!trained)
    return {lpw::to_text("warning: ", file, " does not say what its images were normalised by; here they are by ", here,
                         ", or what --normalization says")};
  if (same(*trained, dataset.normalization)) return {};
  const auto there = describe(*trained);
  return {lpw::to_text("warning: ", file, " was trained on images normalised by ", there, ", here they are by ", here,
                       "; --normalization ", there, " is its own")};
}

/// Whether a checkpoint is evaluated on other test images than its run was.
inline bool other_data(const Options& o, const lpw::data::Dataset&) {
  return o.recorded.at("test-subset") != o.test_subset;
}

/// Evaluated is always a plain network where it comes from a file of one.
inline lpw::nn::ImageNetworkOptions network_options(const Options& o) {
  return lpw::models::options_of(o.evaluates_model() ? o.plain_model() : o.model,
                                 {.classes = o.images() == "cifar100" ? 100 : 10, .dropout = o.dropout});
}

inline lpw::data::Dataset load_data(const Options& o) {
  const std::string images = o.images();
  const auto layout = images == "cifar100" ? lpw::data::cifar100_layout() : lpw::data::cifar10_layout();
  const lpw::data::SyntheticOptions synthetic;
  const auto whole = [&](std::int64_t drawn, const auto& files, std::int64_t records) {
    return images == "synthetic" ? drawn : std::ssize(files) * records;
  };
  const auto check = [](std::int64_t size, std::int64_t count, const char* option) {
    lpw::require<lpw::OptionError>(size <= count, option, ' ', size, ": there are only ", count, " images");
  };
  check(o.train_subset, whole(synthetic.train, layout.train_files, layout.train_records), "--train-subset");
  check(o.test_subset, whole(synthetic.test, layout.test_files, layout.test_records), "--test-subset");
  const lpw::data::SubsetSizes subset{.train = o.train_subset, .test = o.test_subset};
  auto dataset =
      images == "synthetic" ? lpw::data::synthetic(synthetic, subset) : lpw::data::read_cifar(o.data, layout, subset);
  if (!o.normalization.empty()) dataset.normalization = lpw::data::parse_normalization(o.normalization);
  lpw::data::hold_out(dataset, o.held_out);
  return dataset;
}

inline lpw::train::ImageClassificationOptions task_options(const Options& o) {
  auto augment = o.augment == "none" ? lpw::data::no_augmentation : lpw::data::pad_crop_flip;
  augment.cutout = o.cutout;
  return {.batch = o.batch,
          .augment = augment,
          .label_smoothing = o.label_smoothing,
          .seed = o.seed,
          .member_data = example::member_data(o)};
}

}  // namespace cifar
