// The images that the options ask for, and the network and the task that they are for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include <lpw/data/cifar.hpp>
#include <lpw/data/held_out.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/class_names.hpp>
#include <lpw/io/image_folder.hpp>
#include <lpw/io/npy_images.hpp>
#include <lpw/models/catalogue.hpp>
#include <lpw/train/image_classification.hpp>

#include "../shared/skipped.hpp"
#include "saved_networks.hpp"

namespace cifar {

/// Whether a checkpoint is evaluated on other test images than its run was.
inline bool other_data(const Options& o, const lpw::data::Dataset&) {
  return o.recorded.at("test-subset") != o.test_subset;
}

/// Evaluated is always a plain network where it comes from a file of one.
inline lpw::nn::ImageNetworkOptions network_options(const Options& o) {
  return lpw::models::options_of(o.evaluates_model() ? o.plain_model() : o.model,
                                 {.classes = o.classes, .in_channels = o.channels, .dropout = o.dropout});
}

/// A data set that came as one, of which networks are to know what was split off.
[[nodiscard]] inline lpw::data::Dataset with_split_noted(lpw::data::Dataset dataset) {
  dataset.notes[split_note] = fingerprint(dataset.test);
  return dataset;
}

/// Throws OptionError where images came or went since a network's were split: those that are split off now may have
/// been trained on.
inline void require_same_split(const Options& o, const lpw::data::Dataset& dataset) {
  const auto test = dataset.notes.find(split_note);
  if (test == dataset.notes.end()) return;
  const bool same = (o.known_test.empty() || o.known_test == test->second) &&
                    (o.known_training.empty() || o.known_training == training_fingerprint(dataset));
  lpw::require<lpw::OptionError>(same, o.eval, ": its images were split when ", o.data,
                                 " held others, and it may have been trained on those that are split off now; name the "
                                 "images of then, or score it on images of their own (evaluate --test)");
}

/// Images of one's own.
inline lpw::data::Dataset load_own_images(const Options& o) {
  const lpw::data::DataSplitOptions split{.part = o.split, .seed = o.split_seed};
  if (o.images() == "npy") return with_split_noted(lpw::io::read_npy_dataset(o.npy_images(), o.npy_labels(), split));
  const auto damaged = o.damaged == "skip" ? lpw::io::Damaged::skip : lpw::io::Damaged::refuse;
  auto [dataset, skipped] = lpw::io::read_image_folder(
      o.data, {.size = o.image_size, .resize = o.shorter_side(), .damaged = damaged, .split = split});
  if (o.processes->leads()) example::report_skipped(skipped);
  return without_split(o) ? std::move(dataset) : with_split_noted(std::move(dataset));
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
  if (!own) return dataset;
  lpw::require<lpw::OptionError>(lpw::io::same_class_names(o.known_classes, dataset.class_names), o.eval, ": tells ",
                                 lpw::io::list_class_names(o.known_classes), " apart, and ", o.data, " has ",
                                 lpw::io::list_class_names(dataset.class_names), "; name data of the same classes");
  require_same_split(o, dataset);
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
          .member_data = example::member_data(o),
          .notes = image_notes(o)};
}

}  // namespace cifar
