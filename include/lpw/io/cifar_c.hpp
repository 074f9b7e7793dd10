// CIFAR-10-C and CIFAR-100-C: CIFAR's test images under common corruptions, as their authors publish them (Hendrycks
// and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", 2019): for each
// kind of corruption one .npy file of bytes [50000, 32, 32, 3], five blocks of 10,000 images of growing severity, and
// labels.npy [50000] for all.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/io/npy_images.hpp>

namespace lpw::inline LPW_ABI::io {

/// Which files there are, and what they hold.
struct CorruptionLayout {
  /// Of the benchmark: mCE is over these.
  std::vector<std::string> kinds = {
      "gaussian_noise",    "shot_noise", "impulse_noise",   "defocus_blur", "glass_blur", "motion_blur",
      "zoom_blur",         "snow",       "frost",           "fog",          "brightness", "contrast",
      "elastic_transform", "pixelate",   "jpeg_compression"};
  std::vector<std::string> further = {"speckle_noise", "gaussian_blur", "spatter", "saturate"};  // to choose by
  std::int64_t images = 10000, severities = 5;  // images of each severity, severities of each kind

  /// All kinds, the benchmark's first.
  [[nodiscard]] std::vector<std::string> all() const {
    auto result = kinds;
    result.insert(result.end(), further.begin(), further.end());
    return result;
  }
};

/// The published corruptions of a test set in a folder of .npy files, read one kind and severity at a time.
class CifarC {
 public:
  /// Looks at all files of the folder, and chooses `size` of each severity's images, the same ones, class-balanced; 0:
  /// all. Throws FileError that lists the files that are missing, or names one of other contents; OptionError for more
  /// images than there are.
  CifarC(std::filesystem::path folder, int classes, std::int64_t size = 0, CorruptionLayout layout = {})
      : folder_(std::move(folder)), layout_(std::move(layout)), classes_(classes) {
    require_complete();
    for (const auto& kind : layout_.all()) check(NpyFile(file(kind)));
    const auto labels = read_npy_labels(folder_ / "labels.npy", classes);
    const std::int64_t all = layout_.images * layout_.severities;
    require<FileError>(std::ssize(labels) == all, (folder_ / "labels.npy").string(), ": holds ", labels.size(),
                       " labels; expected ", all, ", those of the images of ", layout_.severities, " severities");
    labels_.assign(labels.begin(), labels.begin() + layout_.images);
    for (std::int64_t s = 1; s < layout_.severities; ++s)
      require<FileError>(std::equal(labels_.begin(), labels_.end(), labels.begin() + s * layout_.images),
                         (folder_ / "labels.npy").string(), ": severity ", s + 1, " has other labels than the first; ",
                         "all are of the same images: fetch it again");
    require<OptionError>(size <= layout_.images, "subset: ", size, " images; there are ", layout_.images,
                         " of each severity");
    chosen_ = data::balanced_choice(labels_, classes, size == 0 ? layout_.images : size);
  }

  /// What it was opened as.
  [[nodiscard]] const CorruptionLayout& layout() const { return layout_; }
  /// Of the chosen images, whatever the kind and severity.
  [[nodiscard]] std::vector<std::int32_t> labels() const {
    std::vector<std::int32_t> result;
    for (const std::int64_t i : chosen_) result.push_back(labels_[to_size(i)]);
    return result;
  }
  /// The chosen images of a kind at a severity from 1 on. Throws FileError where they cannot be read.
  [[nodiscard]] data::ImageSet read(const std::string& kind, std::int64_t severity) const {
    const NpyFile images(file(kind));
    check(images);
    return read_npy_rows(images, chosen_, (severity - 1) * layout_.images, labels_, classes_);
  }

 private:
  [[nodiscard]] std::filesystem::path file(const std::string& kind) const { return folder_ / (kind + ".npy"); }

  void check(const NpyFile& images) const {
    images.require_shape({layout_.images * layout_.severities, 32, 32, 3}, 1, "corrupted images");
  }

  void require_complete() const {
    std::error_code unreadable;
    require<FileError>(std::filesystem::is_directory(folder_, unreadable), folder_.string(),
                       ": no such folder; expected that of the .npy files of CIFAR-10-C or CIFAR-100-C");
    std::string missing;
    auto names = layout_.all();
    names.push_back("labels");
    for (const auto& name : names)
      if (!std::filesystem::exists(file(name), unreadable)) missing += (missing.empty() ? "" : ", ") + name + ".npy";
    require<FileError>(missing.empty(), folder_.string(), ": is not complete: ", missing,
                       missing.find(',') == missing.npos ? " is" : " are",
                       " missing; unpack the published archive again");
  }

  std::filesystem::path folder_;
  CorruptionLayout layout_;
  int classes_;
  std::vector<std::int32_t> labels_;  // of all images of a severity
  std::vector<std::int64_t> chosen_;
};

}  // namespace lpw::inline LPW_ABI::io
