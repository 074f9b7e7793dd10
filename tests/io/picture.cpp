// Photographs: what decoders make of files of every kind, and what they refuse. Files are made by the libraries that
// read them, from known pixels; tests/interop/pictures.py holds them to Pillow's.
#include <lpw/io/picture.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "picture_files.hpp"
#include "support/errors.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"

using namespace lpw::test;

#if LPW_WITH_JPEG && LPW_WITH_PNG

namespace {

/// The largest difference of colours.
int colour_distance(const lpw::data::Picture& a, const lpw::data::Picture& b) {
  if (a.height != b.height || a.width != b.width) return 256;
  int worst = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    if (const int distance = std::abs(a.pixels[i] - b.pixels[i]); i % 4 < 3 && !(distance <= worst)) worst = distance;
  return worst;
}

std::string refused_picture(const TemporaryFolder& folder, const std::string& content,
                            const lpw::io::PictureOptions& options = {}) {
  lpw::io::write_file_atomically(folder / "a.jpg", content);
  return message_of<lpw::FileError>([&] { (void)lpw::io::read_picture(folder / "a.jpg", options); });
}

}  // namespace

TEST_CASE("PNG files of every kind are read as colour") {
  const TemporaryFolder folder;
  const auto picture = smooth_picture(9, 14);
  const auto read = [&](const std::string& content) {
    lpw::io::write_file_atomically(folder / "a.png", content);
    return lpw::io::read_picture(folder / "a.png");
  };
  CHECK(colour_distance(read(png_of(picture, PNG_FORMAT_RGB)), picture) == 0);
  CHECK(colour_distance(read(png_of(picture, PNG_FORMAT_RGBA)), picture) == 0);  // its fourth byte is no colour
  const auto grey = read(png_of(picture, PNG_FORMAT_GRAY));
  CHECK((grey.pixels[0] == grey.pixels[1] && grey.pixels[1] == grey.pixels[2]));
}

TEST_CASE("JPEG files are read as colour, greyscale and CMYK too") {
  const TemporaryFolder folder;
  const auto picture = smooth_picture(33, 50);
  const auto read = [&](const std::string& content) {
    lpw::io::write_file_atomically(folder / "a.jpg", content);
    return lpw::io::read_picture(folder / "a.jpg");
  };
  CHECK(colour_distance(read(jpeg_of(picture)), picture) <= 6);  // of a smooth image at quality 98: two or three levels
  const auto grey = read(jpeg_of(picture, TJSAMP_GRAY));
  CHECK((grey.pixels[0] == grey.pixels[1] && grey.pixels[1] == grey.pixels[2]));
  auto cmyk = picture;  // inverted, as the library marks it; no black
  for (std::size_t i = 3; i < cmyk.pixels.size(); i += 4) cmyk.pixels[i] = 255;
  CHECK(colour_distance(read(jpeg_of(cmyk, TJSAMP_444, TJPF_CMYK)), picture) <= 6);
}

TEST_CASE("a JPEG is turned as its orientation says") {
  const TemporaryFolder folder;
  const auto picture = smooth_picture(16, 32);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    lpw::io::write_file_atomically(folder / "a.jpg", with_orientation(jpeg_of(picture), orientation));
    const auto turned = lpw::io::read_picture(folder / "a.jpg"),
               stored = lpw::io::read_picture(folder / "a.jpg", {.upright = false});
    const bool swaps = orientation >= 5;
    REQUIRE(turned.height == (swaps ? 32 : 16));
    REQUIRE(turned.width == (swaps ? 16 : 32));
    // where EXIF says that the first stored row and column lie: top or bottom, left or right
    const std::array<bool, 9> bottom{false, false, false, true, true, false, false, true, true},
        right{false, false, true, true, false, false, true, true, false};
    const std::int64_t y = bottom[lpw::to_size(orientation)] ? turned.height - 1 : 0,
                       x = right[lpw::to_size(orientation)] ? turned.width - 1 : 0;
    INFO("orientation " << orientation);
    CHECK(std::equal(stored.pixels.begin(), stored.pixels.begin() + 3, turned.row(y) + 4 * x));
  }
}

TEST_CASE("files that are no good images are refused by name, with what to do") {
  const TemporaryFolder folder;
  const auto jpeg = jpeg_of(smooth_picture(33, 50)), png = png_of(smooth_picture(33, 50), PNG_FORMAT_RGB);
  const auto refused = [&](const std::string& content) {
    const auto message = refused_picture(folder, content);
    CHECK(message.starts_with((folder / "a.jpg").string() + ": "));
    return message;
  };
  CHECK(contains(refused(""), "is empty; fetch it again, or remove it"));
  CHECK(contains(refused("<html>"), "is no image: it starts like neither JPEG nor PNG"));
  CHECK(contains(refused("GIF89a"), "is a GIF image; JPEG and PNG are read; convert it"));
  CHECK(contains(refused("RIFF1234WEBPVP8 "), "is a WebP image"));
  CHECK(contains(refused(jpeg.substr(0, jpeg.size() / 2)), "its end is missing: it is truncated"));
  CHECK(contains(refused(jpeg.substr(0, 30)), "it ends before its pixels: it is truncated"));
  CHECK(contains(refused(png.substr(0, png.size() / 2)), "damaged PNG"));
  auto bomb = jpeg;
  for (const auto at : {3, 4, 5, 6}) bomb[frame_of(jpeg) + static_cast<std::size_t>(at)] = '\xff';
  CHECK(contains(refused(bomb), "its header announces 65535 x 65535 pixels, more than 100000000"));
  CHECK(contains(refused_picture(folder, png, {.most_pixels = 1649}), "announces 50 x 33 pixels, more than 1649"));
  auto deep = jpeg;
  deep[frame_of(jpeg) + 2] = 12;
  CHECK(contains(refused(deep), "is a JPEG of 12 bits a channel"));
  auto rare = jpeg;
  rare[frame_of(jpeg) - 1] = '\xc9';
  CHECK(contains(refused(rare), "is a JPEG of a rare kind"));
  CHECK(
      contains(message_of<lpw::FileError>([&] { (void)lpw::io::read_picture(folder / "none.png"); }), "No such file"));
}

TEST_CASE("bytes too many in a JPEG are passed over where no pixel is lost, and hide no damage") {
  const TemporaryFolder folder;
  const auto jpeg = jpeg_of(smooth_picture(33, 50));
  const auto tables = jpeg.find("\xff\xdb"), frame = frame_of(jpeg) - 2, scan = jpeg.find("\xff\xda"),
             end = jpeg.size() - 2;
  const auto with = [&](const std::string& whole, std::size_t at) {
    return std::string(whole).insert(at, "\x01\x02\x03");
  };
  const auto cut = jpeg.substr(0, (scan + end) / 2) + jpeg.substr(end);  // half of its pixels, and the end of image
  for (const auto& harmless :
       {with(jpeg, tables), with(jpeg, frame), with(jpeg, end), with(with(jpeg, end), frame), jpeg + cut})
    CHECK(refused_picture(folder, harmless).empty());
  for (const auto& damaged : {cut, with(cut, tables), with(cut, frame), with(jpeg, tables).substr(0, end)})
    CHECK(contains(refused_picture(folder, damaged), "damaged JPEG"));
}

TEST_CASE("damaged images are refused or read, and no more") {
  const TemporaryFolder folder;
  const auto picture = smooth_picture(12, 20);
  Fuzz fuzz(7);
  for (const auto& whole : {with_orientation(jpeg_of(picture), 6), png_of(picture, PNG_FORMAT_RGB)})
    for (std::int64_t i = fuzz_inputs(300); i > 0; --i)
      (void)refused_picture(folder, fuzz.damaged(whole), {.most_pixels = 1 << 16});
}

#else

TEST_CASE("photographs are read from files") { WARN("SKIPPED: libjpeg-turbo or libpng is not compiled in"); }

#endif
