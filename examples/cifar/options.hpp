// The options of the trainer of networks for images, and what they mean for the library.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <lpw/cpu/products.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/io/image_folder.hpp>
#include <lpw/io/npy_images.hpp>
#include <lpw/models/catalogue.hpp>

#include "../shared/idle.hpp"
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
  std::string augment = {}, convolution = "winograd";
  std::int64_t train_subset = 0, test_subset = 0, held_out = 0;
  std::int64_t image_size = 224, resize = 0;  // of a folder's images
  double crop_area = 0.08, split = 0.2;
  std::uint64_t split_seed = 0;
  std::string damaged = "refuse";
  std::int64_t classes = 10, channels = 3;  // of the data: complete() finds them
  // Of the network that is evaluated, as far as its file says:
  std::vector<std::string> known_classes;
  std::string known_test = {}, known_training = {};  // images that it was split from, and trained on: fingerprints
  bool knows_split = true;                           // by which part images were split that come as one

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
  /// Of a folder's images that are scored, in pixels.
  [[nodiscard]] std::int64_t shorter_side() const { return resize > 0 ? resize : (image_size * 8 + 3) / 7; }
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
[[nodiscard]] inline std::optional<example::Idle> without_crops(const Options& o) {
  if (const auto idle = without_files(o)) return idle;
  if (o.augment != "none") return std::nullopt;
  return example::Idle{"augment", "no crops are drawn"};
}
[[nodiscard]] inline std::optional<example::Idle> without_split(const Options& o) {
  const bool split = o.images() == "npy" || (o.images() == "folder" && !lpw::io::has_validation_folder(o.data));
  if (split) return std::nullopt;
  return example::Idle{o.images() == "folder" ? "data" : "dataset", "these images have a test set of their own"};
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
       .help = "where they are scored: their shorter side in pixels, before the middle is cut out of them; 0: 8/7 of "
               "--image-size, as 256 of 224",
       .check = at_least<std::int64_t>(8, 0, 8192),
       .section = Section::data,
       .idle = without_files},
      {.name = "crop-area",
       .member = &Options::crop_area,
       .help = "least part of their area that a random crop takes in training, of a ratio from 3/4 to 4/3",
       .check = range(0.001, 1.0),
       .role = Role::training,
       .section = Section::data,
       .idle = without_crops},
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
       .section = images,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (!o.is_npy()) return std::nullopt;
         return Idle{"data", "the images are those of the .npy files"};
       }},
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
               "set's, and are what --best, --patience, --collapse greedy and fitted, and --line-search choose by",
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
         if (o.device != "cpu") return Idle{"device", "it says how the CPU convolves"};
         if (o.precision != "bf16" || !lpw::multiplies_bfloat16()) return std::nullopt;
         return Idle{"precision", "this CPU multiplies bfloat16, which is always convolved directly"};
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
       .help =
           "standard (pad-crop, or of a folder random crops that are resized, and flip) or none; default: standard, "
           "of .npy files none, since what is in them may be no longer itself when mirrored",
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
       .idle = example::detail::without_processes<&Options::statistics>,
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

/// Throws OptionError where images are cut out of smaller ones.
inline void require_sizes(const Options& o) {
  lpw::require<lpw::OptionError>(o.images() != "folder" || o.shorter_side() >= o.image_size, "--resize ", o.resize,
                                 ": expected at least --image-size ", o.image_size);
}

inline void complete(Options& o) {
  if (o.augment.empty()) o.augment = o.images() == "npy" ? "none" : "standard";
  lpw::require<lpw::OptionError>(!Options::is_drawn(o.data) || o.dataset == "cifar10", "--dataset ", o.dataset,
                                 " needs --data DIR; the synthetic data has 10 classes");
  require_sizes(o);
  lpw::require<lpw::OptionError>(o.init.empty() || !o.has_templates(), "--init ", o.init,
                                 ": is a plain network, and the weights of --model ", o.model,
                                 " are made of templates; start --model ", o.plain_model(), " from it");
  find_data(o);
}

}  // namespace cifar
