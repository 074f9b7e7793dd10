// Folders of images as data sets: which files they are, how they are split, and what is said of folders that are none.
#include <lpw/io/image_folder.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include <lpw/data/loader.hpp>

#include "catch.hpp"
#include "picture_files.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"

using namespace lpw::test;

#if LPW_WITH_JPEG && LPW_WITH_PNG

namespace {

/// Writes so many images of a class, each of another size, every other one a PNG.
void write_class(const std::filesystem::path& folder, int count, double phase) {
  std::filesystem::create_directories(folder);
  for (int i = 0; i < count; ++i) {
    const auto picture = smooth_picture(10 + i, 14 - i, phase + i);
    if (i % 2 == 0)
      lpw::io::write_file_atomically(folder / (std::to_string(i) + ".JPEG"), jpeg_of(picture));
    else
      lpw::io::write_file_atomically(folder / (std::to_string(i) + ".png"), png_of(picture, PNG_FORMAT_RGB));
  }
}

constexpr lpw::io::ImageFolderOptions tiny{.size = 8, .resize = 9};

std::string refused_folder(const std::filesystem::path& root, const lpw::io::ImageFolderOptions& options = tiny) {
  return message_of<lpw::FileError>([&] { (void)lpw::io::read_image_folder(root, options); });
}

}  // namespace

TEST_CASE("a folder is split by its seed, or has a folder val") {
  const TemporaryFolder folder;
  write_class(folder / "all/b", 5, 0);
  write_class(folder / "all/a", 5, 2);
  lpw::io::write_file_atomically(folder / "all/notes.txt", "not an image");
  lpw::io::write_file_atomically(folder / "all/a/.hidden.jpg", "not an image");
  const auto whole = lpw::io::read_image_folder(folder / "all", tiny).dataset;
  CHECK(whole.name == "all");
  CHECK(whole.class_names == std::vector<std::string>{"a", "b"});
  CHECK(whole.train.count == 8);
  CHECK(whole.test.labels == std::vector<std::int32_t>{0, 1});
  CHECK(whole.train.source->name(0).starts_with((folder / "all/a/").string()));
  auto other = tiny;
  other.split = {.part = 0.4, .seed = 3};
  CHECK(lpw::io::read_image_folder(folder / "all", other).dataset.test.count == 4);

  std::filesystem::create_directory(folder / "parted");
  std::filesystem::rename(folder / "all", folder / "parted/train");
  write_class(folder / "parted/val/b", 1, 0);
  const auto parted = lpw::io::read_image_folder(folder / "parted", tiny).dataset;
  CHECK(parted.train.count == 10);
  CHECK(parted.test.labels == std::vector<std::int32_t>{1});
  write_class(folder / "parted/val/c", 1, 0);
  CHECK(contains(refused_folder(folder / "parted"),
                 "parted/val/c: is no class of the training set; expected 2 such as a"));
}

TEST_CASE("images are known by the ending of their names, or where that tells nothing, by what they hold") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_class(folder / name, 4, name[0]);
  int number = 0;
  for (const char* name : {"0.jpe", "1.JFIF", "2", "3.image"})
    std::filesystem::rename(folder / "a" / (std::to_string(number) + (number % 2 == 0 ? ".JPEG" : ".png")),
                            folder / "a" / name),
        ++number;
  lpw::io::write_file_atomically(folder / "a/BMs.txt", "BM is not always a BMP");
  const auto dataset = lpw::io::read_image_folder(folder.path(), tiny).dataset;
  CHECK(dataset.train.count + dataset.test.count == 8);
  lpw::io::write_file_atomically(folder / "a/4", "GIF89a");
  CHECK(contains(refused_folder(folder.path()), "a/4: is of a kind that is not read; convert it"));
  std::filesystem::remove(folder / "a/4");
  std::filesystem::create_symlink("gone", folder / "a/4");
  CHECK(contains(refused_folder(folder.path()), "a/4: is not a regular file, nor a link to one; mend or remove it"));
  std::filesystem::remove(folder / "a/4");
  REQUIRE(::mkfifo((folder / "a/4").c_str(), 0600) == 0);
  CHECK(contains(refused_folder(folder.path()), "a/4: is not a regular file, nor a link to one; mend or remove it"));
  std::filesystem::remove(folder / "a/4");
  lpw::io::write_file_atomically(folder / "a/4", "");
  for (const char* part : {"train", "test"})
    for (const char* name : {"a", "b"}) write_class(folder / "parts" / part / name, 2, name[0]);
  CHECK(contains(refused_folder(folder / "parts"), "parts/test: is not read, and part of train/ would be split off"));
  CHECK_FALSE(lpw::io::has_validation_folder(folder / "parts"));
  std::filesystem::rename(folder / "parts/test", folder / "parts/val");
  CHECK(lpw::io::has_validation_folder(folder / "parts"));
  CHECK(lpw::io::read_image_folder(folder / "parts", tiny).dataset.test.count == 4);
}

TEST_CASE("images of a folder become minibatches as their files are read by themselves") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_class(folder / name, 4, name[0]);
  const auto dataset = lpw::io::read_image_folder(folder.path(), tiny).dataset;
  const lpw::data::Loader<float> loader(dataset.train, dataset.normalization,
                                        {.batch = 6, .shuffle = false, .threads = 2});
  const lpw::data::NormalizationTable<float> table(dataset.normalization, 3);
  for (auto& [images, labels] : loader.epoch(0))
    for (std::int64_t i = 0; i < 6; ++i) {
      const auto picture = lpw::io::read_picture(dataset.train.source->name(i));
      const auto crop = lpw::data::centre_crop(picture.height, picture.width, 9, 8);
      std::vector<std::uint8_t> pixels(8 * 8 * 3);
      lpw::data::resize(picture, {0, 0, picture.height, picture.width}, crop.height, crop.width, crop.seen,
                        pixels.data());
      for (std::int64_t j = 0; j < 8 * 8 * 3; ++j)
        REQUIRE(images.data()[i * 8 * 8 * 3 + j] == table(pixels[lpw::to_size(j)], j % 3));
      CHECK(labels.data()[i] == i / 3);
    }
}

TEST_CASE("damaged files end an epoch by name, or are named and left out") {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_class(folder / name, 4, name[0]);
  lpw::io::write_file_atomically(folder / "a/1.png", "no image");
  const auto dataset = lpw::io::read_image_folder(folder.path(), tiny).dataset;
  const lpw::data::Loader<float> loader(dataset.train, dataset.normalization, {.batch = 2, .threads = 2});
  const auto message = message_of<lpw::FileError>([&] {
    for ([[maybe_unused]] auto& batch : loader.epoch(0)) {
    }
    for (const lpw::data::Loader<float> test(dataset.test, dataset.normalization, lpw::data::evaluation());
         [[maybe_unused]] auto& batch : test.epoch(0)) {
    }
  });
  CHECK(contains(message, (folder / "a/1.png").string() + ": is no image"));
  auto skip = tiny;
  skip.damaged = lpw::io::Damaged::skip;
  const auto found = lpw::io::read_image_folder(folder.path(), skip);
  REQUIRE(found.skipped.size() == 1);
  CHECK(contains(found.skipped.front(), "a/1.png: is no image"));
  CHECK(found.dataset.train.count + found.dataset.test.count == 7);
  lpw::io::write_file_atomically(folder / "b/1.png", "no image");
  lpw::io::write_file_atomically(folder / "b/closed.png", "");
  std::filesystem::remove(folder / "b/closed.png");
  std::filesystem::create_directory(folder / "b/closed.png");  // whoever runs this, it cannot be read
  CHECK(contains(refused_folder(folder.path(), skip), "b/closed.png: is not a regular file"));
  std::filesystem::remove(folder / "b/closed.png");
  for (const char* name : {"0.JPEG", "2.JPEG", "3.png"}) lpw::io::write_file_atomically(folder / "a" / name, "");
  CHECK(contains(refused_folder(folder.path(), skip),
                 "a: none of its images can be read; the first error is " + (folder / "a/0.JPEG").string()));
}

TEST_CASE("folders that are no data sets are refused by name, with what to do") {
  const TemporaryFolder folder;
  CHECK(contains(refused_folder(folder / "none"), "none: no such folder; name one with a folder of images for each"));
  lpw::io::write_file_atomically(folder / "file", "");
  CHECK(contains(refused_folder(folder / "file"), "file: is no folder"));
  CHECK(contains(refused_folder(folder.path()), "has no folders; expected one for each class"));
  write_class(folder / "a", 2, 0);
  CHECK(contains(refused_folder(folder.path()), "has one folder, a; a network tells at least two classes apart"));
  std::filesystem::create_directory(folder / "b");
  CHECK(contains(refused_folder(folder.path()), "b: a class without images (JPEG or PNG files)"));
  lpw::io::write_file_atomically(folder / "b/1.webp", "");
  CHECK(contains(refused_folder(folder.path()), "b/1.webp: is of a kind that is not read; convert it"));
  std::filesystem::remove(folder / "b/1.webp");
  std::filesystem::create_directory(folder / "b/more");
  CHECK(contains(refused_folder(folder.path()), "b/more: is a folder within a class; move its images up"));
  std::filesystem::remove(folder / "b/more");
  lpw::io::write_file_atomically(folder / "b/1.png", "");
  const auto refused = [&](const lpw::io::ImageFolderOptions& options) {
    return message_of<lpw::OptionError>([&] { (void)lpw::io::read_image_folder(folder.path(), options); });
  };
  CHECK(contains(refused(tiny), "split: class 1 has one sample; a training and a validation set need two"));
  CHECK(contains(refused({.size = 4}), "expected a size from 8 to 4096, found 4"));
  CHECK(contains(refused({.size = 64, .resize = 32}), "expected `resize` from 64 (the size) to 8192, found 32"));
}

#else

TEST_CASE("folders of images are data sets") { WARN("SKIPPED: libjpeg-turbo or libpng is not compiled in"); }

#endif
