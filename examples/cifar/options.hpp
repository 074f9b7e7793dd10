// The options of the trainer of networks for images, and what they mean for the library.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/cifar.hpp>
#include <lpw/data/held_out.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/image_folder.hpp>
#include <lpw/io/load_options.hpp>
#include <lpw/io/npy_images.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/models/catalogue.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/printable.hpp>

#include "../shared/fingerprint.hpp"
#include "../shared/option_table.hpp"
#include "../shared/run_options.hpp"

namespace cifar {

struct Options : example::RunOptions {
  static constexpr const char* program = "cifar";
  static constexpr const char* purpose =
      "Trains a network for images with late-phase weights on CIFAR, or images of one's own, and collapses its members "
      "into one plain network.";
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
  std::int64_t image_size = 224, resize = 256;  // of a folder's images
  double crop_area = 0.08, split = 0.2;
  std::uint64_t split_seed = 0;
  std::string damaged = "refuse";
  std::int64_t classes = 10, channels = 3;  // of the data: complete() finds them

  /// Which images there are: synthetic, synthetic-half, synthetic-shifted, cifar10, cifar100, folder or npy.
  [[nodiscard]] std::string images() const { return is_drawn(data) ? data : is_npy() ? "npy" : dataset; }
  /// Whether they need no files.
  [[nodiscard]] static bool is_drawn(const std::string& images) {
    return images == "synthetic" || images == "synthetic-half" || images == "synthetic-shifted";
  }
  /// Whether they are the user's own.
  [[nodiscard]] bool has_own_images() const { return images() == "folder" || images() == "npy"; }
  /// Whether `data` is a pair of files, IMAGES.npy:LABELS.npy.
  [[nodiscard]] bool is_npy() const { return data.find(".npy:") != data.npos; }
  [[nodiscard]] std::string npy_images() const { return data.substr(0, data.find(".npy:") + 4); }
  [[nodiscard]] std::string npy_labels() const { return data.substr(data.find(".npy:") + 5); }
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

/// Why what says how files become images does nothing, and how images are split that come as one.
[[nodiscard]] inline std::optional<example::Idle> without_files(const Options& o) {
  if (o.images() == "folder") return std::nullopt;
  return example::Idle{"dataset", "the images are not decoded from files (--dataset folder)"};
}
[[nodiscard]] inline std::optional<example::Idle> without_split(const Options& o) {
  if (o.has_own_images()) return std::nullopt;
  return example::Idle{"dataset", "these images have a test set of their own"};
}

/// The rows of what becomes of images of one's own.
[[nodiscard]] inline example::OptionTable<Options> own_images() {
  using namespace example;
  OptionTable<Options> rows{
      {.name = "image-size",
       .member = &Options::image_size,
       .help = "side in pixels of what the network sees of a folder's images",
       .check = at_least<std::int64_t>(8, {}, 4096),
       .section = Section::data,
       .idle = without_files},
      {.name = "resize",
       .member = &Options::resize,
       .help = "where they are scored: their shorter side in pixels, before the middle is cut out of them",
       .check = at_least<std::int64_t>(8, {}, 8192),
       .section = Section::data,
       .idle = without_files},
      {.name = "crop-area",
       .member = &Options::crop_area,
       .help = "least part of their area that a random crop takes in training, of a ratio from 3/4 to 4/3",
       .check = range(0.001, 1.0),
       .role = Role::training,
       .section = Section::data,
       .idle = without_files},
      {.name = "damaged",
       .member = &Options::damaged,
       .help = "files that cannot be decoded: refuse, or skip: all are decoded once at the start, and those are named "
               "and left out",
       .check = one_of({"refuse", "skip"}),
       .section = Section::data,
       .idle = without_files},
      {.name = "split",
       .member = &Options::split,
       .help = "the part of every class that is the test set, where the folder has no val/ and of .npy files",
       .check = range(0.001, 0.999),
       .section = Section::data,
       .idle = without_split},
      {.name = "split-seed",
       .member = &Options::split_seed,
       .help = "seed of that part",
       .check = at_least<std::uint64_t>(0, {}, std::numeric_limits<std::uint64_t>::max()),
       .section = Section::data,
       .idle = without_split},
  };
  for (auto& row : rows) row.later = true;
  return rows;
}

inline example::OptionTable<Options> Options::own() {
  using namespace example;
  constexpr auto network = Section::network, images = Section::data, training = Section::training;
  OptionTable<Options> rows{
      {.name = "data",
       .member = &Options::data,
       .help =
           "folder of the CIFAR binary files (scripts/download_data.sh), or with --dataset folder of images; "
           "IMAGES.npy:LABELS.npy (bytes [N, H, W, C] and whole numbers [N]); or synthetic: ten procedural classes, "
           "synthetic-half: half as many images, and synthetic-shifted: others, which are harder",
       .check = path_name(),
       .role = Role::data,
       .section = images},
      {.name = "dataset",
       .member = &Options::dataset,
       .help = "cifar10, cifar100, or folder: JPEG and PNG files in a folder for each class, DIR/CLASS/FILE, or "
               "DIR/train/CLASS/FILE and DIR/val/CLASS/FILE",
       .check = one_of({"cifar10", "cifar100", "folder"}),
       .role = Role::data,
       .section = images},
      {.name = "normalization",
       .member = &Options::normalization,
       .help = "what pixels are normalised by: imagenet, cifar10, or MEAN/STD of pixels in [0, 1], such as 0.5/0.25 or "
               "0.485,0.456,0.406/0.229,0.224,0.225; default: the training set's statistics, of a folder imagenet, or "
               "with --eval what the network was trained with",
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
       .help = "standard (pad-crop, or of a folder random crops that are resized, and flip) or none",
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
  for (auto&& row : own_images()) rows.push_back(row);
  return rows;
}

/// Finds what the network is to be like, and makes the files' place absolute.
inline void find_data(Options& o) {
  const auto images = o.images();
  if (images == "npy") {
    const lpw::io::NpyFile file(o.npy_images());
    file.require_shape({-1, -1, -1, -1}, 1, "images");
    o.classes = lpw::io::count_npy_classes(o.npy_labels());
    o.channels = file.shape()[3];
    o.data = example::absolute_path(o.npy_images()) + ":" + example::absolute_path(o.npy_labels());
    return;
  }
  o.classes = images == "folder" ? std::ssize(lpw::io::image_folder_classes(o.data)) : images == "cifar100" ? 100 : 10;
  if (!Options::is_drawn(o.data)) o.data = example::absolute_path(o.data);
}

inline void complete(Options& o) {
  lpw::require<lpw::OptionError>(!Options::is_drawn(o.data) || o.dataset == "cifar10", "--dataset ", o.dataset,
                                 " needs --data DIR; the synthetic data has 10 classes");
  lpw::require<lpw::OptionError>(o.images() != "folder" || o.resize >= o.image_size, "--resize ", o.resize,
                                 ": expected at least --image-size ", o.image_size);
  lpw::require<lpw::OptionError>(o.init.empty() || !o.has_templates(), "--init ", o.init,
                                 ": is a plain network, and the weights of --model ", o.model,
                                 " are made of templates; start --model ", o.plain_model(), " from it");
  find_data(o);
}

/// Images as a text that tells whether they are the same: of files, their classes' folders, names and sizes.
[[nodiscard]] inline std::string fingerprint(const lpw::data::ImageSet& set) {
  if (!set.source)
    return lpw::to_text(example::fingerprint_of(std::span(set.pixels)), " and labels ",
                        example::fingerprint_of(std::span(set.labels)));
  std::string names;
  for (std::int64_t i = 0; i < set.count; ++i) {
    const std::filesystem::path file = set.source->name(i);
    std::error_code unknown;  // a size that cannot be had: reading the file says why
    names += lpw::to_text(file.parent_path().filename().string(), '/', file.filename().string(), ' ',
                          std::filesystem::file_size(file, unknown), '\n');
  }
  return lpw::to_text("files ", example::fingerprint_of(std::span<const char>(names)), " and labels ",
                      example::fingerprint_of(std::span(set.labels)));
}

/// How processes that train together, and a run that goes on, know that they have the same images.
[[nodiscard]] inline std::string fingerprint(const Options&, const lpw::data::Dataset& dataset) {
  return lpw::to_text("training ", fingerprint(dataset.train), "; test ", fingerprint(dataset.test));
}

[[nodiscard]] inline nlohmann::json describe(const Options& o, const lpw::data::Dataset& dataset) {
  nlohmann::json result{{"dataset", o.images()}};
  if (o.has_own_images()) result["images"] = fingerprint(o, dataset);
  if (o.has_templates()) result["collapsed_model"] = o.plain_model();
  return result;
}

/// Takes the data set that a saved network was trained on; the folder of its files remains the caller's to say.
inline void adopt_images(Options& o, const std::string& images) {
  const bool drawn = Options::is_drawn(images);
  lpw::require<lpw::OptionError>(!drawn || Options::is_drawn(o.data), o.eval,
                                 ": was trained on the synthetic data; evaluate it without --data");
  lpw::require<lpw::OptionError>(drawn || (!Options::is_drawn(o.data) && o.is_npy() == (images == "npy")), o.eval,
                                 ": was trained on ", images, "; say with --data ",
                                 images == "npy" ? "IMAGES.npy:LABELS.npy" : "DIR", " where its files are");
  if (drawn) o.data = images;
  if (!drawn && images != "npy") o.dataset = images;
}

template <class Given>
void adopt_data(Options& o, const nlohmann::json& recorded, Given&& given) {
  const auto images = recorded.at("dataset").get<std::string>();
  lpw::require<lpw::OptionError>(!given("dataset") || Options::is_drawn(images) || images == o.dataset, o.eval,
                                 ": was trained on ", images, "; leave out --dataset ", o.dataset);
  adopt_images(o, images);
}

/// How many channels a file's normalization is for: it has a number for each, or a name.
[[nodiscard]] inline std::int64_t channels_of(const std::string& normalization) {
  const auto means = normalization.substr(0, normalization.find('/'));
  return means == normalization ? 3 : std::count(means.begin(), means.end(), ',') + 1;
}

/// What the images of a network in a file were normalised by, as far as the file says. Throws FileError where it says
/// what is no normalization.
[[nodiscard]] inline std::optional<lpw::data::Normalization> normalization_in(
    const std::map<std::string, std::string>& metadata, const std::string& file) {
  const auto found = metadata.find("normalization");
  if (found == metadata.end()) return std::nullopt;
  try {
    return lpw::data::parse_normalization(found->second, channels_of(found->second));
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
      !given("normalization") ||
          same(*trained, lpw::data::parse_normalization(o.normalization, std::ssize(trained->mean))),
      o.eval, ": was trained on images normalised by ", describe(*trained), "; leave out --normalization ",
      o.normalization);
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
                                 {.classes = o.classes, .in_channels = o.channels, .dropout = o.dropout});
}

/// The images that were left out, on the standard error: the first ten of them, and how many there are.
inline void report_skipped(const Options& o, const std::vector<std::string>& skipped) {
  if (skipped.empty() || !o.processes->leads()) return;
  for (std::size_t i = 0; i < std::min<std::size_t>(skipped.size(), 10); ++i)
    std::fprintf(stderr, "warning: skipped: %s\n", lpw::train::one_line(skipped[i]).c_str());
  std::fprintf(stderr, "warning: %zu images were skipped (--damaged skip)\n", skipped.size());
}

/// Images of one's own.
inline lpw::data::Dataset load_own_images(const Options& o) {
  const lpw::data::DataSplitOptions split{.part = o.split, .seed = o.split_seed};
  if (o.images() == "npy") return lpw::io::read_npy_dataset(o.npy_images(), o.npy_labels(), split);
  const auto damaged = o.damaged == "skip" ? lpw::io::Damaged::skip : lpw::io::Damaged::refuse;
  auto [dataset, skipped] = lpw::io::read_image_folder(
      o.data, {.size = o.image_size, .resize = o.resize, .damaged = damaged, .split = split});
  report_skipped(o, skipped);
  return std::move(dataset);
}

/// The procedural images of a name.
[[nodiscard]] inline lpw::data::SyntheticOptions synthetic_options(const std::string& images) {
  lpw::data::SyntheticOptions options;
  if (images == "synthetic") return options;
  options.train /= 2, options.test /= 2;
  if (images == "synthetic-shifted") {
    options.seed = 1;
    options.difficulty.min_contrast = 0.2f, options.difficulty.noise = 0.14f;
    options.difficulty.rotation = 0.4f, options.difficulty.occluded = 0.5f;
  }
  return options;
}

/// Throws OptionError for a part that is more than there is.
inline void require_images(std::int64_t size, std::int64_t count, const char* option) {
  lpw::require<lpw::OptionError>(size <= count, option, ' ', size, ": there are only ", count, " images");
}

/// A published or procedural data set, or a part of it.
inline lpw::data::Dataset load_known_images(const Options& o) {
  const std::string images = o.images();
  const bool drawn = Options::is_drawn(images);
  const auto layout = images == "cifar100" ? lpw::data::cifar100_layout() : lpw::data::cifar10_layout();
  const auto synthetic = synthetic_options(images);
  const auto whole = [&](std::int64_t drawn_images, const auto& files, std::int64_t records) {
    return drawn ? drawn_images : std::ssize(files) * records;
  };
  require_images(o.train_subset, whole(synthetic.train, layout.train_files, layout.train_records), "--train-subset");
  require_images(o.test_subset, whole(synthetic.test, layout.test_files, layout.test_records), "--test-subset");
  const lpw::data::SubsetSizes subset{.train = o.train_subset, .test = o.test_subset};
  return drawn ? lpw::data::synthetic(synthetic, subset) : lpw::data::read_cifar(o.data, layout, subset);
}

inline lpw::data::Dataset load_data(const Options& o) {
  const bool own = o.has_own_images();
  auto dataset = own ? load_own_images(o) : load_known_images(o);
  const auto reduce = [own](lpw::data::ImageSet& set, std::int64_t size, const char* option) {
    if (!own || size == 0) return;
    require_images(size, set.count, option);
    set = lpw::data::balanced_subset(set, size);
  };
  reduce(dataset.train, o.train_subset, "--train-subset");
  reduce(dataset.test, o.test_subset, "--test-subset");
  if (!o.normalization.empty())
    dataset.normalization = lpw::data::parse_normalization(o.normalization, dataset.train.channels);
  lpw::data::hold_out(dataset, o.held_out);
  return dataset;
}

inline lpw::train::ImageClassificationOptions task_options(const Options& o) {
  const bool files = o.images() == "folder";
  auto augment = o.augment == "none" ? lpw::data::no_augmentation
                 : files             ? lpw::data::resized_crop_flip
                                     : lpw::data::pad_crop_flip;
  if (augment.resized_crop) augment.resized_crop->least = o.crop_area;
  augment.cutout = o.cutout;
  const lpw::train::ImageClassificationOptions defaults;
  return {.batch = o.batch,
          .augment = augment,
          .label_smoothing = o.label_smoothing,
          .seed = o.seed,
          .test_batch = files ? std::min(o.batch, defaults.test_batch) : defaults.test_batch,
          .member_data = example::member_data(o)};
}

}  // namespace cifar
