// Small image sets for the tests of this folder.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include <lpw/data/dataset.hpp>
#include <lpw/tensor/philox.hpp>

/// Random pixels, and labels 0, 1, ..., classes - 1, 0, ...
inline lpw::data::ImageSet random_images(std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels, int classes) {
  lpw::data::ImageSet set{
      .count = count, .height = height, .width = width, .channels = channels, .classes = classes, .pixels = {}, .labels = {}};
  const lpw::Philox random(11, lpw::Stream::test);
  for (std::int64_t i = 0; i < count * set.image_size(); ++i) set.pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
  for (std::int64_t i = 0; i < count; ++i) set.labels.push_back(static_cast<std::int32_t>(i % classes));
  return set;
}

/// A new empty directory that is removed with everything in it at the end of the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "lpw-data-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::filesystem::filesystem_error("mkdtemp", std::error_code(errno, std::generic_category()));
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What an action's exception says; empty if it throws nothing.
template <class Exception, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return {};
}
