// The CIFAR readers: on small files of the same layout written here, on damaged ones, and on the real CIFAR-10 where it
// is.
#include <lpw/data/cifar.hpp>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <vector>

#include "catch.hpp"
#include "images.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

using namespace lpw::data;
namespace fs = std::filesystem;

namespace {

constexpr int plane = 32 * 32;

// What the files written here hold: a pixel's value and an image's label as functions of where they are.
std::uint8_t pixel_at(int file, int record, int channel, int y, int x) {
  return static_cast<std::uint8_t>(61 * file + 37 * record + 101 * channel + 7 * y + 13 * x + (x * y) % 5);
}
int label_at(int file, int record, int classes) { return (3 * file + 5 * record + classes - 1) % classes; }

CifarLayout small_layout(CifarLayout layout) {
  layout.train_records = 4;
  layout.test_records = 3;
  return layout;
}

std::vector<char> records(int file, int count, const CifarLayout& layout) {
  std::vector<char> bytes;
  for (int r = 0; r < count; ++r) {
    if (layout.label_bytes == 2) bytes.push_back(static_cast<char>(19 - r));  // the coarse label
    bytes.push_back(static_cast<char>(label_at(file, r, layout.classes)));
    for (int c = 0; c < 3; ++c)
      for (int p = 0; p < plane; ++p) bytes.push_back(static_cast<char>(pixel_at(file, r, c, p / 32, p % 32)));
  }
  return bytes;
}

void write(const fs::path& path, const std::vector<char>& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Writes all files of a layout; files are numbered from 0 in the order training, test.
void write_all(const fs::path& folder, const CifarLayout& layout) {
  fs::create_directories(folder);
  int number = 0;
  for (const auto& name : layout.train_files)
    write(folder / name, records(number++, static_cast<int>(layout.train_records), layout));
  for (const auto& name : layout.test_files)
    write(folder / name, records(number++, static_cast<int>(layout.test_records), layout));
}

void check_set(const ImageSet& set, const CifarLayout& layout, int first_file, int files, int per_file) {
  REQUIRE(set.count == files * per_file);
  REQUIRE(set.classes == layout.classes);
  REQUIRE_NOTHROW(validate(set));
  int wrong = 0;
  for (int i = 0; i < files * per_file; ++i) {
    const int file = first_file + i / per_file, record = i % per_file;
    CHECK(set.labels[i] == label_at(file, record, layout.classes));
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        for (int c = 0; c < 3; ++c) wrong += set.image(i)[(y * 32 + x) * 3 + c] != pixel_at(file, record, c, y, x);
  }
  CHECK(wrong == 0);
}

void check_dataset(const Dataset& dataset, const CifarLayout& layout) {
  const auto files = static_cast<int>(layout.train_files.size());
  CHECK(dataset.name == layout.name);
  check_set(dataset.train, layout, 0, files, static_cast<int>(layout.train_records));
  check_set(dataset.test, layout, files, 1, static_cast<int>(layout.test_records));
  const auto statistics = channel_statistics(dataset.train);
  CHECK(dataset.normalization.mean == statistics.mean);
  CHECK(dataset.normalization.stddev == statistics.stddev);
}

std::string error_of(const fs::path& directory, const CifarLayout& layout) {
  return message_of<lpw::FileError>([&] { (void)read_cifar(directory, layout); });
}

}  // namespace

TEST_CASE("the published layouts") {
  const auto ten = cifar10_layout(), hundred = cifar100_layout();
  CHECK(ten.train_files.size() * ten.train_records == 50000);
  CHECK(hundred.train_files.size() * hundred.train_records == 50000);
  CHECK(ten.test_records == 10000);
  CHECK(hundred.test_records == 10000);
}

TEST_CASE("good files are read from their directory and from its parent") {
  for (const auto& layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    CAPTURE(layout.name);
    const TemporaryFolder directory;
    write_all(directory.path() / layout.folder, layout);
    check_dataset(read_cifar(directory.path(), layout), layout);
    check_dataset(read_cifar(directory.path() / layout.folder, layout), layout);
    check_set(read_cifar_test(directory.path(), layout), layout, static_cast<int>(layout.train_files.size()), 1,
              static_cast<int>(layout.test_records));
    CHECK(read_cifar_test(directory.path(), layout, 2).count == 2);
  }
}

TEST_CASE("a part of the files is the subset of the whole, with the whole's normalization") {
  for (const auto& layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    CAPTURE(layout.name);
    const TemporaryFolder directory;
    write_all(directory.path(), layout);
    const auto whole = read_cifar(directory.path(), layout);
    const auto whole_train = whole.train.count;
    for (const std::int64_t train : {std::int64_t{1}, whole_train - 1, whole_train}) {
      const auto part = read_cifar(directory.path(), layout, {.train = train, .test = 2});
      const auto expected = balanced_subset(whole.train, train), expected_test = balanced_subset(whole.test, 2);
      CHECK(part.train.count == train);
      CHECK(part.train.pixels == expected.pixels);
      CHECK(part.train.pixels.capacity() == expected.pixels.size());
      CHECK(part.train.labels == expected.labels);
      CHECK(part.test.pixels == expected_test.pixels);
      CHECK(part.test.labels == expected_test.labels);
      CHECK(part.normalization.mean == whole.normalization.mean);
      CHECK(part.normalization.stddev == whole.normalization.stddev);
    }
    for (const std::int64_t train : {std::int64_t{-1}, whole_train + 1})
      CHECK_THROWS_AS(read_cifar(directory.path(), layout, {.train = train}), lpw::OptionError);
  }
}

TEST_CASE("class names are read where they are complete") {
  const auto layout = small_layout(cifar10_layout());
  const TemporaryFolder directory;
  write_all(directory.path(), layout);
  CHECK(read_cifar(directory.path(), layout).class_names.empty());
  {
    std::ofstream names(directory.path() / layout.class_names_file);
    for (int i = 0; i < 10; ++i) names << "class " << i << (i % 2 ? "\r\n" : "\n");
    names << '\n';
  }
  const auto names = read_cifar(directory.path(), layout).class_names;
  REQUIRE(names.size() == 10);
  CHECK(names[7] == "class 7");
  {
    std::ofstream shorter(directory.path() / layout.class_names_file);
    shorter << "one\ntwo\n";
  }
  CHECK(read_cifar(directory.path(), layout).class_names.empty());
}

TEST_CASE("a missing directory is named, with the cure") {
  const TemporaryFolder directory;
  const auto missing = directory.path() / "nowhere";
  for (const auto& layout : {cifar10_layout(), cifar100_layout()}) {
    const auto message = error_of(missing, layout);
    CHECK(message == missing.string() + ": " + layout.name +
                         " needs a directory here, found nothing; scripts/download_data.sh " + layout.name +
                         " DIR fetches it");
  }
  write(missing, {'x'});
  CHECK(contains(error_of(missing, cifar10_layout()), "found a file"));
  CHECK_THROWS_AS(cifar10(""), lpw::FileError);
}

TEST_CASE("a missing file is named, with the cure") {
  for (const auto& layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    for (const auto& name : {layout.train_files.back(), layout.test_files.front()}) {
      const TemporaryFolder directory;
      write_all(directory.path(), layout);
      fs::remove(directory.path() / name);
      const auto message = error_of(directory.path(), layout);
      CAPTURE(message);
      CHECK(message.starts_with((directory.path() / name).string() + ": no such file"));
      CHECK(contains(message, "scripts/download_data.sh " + layout.name));
      fs::create_directory(directory.path() / name);
      CHECK(contains(error_of(directory.path(), layout), "no such file"));
    }
  }
}

TEST_CASE("a file of another size is refused with both sizes") {
  for (const auto& layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    CAPTURE(layout.name);
    const TemporaryFolder directory;
    write_all(directory.path(), layout);
    const auto path = directory.path() / layout.train_files.back();
    const int record = layout.label_bytes + 3072;
    const auto expected = "expected " + std::to_string(4 * record) + " bytes";
    auto bytes = records(0, 5, layout);

    struct Case {
      int size;
      std::string says;
    };
    for (const auto& [size, says] :
         {Case{0, "found 0 (0): the file is truncated"}, Case{4 * record - 1, "(3 and a part): the file is truncated"},
          Case{3 * record, "(3): the file is truncated"}, Case{4 * record + 1, "(4 and a part): the file is too long"},
          Case{5 * record, "(5): the file is too long"}}) {
      CAPTURE(size);
      write(path, {bytes.begin(), bytes.begin() + size});
      const auto message = error_of(directory.path(), layout);
      CAPTURE(message);
      CHECK(message.starts_with(path.string()));
      CHECK(contains(message, expected));
      CHECK(contains(message, "found " + std::to_string(size)));
      CHECK(contains(message, says));
    }
  }
}

TEST_CASE("whole records are not enough for the published data sets") {
  const TemporaryFolder ten, hundred;
  write_all(ten.path(), small_layout(cifar10_layout()));
  write_all(hundred.path(), small_layout(cifar100_layout()));
  CHECK(contains(message_of<lpw::FileError>([&] { (void)cifar10(ten.path()); }),
                 "expected 30730000 bytes (10000 records of 3073), found 12292"));
  CHECK(contains(message_of<lpw::FileError>([&] { (void)cifar100(hundred.path()); }),
                 "expected 153700000 bytes (50000 records of 3074), found 12296"));
}

TEST_CASE("a label out of range is named with its place") {
  for (const auto& layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    const TemporaryFolder directory;
    write_all(directory.path(), layout);
    const auto path = directory.path() / layout.test_files.front();
    auto bytes = records(0, 3, layout);
    const int offset = 2 * (layout.label_bytes + 3072) + layout.label_bytes - 1;
    for (const int label : {layout.classes, 255}) {
      bytes[offset] = static_cast<char>(label);
      write(path, bytes);
      const auto message = error_of(directory.path(), layout);
      CAPTURE(message);
      CHECK(message.starts_with(path.string()));
      CHECK(
          contains(message, "from 0 to " + std::to_string(layout.classes - 1) + " at byte " + std::to_string(offset)));
      CHECK(contains(message, "found " + std::to_string(label)));
    }
  }
}

TEST_CASE("the real CIFAR-10") {
  const char* directory = std::getenv("LPW_CIFAR10_DIR");
  if (!directory) {
    std::cout << "SKIPPED: LPW_CIFAR10_DIR does not name a directory with CIFAR-10\n";
    return;
  }
  const auto dataset = cifar10(directory);
  CHECK(dataset.train.count == 50000);
  CHECK(dataset.test.count == 10000);
  CHECK(dataset.class_names.size() == 10);
  for (int label = 0; label < 10; ++label) {
    CHECK(std::count(dataset.train.labels.begin(), dataset.train.labels.end(), label) == 5000);
    CHECK(std::count(dataset.test.labels.begin(), dataset.test.labels.end(), label) == 1000);
  }
  // The statistics in common use, given to four digits.
  const double mean[] = {0.4914, 0.4822, 0.4465}, stddev[] = {0.2470, 0.2435, 0.2616};
  for (int c = 0; c < 3; ++c) {
    CHECK(std::abs(dataset.normalization.mean[c] - mean[c]) < 1e-4);
    CHECK(std::abs(dataset.normalization.stddev[c] - stddev[c]) < 1e-4);
  }
}

// Files on a disk: some hundred, where those in memory are thousands.
TEST_CASE("fuzz: CIFAR files of any content and size are read whole, or refused by name") {
  for (auto layout : {small_layout(cifar10_layout()), small_layout(cifar100_layout())}) {
    layout.train_files.resize(1);
    const fs::path folder = fs::temp_directory_path() / ("lpw-fuzz-" + layout.name + "-" + std::to_string(::getpid()));
    write_all(folder, layout);
    const auto whole = records(0, 4, layout);
    const std::string file(whole.begin(), whole.end());
    Fuzz random(4);
    std::int64_t taken = 0, refused = 0;
    for (std::int64_t left = fuzz_inputs(150); left > 0; --left) {
      std::string input = file;
      if (random.once_in(2)) input = random.damaged(file);
      for (std::size_t changes = random.below(20); changes > 0 && !input.empty(); --changes)
        input[random.below(input.size())] = static_cast<char>(random.below(256));
      write(folder / layout.train_files[0], {input.begin(), input.end()});
      const std::string names = random.damaged("airplane\nautomobile\r\nbird\n");
      write(folder / layout.class_names_file, {names.begin(), names.end()});
      try {
        const auto dataset = read_cifar(folder, layout);
        validate(dataset.train);
        ++taken;
      } catch (const lpw::FileError& error) {
        ++refused;
        if (!std::string_view(error.what()).starts_with((folder / layout.train_files[0]).string())) FAIL(error.what());
      }
    }
    CHECK(refused > 0);
    if (taken + refused >= 100) CHECK(taken > 0);
    fs::remove_all(folder);
  }
}
