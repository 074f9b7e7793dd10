// Images that networks are scored on beside the data set that they were trained on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include <lpw/data/cifar.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/image_folder.hpp>
#include <lpw/io/npy_images.hpp>

#include "../shared/skipped.hpp"

namespace evaluate {

/// How images in files are read: as the networks' own.
struct FileImages {
  std::int64_t size = 224, resize = 256;
  bool skip = false;   // what cannot be decoded
  bool report = true;  // and say what that is
};

namespace detail {

namespace data = lpw::data;

/// What an option takes beside folders.
[[nodiscard]] inline std::string npy_of(bool labelled) { return labelled ? "IMAGES.npy:LABELS.npy" : "IMAGES.npy"; }

/// Whether there are folders in a folder.
[[nodiscard]] inline bool has_folders(const std::filesystem::path& folder) {
  std::error_code unreadable;
  for (std::filesystem::directory_iterator entry(folder, unreadable), end; !unreadable && entry != end;
       entry.increment(unreadable))
    if (entry->is_directory(unreadable)) return true;
  return false;
}

/// The layout whose test images lie in a folder, or in the one that it holds; nothing where it has other folders.
[[nodiscard]] inline std::optional<data::CifarLayout> layout_of(const std::string& option,
                                                                const std::filesystem::path& folder, bool labelled) {
  std::optional<data::CifarLayout> found;
  for (const auto& layout : {data::cifar10_layout(), data::cifar100_layout()}) {
    std::error_code unreadable;
    const auto& file = layout.test_files.front();
    if (!std::filesystem::exists(folder / file, unreadable) &&
        !std::filesystem::exists(folder / layout.folder / file, unreadable))
      continue;
    lpw::require<lpw::OptionError>(!found, "--", option, ' ', folder.string(),
                                   ": holds both CIFAR-10 and CIFAR-100; name the folder of one");
    found = layout;
  }
  lpw::require<lpw::OptionError>(found.has_value() || has_folders(folder), "--", option, ' ', folder.string(),
                                 ": expected a folder with CIFAR's test_batch.bin or test.bin, one with a folder of "
                                 "images for each class, synthetic, or ",
                                 npy_of(labelled));
  return found;
}

/// The images in the folders of a folder, with the labels of the classes of their names where they are to have some.
[[nodiscard]] inline data::ImageSet read_folder(const std::string& option, const std::string& text,
                                                const data::Dataset& known, const FileImages& files, std::int64_t size,
                                                bool labelled) {
  lpw::require<lpw::OptionError>(!labelled || !known.class_names.empty(), "--", option, ' ', text,
                                 ": the names of the networks' classes are not known; take .npy files");
  std::vector<std::string> skipped;
  const auto names = labelled ? known.class_names : lpw::io::class_folders(text);
  const auto damaged = files.skip ? lpw::io::Damaged::skip : lpw::io::Damaged::refuse;
  auto set = lpw::io::read_class_folders(text, names, {.size = files.size, .resize = files.resize, .damaged = damaged},
                                         skipped);
  if (files.report) example::report_skipped(skipped);
  lpw::require<lpw::OptionError>(set.height == known.test.height && set.width == known.test.width, "--", option, ' ',
                                 text, ": its images are read as ", set.width, " x ", set.height,
                                 " pixels, and the networks know ", known.test.width, " x ", known.test.height,
                                 "; say with --image-size");
  return size == 0 ? set : data::balanced_subset(set, size);
}

[[nodiscard]] inline data::ImageSet read_npy(const std::string& option, const std::string& text, int classes,
                                             const data::ImageSet& like, std::int64_t size, bool labelled) {
  const auto split = text.find(".npy:");
  const std::string images = text.substr(0, split == text.npos ? split : split + 4);
  std::optional<std::filesystem::path> labels;
  if (split != text.npos) labels = text.substr(split + 5);
  lpw::require<lpw::OptionError>(
      labels.has_value() == labelled && (!labelled || !labels->empty()), "--", option, ' ', text,
      labelled ? ": needs labels; write " : ": has labels, which do not count here; write ", npy_of(labelled));
  return lpw::io::read_npy_images(images, labels, classes, size, {like.height, like.width, like.channels});
}

}  // namespace detail

/// Reads what --test and --ood name: a CIFAR folder's test images, a folder of class folders, the synthetic ones, or
/// .npy files, of images as those that the networks know (`known.test`), which are `labelled` with their classes;
/// `option` is the one that names it. `size` of them, class-balanced; 0: all. Without labels those of .npy files are 0.
/// Throws FileError and OptionError.
[[nodiscard]] inline lpw::data::ImageSet read_images(const std::string& option, const std::string& text,
                                                     const lpw::data::Dataset& known, const FileImages& files,
                                                     std::int64_t size, bool labelled) {
  namespace data = lpw::data;
  const int classes = known.test.classes;
  try {
    if (text.ends_with(".npy") || text.find(".npy:") != text.npos)
      return detail::read_npy(option, text, labelled ? classes : 1, known.test, size, labelled);
    const auto layout = text == "synthetic" ? std::nullopt : detail::layout_of(option, text, labelled);
    if (text != "synthetic" && !layout) return detail::read_folder(option, text, known, files, size, labelled);
    auto set = text == "synthetic" ? data::synthetic({.train = 1}, {.train = 1, .test = size}).test
                                   : data::read_cifar_test(text, *layout, size);
    lpw::require<lpw::OptionError>(!labelled || set.classes == classes, "--", option, ' ', text, ": has ", set.classes,
                                   " classes, the networks ", classes, "; name images of the same classes");
    return set;
  } catch (const lpw::OptionError& error) {
    const std::string message = error.what();
    if (message.starts_with("--")) throw;
    lpw::fail<lpw::OptionError>("--", option, ' ', text, ": --test-subset ", size, ": ", message);
  }
}

}  // namespace evaluate
