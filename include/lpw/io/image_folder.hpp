// Images of one's own as a data set: a folder with a folder for each class, whose images are decoded when a minibatch
// wants them and never held. DIR/train and DIR/val, or DIR alone, of which a part is split off:
//
//     DIR/train/cat/1.jpg   DIR/val/cat/9.jpg          DIR/cat/1.jpg
//     DIR/train/dog/2.png   DIR/val/dog/8.png          DIR/dog/2.png
//
// In training a random part of an image is resized to size x size; where it is scored, its shorter side becomes
// `resize`, of which the middle counts.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <lpw/cpu/base/parallel.hpp>
#include <lpw/data/dataset.hpp>
#include <lpw/data/in_threads.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/data/resize.hpp>
#include <lpw/data/split.hpp>
#include <lpw/io/picture.hpp>

namespace lpw::inline LPW_ABI::io {

/// What becomes of files that are damaged.
enum class Damaged {
  refuse,  // the first one that is read ends the run with an error that names it
  skip     // all files are decoded once at the start, and those are left out that hold no image (NoPicture)
};

/// How a folder's images become a data set.
struct ImageFolderOptions {
  std::int64_t size = 224, resize = 256;  // pixels: of what a network sees, and of the shorter side before
  PictureOptions picture = {};            // how files are decoded
  Damaged damaged = Damaged::refuse;      // what becomes of files that cannot be decoded
  data::DataSplitOptions split = {};      // where there is no val/
  int threads = 0;                        // that look for damaged files; 0: max_threads()
};

/// The data set, and an error for each file that was left out, in their order.
struct ImageFolder {
  data::Dataset dataset;             // of which `test` is val/ or what was split off; normalised as ImageNet is
  std::vector<std::string> skipped;  // a message each
};

namespace detail {

namespace fs = std::filesystem;

/// Names of files, one after another: a million take few allocations.
class FileNames {
 public:
  void add(std::string_view name) {
    text_ += name;
    ends_.push_back(text_.size());
  }
  [[nodiscard]] std::int64_t size() const { return std::ssize(ends_); }
  [[nodiscard]] std::string_view operator[](std::int64_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[to_size(i - 1)];
    return std::string_view(text_).substr(begin, ends_[to_size(i)] - begin);
  }

 private:
  std::string text_;
  std::vector<std::size_t> ends_;
};

/// The images in the folders of classes.
struct Listing {
  fs::path root;
  FileNames names;  // below the root
  std::vector<std::int32_t> labels;
};

inline namespace LPW_PICTURES {

class FolderSource final : public data::ImageSource {
 public:
  FolderSource(fs::path root, FileNames names, const ImageFolderOptions& options)
      : root_(std::move(root)), names_(std::move(names)), options_(options) {}

  void read(std::int64_t i, const data::CropDraw* draw, std::uint8_t* out) const override {
    const auto picture = read_picture(root_ / names_[i], options_.picture);
    const std::int64_t size = options_.size;
    if (draw != nullptr) {
      const auto box = data::draw_crop(draw->crop, draw->random, draw->index, picture.height, picture.width);
      return data::resize(picture, box, size, size, {0, 0, size, size}, out);
    }
    const auto crop = data::centre_crop(picture.height, picture.width, options_.resize, size);
    data::resize(picture, {0, 0, picture.height, picture.width}, crop.height, crop.width, crop.seen, out);
  }
  [[nodiscard]] std::string name(std::int64_t i) const override { return (root_ / names_[i]).string(); }

 private:
  fs::path root_;
  FileNames names_;
  ImageFolderOptions options_;
};

}  // namespace LPW_PICTURES

/// The names in a folder, but hidden ones, in order. Throws FileError where it cannot be read.
[[nodiscard]] inline std::vector<std::string> names_in(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    if (auto name = entry->path().filename().string(); !name.starts_with('.')) names.push_back(std::move(name));
  require<FileError>(!error, folder.string(), ": cannot be read: ", error.message(),
                     "; it is to be a folder with a folder of images for each class");
  std::sort(names.begin(), names.end());
  return names;
}

[[nodiscard]] inline bool is_folder(const fs::path& path) {
  std::error_code unreadable;
  return fs::is_directory(path, unreadable);
}

/// The ending of a name, without its dot, in small letters.
[[nodiscard]] inline std::string ending(std::string_view name) {
  const auto dot = name.rfind('.');
  std::string text(dot == name.npos ? std::string_view() : name.substr(dot + 1));
  for (char& letter : text) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return text;
}

[[nodiscard]] inline bool one_of(const std::string& text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace detail

/// The folders of a folder, but hidden ones, in the order of their names: its classes. Throws FileError where there are
/// none.
[[nodiscard]] inline std::vector<std::string> class_folders(const std::filesystem::path& root) {
  std::vector<std::string> names;
  for (auto& name : detail::names_in(root))
    if (detail::is_folder(root / name)) names.push_back(std::move(name));
  require<FileError>(!names.empty(), root.string(),
                     ": has no folders; expected one for each class, with its images, such as ",
                     (root / "cat" / "1.jpg").string());
  return names;
}

namespace detail {

/// Whether a file in a class is an image, by the ending of its name, or where that tells nothing, by its first bytes.
/// Throws FileError for a folder, what is no regular file or cannot be opened, or an image of a kind that is not read.
[[nodiscard]] inline bool is_image(const fs::path& file) {
  const std::string kind = ending(file.filename().string()), name = file.string();
  if (one_of(kind, {"jpg", "jpeg", "jpe", "jfif", "png"})) return true;
  require<FileError>(!is_folder(file), name, ": is a folder within a class; move its images up to ",
                     file.parent_path().string());
  std::array<std::uint8_t, 16> bytes{};
  std::error_code missing;  // a pipe would be waited for
  require<FileError>(fs::is_regular_file(file, missing), name,
                     ": is not a regular file, nor a link to one; mend or remove it");
  std::ifstream content(file, std::ios::binary);
  require<FileError>(content.is_open(), name, ": cannot be opened; mend or remove it");
  content.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
  const pictures::Encoded begin{std::span(bytes).first(static_cast<std::size_t>(content.gcount())), name};
  const bool other = one_of(kind, {"gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl"}) ||
                     !pictures::other_kind(begin).empty();
  require<FileError>(!other, name, ": is of a kind that is not read; convert it to JPEG or PNG, or remove it");
  return pictures::begins_as_jpeg(begin) || pictures::begins_as_png(begin);
}

/// Adds a class' images. Throws FileError for an empty class, a folder within it, or images of a kind that is not read.
inline void list_class(const fs::path& folder, const std::string& name, std::int32_t label, Listing& listing) {
  const std::int64_t before = listing.names.size();
  for (const auto& file : names_in(folder)) {
    if (!is_image(folder / file)) continue;
    listing.names.add(name + '/' + file);
    listing.labels.push_back(label);
  }
  require<FileError>(listing.names.size() > before, folder.string(),
                     ": a class without images (JPEG or PNG files); add some, or remove the folder");
}

/// The images of all classes that a folder has.
[[nodiscard]] inline Listing list_images(const fs::path& root, const std::vector<std::string>& classes) {
  Listing listing{.root = root, .names = {}, .labels = {}};
  for (const auto& name : class_folders(root)) {
    const auto found = std::lower_bound(classes.begin(), classes.end(), name);
    require<FileError>(found != classes.end() && *found == name, (root / name).string(),
                       ": is no class of the training set; expected ", classes.size(), " such as ", classes.front());
    list_class(root / name, name, static_cast<std::int32_t>(found - classes.begin()), listing);
  }
  return listing;
}

inline namespace LPW_PICTURES {

/// Leaves out the files that hold no image, and says what they are. Throws FileError where one cannot be opened.
inline void skip_damaged(Listing& listing, const ImageFolderOptions& options, std::vector<std::string>& skipped) {
  std::vector<std::string> errors(listing.labels.size());
  data::in_threads(options.threads > 0 ? options.threads : max_threads(), listing.names.size(), [&](std::int64_t i) {
    try {
      (void)read_picture(listing.root / listing.names[i], options.picture);
    } catch (const NoPicture& error) {
      errors[to_size(i)] = error.what();
    }
  });
  Listing sound{.root = listing.root, .names = {}, .labels = {}};
  for (std::int64_t i = 0; i < listing.names.size(); ++i) {
    if (!errors[to_size(i)].empty()) continue;
    sound.names.add(listing.names[i]);
    sound.labels.push_back(listing.labels[to_size(i)]);
  }
  for (std::int64_t i = 0; i < listing.names.size(); ++i) {
    const auto label = listing.labels[to_size(i)];
    require<FileError>(std::binary_search(sound.labels.begin(), sound.labels.end(), label),
                       (listing.root / listing.names[i]).parent_path().string(),
                       ": none of its images can be read; the first error is ", errors[to_size(i)]);
  }
  for (auto& error : errors)
    if (!error.empty()) skipped.push_back(std::move(error));
  listing = std::move(sound);
}

/// A set without a place for pixels.
[[nodiscard]] inline data::ImageSet image_set(Listing listing, std::size_t classes, const ImageFolderOptions& options) {
  return {.count = listing.names.size(),
          .height = options.size,
          .width = options.size,
          .channels = 3,
          .classes = static_cast<int>(classes),
          .pixels = {},
          .labels = std::move(listing.labels),
          .source = std::make_shared<FolderSource>(std::move(listing.root), std::move(listing.names), options)};
}

}  // namespace LPW_PICTURES

inline void validate(const ImageFolderOptions& options) {
  require<OptionError>(options.size >= 8 && options.size <= 4096,
                       "image folder: expected a size from 8 to 4096, found ", options.size);
  require<OptionError>(options.resize >= options.size && options.resize <= 8192,
                       "image folder: expected `resize` from ", options.size, " (the size) to 8192, found ",
                       options.resize);
  require<OptionError>(options.picture.most_pixels > 0, "image folder: expected `most_pixels` above 0, found ",
                       options.picture.most_pixels);
}

/// Throws FileError where beside train/ and without val/ there is what looks like another name of it, and would be left
/// out.
inline void require_no_other_parts(const fs::path& root) {
  if (is_folder(root / "val")) return;
  for (const char* name : {"valid", "validation", "dev", "test"})
    require<FileError>(!is_folder(root / name), (root / name).string(),
                       ": is not read, and part of train/ would be split off to score on; call it val, or move it out "
                       "of ",
                       root.string());
}

/// Throws FileError where there is no such folder.
inline void require_folder(const fs::path& root) {
  std::error_code error;
  const auto status = fs::status(root, error);
  require<FileError>(fs::exists(status) || error == std::errc::permission_denied, root.string(),
                     ": no such folder; name one with a folder of images for each class");
  require<FileError>(fs::is_directory(status) || error, root.string(),
                     ": is no folder; name one with a folder of images for each class");
}

}  // namespace detail

/// The classes of a folder's training images, in their order. Throws FileError as read_image_folder.
[[nodiscard]] inline std::vector<std::string> image_folder_classes(const std::filesystem::path& root) {
  detail::require_folder(root);
  const auto train = detail::is_folder(root / "train") ? root / "train" : root;
  auto names = class_folders(train);
  require<FileError>(names.size() > 1, train.string(), ": has one folder, ", names.front(),
                     "; a network tells at least two classes apart");
  return names;
}

/// Whether a folder has images of its own for validation, in DIR/val beside DIR/train: nothing is split off then.
[[nodiscard]] inline bool has_validation_folder(const std::filesystem::path& root) {
  return detail::is_folder(root / "train") && detail::is_folder(root / "val");
}

inline namespace LPW_PICTURES {

/// The images of DIR/CLASS/..., of these classes, in the order of their names: to score networks on. Throws as
/// read_image_folder.
[[nodiscard]] inline data::ImageSet read_class_folders(const std::filesystem::path& root,
                                                       const std::vector<std::string>& classes,
                                                       const ImageFolderOptions& options,
                                                       std::vector<std::string>& skipped) {
  detail::validate(options);
  detail::require_folder(root);
  auto listing = detail::list_images(root, classes);
  if (options.damaged == Damaged::skip) detail::skip_damaged(listing, options, skipped);
  return detail::image_set(std::move(listing), classes.size(), options);
}

/// The data set in a folder. Throws FileError, naming file and cure, for a folder that is missing, not to be read, or
/// without classes, for a class without images or that training does not know, and for files of a kind that is not
/// read, or a folder such as test/ in place of val/; OptionError for options out of range or a split that leaves a
/// class without images.
[[nodiscard]] inline ImageFolder read_image_folder(const std::filesystem::path& root,
                                                   const ImageFolderOptions& options = {}) {
  detail::validate(options);
  detail::require_folder(root);
  const auto train = detail::is_folder(root / "train") ? root / "train" : root;
  ImageFolder result;
  auto& dataset = result.dataset;
  dataset.name = root.filename().empty() ? root.parent_path().filename().string() : root.filename().string();
  dataset.normalization = data::parse_normalization("imagenet");
  dataset.class_names = image_folder_classes(root);
  dataset.train = read_class_folders(train, dataset.class_names, options, result.skipped);
  if (train != root) detail::require_no_other_parts(root);
  if (has_validation_folder(root)) {
    dataset.test = read_class_folders(root / "val", dataset.class_names, options, result.skipped);
    return result;
  }
  try {
    const auto parts = data::split(dataset.train.labels, dataset.train.classes, options.split);
    dataset.test = data::chosen_images(dataset.train, parts.valid);
    dataset.train = data::chosen_images(dataset.train, parts.train);
  } catch (const OptionError& error) {
    fail<OptionError>(train.string(), ": ", error.what(), "; its classes are, from 0 on, ", dataset.class_names.front(),
                      ", ", dataset.class_names[1], dataset.class_names.size() > 2 ? ", ..." : "");
  }
  return result;
}

}  // namespace LPW_PICTURES

}  // namespace lpw::inline LPW_ABI::io
