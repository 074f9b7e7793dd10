// Labelled images as a pair of .npy files: bytes [N, H, W, C] and whole numbers [N].
#pragma once

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <lpw/data/dataset.hpp>
#include <lpw/data/split.hpp>
#include <lpw/io/npy.hpp>

namespace lpw::inline LPW_ABI::io {

/// What images of a file must be like.
struct ImageExtents {
  std::int64_t height = 32, width = 32, channels = 3;  // height and width in pixels
};

/// The labels [N] in a file. Throws FileError, naming file and place, for one that is not in [0, classes), or an array
/// that is no list.
[[nodiscard]] inline std::vector<std::int32_t> read_npy_labels(const std::filesystem::path& path, int classes) {
  const NpyFile file(path);
  file.require_shape({-1}, 0, "labels");
  std::vector<std::int32_t> labels;
  for (const std::int64_t label : file.values()) {
    require<FileError>(label >= 0 && label < classes, path.string(), ": element ", labels.size(), " is ", label,
                       "; labels of ", classes, " classes are from 0 to ", classes - 1);
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return labels;
}

/// Rows `chosen` of the images [N, H, W, C] in an open file, from row `first` on, with their labels: those of all rows
/// from there. Throws FileError where they cannot be read.
[[nodiscard]] inline data::ImageSet read_npy_rows(const NpyFile& images, const std::vector<std::int64_t>& chosen,
                                                  std::int64_t first, const std::vector<std::int32_t>& labels,
                                                  int classes) {
  data::ImageSet set{.count = std::ssize(chosen),
                     .height = images.shape()[1],
                     .width = images.shape()[2],
                     .channels = images.shape()[3],
                     .classes = classes,
                     .pixels = {},
                     .labels = {}};
  set.pixels.resize(to_size(set.count * set.image_size()));
  for (std::int64_t i = 0; i < set.count;) {  // rows that follow one another are read at once
    std::int64_t count = 1;
    while (i + count < set.count && chosen[to_size(i + count)] == chosen[to_size(i)] + count) ++count;
    images.read_rows(first + chosen[to_size(i)], count, set.image(i));
    i += count;
  }
  for (const std::int64_t i : chosen) set.labels.push_back(labels[to_size(i)]);
  return set;
}

/// Reads images, and their labels where there are any: without, all are 0. `size` of them, class-balanced; 0: all.
/// Throws FileError, naming the file, for what are no such images or labels or not as many of both, OptionError for
/// more images than there are.
[[nodiscard]] inline data::ImageSet read_npy_images(const std::filesystem::path& images,
                                                    const std::optional<std::filesystem::path>& labels, int classes,
                                                    std::int64_t size = 0, const ImageExtents& extents = {}) {
  const NpyFile file(images);
  file.require_shape({-1, extents.height, extents.width, extents.channels}, 1, "images");
  const std::int64_t count = file.shape()[0];
  require<FileError>(count > 0, images.string(), ": holds no images");
  const auto all = labels ? read_npy_labels(*labels, classes) : std::vector<std::int32_t>(to_size(count), 0);
  require<FileError>(std::ssize(all) == count, labels ? labels->string() : "", ": holds ", all.size(),
                     " labels for the ", count, " images of ", images.string());
  return read_npy_rows(file, data::balanced_choice(all, classes, size == 0 ? count : size), 0, all, classes);
}

/// The number of classes of the labels [N] in a file: from 0 to the largest one. Throws FileError, naming the file, for
/// labels that are none or where a class has no sample.
[[nodiscard]] inline int count_npy_classes(const std::filesystem::path& labels) {
  const auto all = read_npy_labels(labels, std::numeric_limits<std::int32_t>::max());
  require<FileError>(!all.empty(), labels.string(), ": holds no labels");
  const int classes = *std::max_element(all.begin(), all.end()) + 1;
  std::vector<std::int64_t> counts(std::min(to_size(classes), all.size() + 1));
  for (const auto label : all)
    if (to_size(label) < counts.size()) ++counts[to_size(label)];
  const auto empty = std::find(counts.begin(), counts.end(), 0);
  require<FileError>(empty == counts.end(), labels.string(), ": no image is of class ", empty - counts.begin(),
                     ", and some are of class ", classes - 1, "; number the classes from 0 on");
  require<FileError>(classes > 1, labels.string(), ": all images are of one class");
  return classes;
}

/// A data set of one's own in a pair of files, images [N, H, W, C] of 1 or 3 channels and labels [N], whose classes are
/// 0 to the largest label: a part of each class is the test set. Throws FileError, naming the file, for what are no
/// such arrays or a class without images, OptionError for a split that leaves a class without some.
[[nodiscard]] inline data::Dataset read_npy_dataset(const std::filesystem::path& images,
                                                    const std::filesystem::path& labels,
                                                    const data::DataSplitOptions& options = {}) {
  const NpyFile file(images);
  file.require_shape({-1, -1, -1, -1}, 1, "images");
  const auto& shape = file.shape();
  require<FileError>(shape[3] == 1 || shape[3] == 3, images.string(), ": has ", shape[3],
                     " channels, on its last axis; expected 1 or 3 ([N, H, W, C])");
  const auto all = read_npy_labels(labels, std::numeric_limits<std::int32_t>::max());
  require<FileError>(shape[0] > 0 && std::ssize(all) == shape[0], labels.string(), ": holds ", all.size(),
                     " labels for the ", shape[0], " images of ", images.string());
  const int classes = count_npy_classes(labels);
  const auto parts = data::split(all, classes, options);
  data::Dataset dataset;
  dataset.name = images.stem().string();
  dataset.train = read_npy_rows(file, parts.train, 0, all, classes);
  dataset.test = read_npy_rows(file, parts.valid, 0, all, classes);
  dataset.normalization = data::channel_statistics(dataset.train);
  return dataset;
}

}  // namespace lpw::inline LPW_ABI::io
