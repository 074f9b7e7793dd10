// CIFAR-10 and CIFAR-100 in their official binary layout: records of one or two label bytes and 3072 pixel bytes,
// channel planes of 32 x 32 in the order red, green, blue (Krizhevsky, "Learning multiple layers of features from tiny
// images", 2009). A file must have exactly its published size: a shorter one that happens to end between two records
// would train without a word.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::data {

/// Where a CIFAR dataset keeps what. The label used is the last label byte: of CIFAR-100's coarse and fine label the
/// fine one.
struct CifarLayout {
  std::string name, folder;                          // folder: as the published archive unpacks
  std::vector<std::string> train_files, test_files;  // in the folder
  std::string class_names_file;                      // one name per line
  int label_bytes = 1;                               // before each image's pixels
  int classes = 10;                                  // how many there are
  std::int64_t train_records = 0, test_records = 0;  // in each file
};

/// CIFAR-10: 50,000 training and 10,000 test images of 10 classes.
[[nodiscard]] inline CifarLayout cifar10_layout() {
  return {.name = "cifar10",
          .folder = "cifar-10-batches-bin",
          .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                          "data_batch_5.bin"},
          .test_files = {"test_batch.bin"},
          .class_names_file = "batches.meta.txt",
          .label_bytes = 1,
          .classes = 10,
          .train_records = 10000,
          .test_records = 10000};
}

/// CIFAR-100: as many of 100 classes.
[[nodiscard]] inline CifarLayout cifar100_layout() {
  return {.name = "cifar100",
          .folder = "cifar-100-binary",
          .train_files = {"train.bin"},
          .test_files = {"test.bin"},
          .class_names_file = "fine_label_names.txt",
          .label_bytes = 2,
          .classes = 100,
          .train_records = 50000,
          .test_records = 10000};
}

namespace detail {

inline constexpr std::int64_t cifar_side = 32, cifar_channels = 3, cifar_plane = cifar_side * cifar_side,
                              cifar_pixels = cifar_channels * cifar_plane;

[[nodiscard]] inline std::string fetch_hint(const CifarLayout& layout) {
  return to_text("; scripts/download_data.sh ", layout.name, " DIR fetches it");
}

/// The layout's folder inside `directory` if there is one, else `directory` itself.
[[nodiscard]] inline std::filesystem::path find_folder(const std::filesystem::path& directory,
                                                       const CifarLayout& layout) {
  std::error_code ignored;
  require<FileError>(std::filesystem::is_directory(directory, ignored), directory.string(), ": ", layout.name,
                     " needs a directory here, found ",
                     std::filesystem::exists(directory, ignored) ? "a file" : "nothing", fetch_hint(layout));
  const auto inner = directory / layout.folder;
  return std::filesystem::is_directory(inner, ignored) ? inner : directory;
}

/// Throws FileError unless the file is there and holds `records` records.
inline void check_file(const std::filesystem::path& path, const CifarLayout& layout, std::int64_t records) {
  std::error_code status;
  require<FileError>(std::filesystem::is_regular_file(path, status), path.string(), ": no such file, needed for ",
                     layout.name, fetch_hint(layout));
  const auto found = static_cast<std::int64_t>(std::filesystem::file_size(path, status));
  require<FileError>(!status, path.string(), ": cannot be read (", status.message(), ")");

  const std::int64_t record = layout.label_bytes + cifar_pixels, expected = records * record;
  if (found != expected)
    fail<FileError>(path.string(), ": expected ", expected, " bytes (", records, " records of ", record, "), found ",
                    found, " (", found / record, found % record ? " and a part" : "", "): the file is ",
                    found < expected ? "truncated" : "too long", fetch_hint(layout));
}

/// Calls f(label, planes) for every record of a file, of which a few are held at a time. Throws FileError if it is
/// missing, unreadable, of another size, or holds a label out of range.
template <class F>
void for_each_record(const std::filesystem::path& path, const CifarLayout& layout, std::int64_t records, F&& f) {
  constexpr std::int64_t at_once = 256;
  check_file(path, layout, records);
  const std::int64_t record = layout.label_bytes + cifar_pixels;
  std::vector<std::uint8_t> bytes(to_size(std::min(at_once, records) * record));
  std::ifstream file(path, std::ios::binary);
  for (std::int64_t first = 0; first < records; first += at_once) {
    const std::int64_t count = std::min(at_once, records - first);
    file.read(reinterpret_cast<char*>(bytes.data()), count * record);
    require<FileError>(file.gcount() == count * record, path.string(), ": cannot be read: expected ", records * record,
                       " bytes, got ", first * record + file.gcount());
    for (std::int64_t r = 0; r < count; ++r) {
      const std::uint8_t* planes = bytes.data() + r * record + layout.label_bytes;
      const int label = planes[-1];
      require<FileError>(label < layout.classes, path.string(), ": expected a label from 0 to ", layout.classes - 1,
                         " at byte ", (first + r) * record + layout.label_bytes - 1, " (record ", first + r,
                         "), found ", label, ": the file is damaged or not ", layout.name);
      f(label, planes);
    }
  }
}

/// Appends an image to a set that has room for it, planes interleaved to [H, W, C].
inline void append_image(ImageSet& set, int label, const std::uint8_t* planes) {
  std::uint8_t* const pixels = set.image(set.count++);
  const std::uint8_t *red = planes, *green = red + cifar_plane, *blue = green + cifar_plane;
#pragma omp simd
  for (std::int64_t p = 0; p < cifar_plane; ++p) {
    pixels[p * cifar_channels] = red[p];
    pixels[p * cifar_channels + 1] = green[p];
    pixels[p * cifar_channels + 2] = blue[p];
  }
  set.labels.push_back(label);
}

/// The first images of every class of these files, `size` in all (0: every image), and what the whole is normalised
/// with.
struct CifarSet {
  ImageSet images;
  Normalization normalization;
};

/// One pass for all images; for a part, labels decide in a first one which images are kept in a second.
[[nodiscard]] inline CifarSet read_images(const std::filesystem::path& folder, const CifarLayout& layout,
                                          std::span<const std::string> files, std::int64_t records, std::int64_t size) {
  const std::int64_t count = std::ssize(files) * records;
  const bool all = size == 0 || size == count;
  ImageSet set{.count = 0,
               .height = cifar_side,
               .width = cifar_side,
               .channels = cifar_channels,
               .classes = layout.classes,
               .pixels = std::vector<std::uint8_t>(
                   to_size((all ? count : std::clamp<std::int64_t>(size, 1, count)) * cifar_pixels)),
               .labels = {}};
  const auto for_each = [&](auto&& f) {
    for (const auto& file : files) for_each_record(folder / file, layout, records, f);
  };
  ChannelSums sums(cifar_channels);
  std::vector<std::int32_t> labels;
  for_each([&](int label, const std::uint8_t* planes) {
    labels.push_back(label);
    append_image(set, label, planes);
    sums.add_planes(planes, cifar_plane);
    if (!all) --set.count, set.labels.clear();
  });
  if (!all) {
    const auto chosen = balanced_choice(labels, layout.classes, size);
    auto next = chosen.begin();
    for_each([&, index = std::int64_t{0}](int label, const std::uint8_t* planes) mutable {
      if (next == chosen.end() || *next != index++) return;
      append_image(set, label, planes);
      ++next;
    });
  }
  return {std::move(set), sums.normalization()};
}

/// The names in the file, or none if it does not hold one for every class. The data set is known without them.
[[nodiscard]] inline std::vector<std::string> read_class_names(const std::filesystem::path& path, int classes) {
  std::vector<std::string> names;
  std::error_code missing;
  if (!std::filesystem::is_regular_file(path, missing)) return names;  // a pipe would be waited for
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (std::ssize(names) != classes) names.clear();
  return names;
}

}  // namespace detail

/// Reads a dataset of the given layout, or a part of it, from `directory`, which holds its files or the folder that
/// holds them. Throws FileError naming the file if one is missing, unreadable, of another size than the layout says, or
/// has a label out of range, OptionError for a part larger than the whole.
[[nodiscard]] inline Dataset read_cifar(const std::filesystem::path& directory, const CifarLayout& layout,
                                        const SubsetSizes& subset = {}) {
  const auto folder = detail::find_folder(directory, layout);
  Dataset dataset;
  dataset.name = layout.name;
  auto train = detail::read_images(folder, layout, layout.train_files, layout.train_records, subset.train);
  dataset.train = std::move(train.images);
  dataset.normalization = std::move(train.normalization);
  dataset.test = detail::read_images(folder, layout, layout.test_files, layout.test_records, subset.test).images;
  dataset.class_names = detail::read_class_names(folder / layout.class_names_file, layout.classes);
  return dataset;
}

/// The test images alone, or `size` of them; 0: all. Throws as read_cifar.
[[nodiscard]] inline ImageSet read_cifar_test(const std::filesystem::path& directory, const CifarLayout& layout,
                                              std::int64_t size = 0) {
  const auto folder = detail::find_folder(directory, layout);
  return detail::read_images(folder, layout, layout.test_files, layout.test_records, size).images;
}

/// CIFAR-10: 50000 training and 10000 test images of 10 classes. `directory` is cifar-10-batches-bin or its parent.
/// Throws as read_cifar.
[[nodiscard]] inline Dataset cifar10(const std::filesystem::path& directory, const SubsetSizes& subset = {}) {
  return read_cifar(directory, cifar10_layout(), subset);
}

/// CIFAR-100 with its fine labels: 50000 and 10000 images of 100 classes. `directory` is cifar-100-binary or its
/// parent. Throws as read_cifar.
[[nodiscard]] inline Dataset cifar100(const std::filesystem::path& directory, const SubsetSizes& subset = {}) {
  return read_cifar(directory, cifar100_layout(), subset);
}

}  // namespace lpw::inline LPW_ABI::data
