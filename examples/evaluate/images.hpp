// Images that networks are scored on beside the data set that they were trained on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include <lpw/data/cifar.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/npy_images.hpp>

namespace evaluate {

namespace detail {

namespace data = lpw::data;

/// What an option takes beside folders.
[[nodiscard]] inline std::string npy_of(bool labelled) { return labelled ? "IMAGES.npy:LABELS.npy" : "IMAGES.npy"; }

/// The layout whose test images lie in a folder, or in the one that it holds.
[[nodiscard]] inline data::CifarLayout layout_of(const std::string& option, const std::filesystem::path& folder,
                                                 bool labelled) {
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
  lpw::require<lpw::OptionError>(found.has_value(), "--", option, ' ', folder.string(),
                                 ": expected a folder with CIFAR's test_batch.bin or test.bin, synthetic, or ",
                                 npy_of(labelled));
  return *found;
}

[[nodiscard]] inline data::ImageSet read_npy(const std::string& option, const std::string& text, int classes,
                                             std::int64_t size, bool labelled) {
  const auto split = text.find(".npy:");
  const std::string images = text.substr(0, split == text.npos ? split : split + 4);
  std::optional<std::filesystem::path> labels;
  if (split != text.npos) labels = text.substr(split + 5);
  lpw::require<lpw::OptionError>(
      labels.has_value() == labelled && (!labelled || !labels->empty()), "--", option, ' ', text,
      labelled ? ": needs labels; write " : ": has labels, which do not count here; write ", npy_of(labelled));
  return lpw::io::read_npy_images(images, labels, classes, size);
}

}  // namespace detail

/// Reads what --test and --ood name: a CIFAR folder's test images, the synthetic ones, or .npy files, of images that
/// are `labelled` with their labels; `option` is the one that names it. `size` of them, class-balanced; 0: all. Without
/// labels all are 0. Throws FileError and OptionError.
[[nodiscard]] inline lpw::data::ImageSet read_images(const std::string& option, const std::string& text, int classes,
                                                     std::int64_t size, bool labelled) {
  namespace data = lpw::data;
  try {
    if (text.ends_with(".npy") || text.find(".npy:") != text.npos)
      return detail::read_npy(option, text, labelled ? classes : 1, size, labelled);
    auto set = text == "synthetic" ? data::synthetic({.train = 1}, {.train = 1, .test = size}).test
                                   : data::read_cifar_test(text, detail::layout_of(option, text, labelled), size);
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
