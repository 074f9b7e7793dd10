// For pictures.py: decodes and resizes pictures. pictures FILE OUT MODE [NUMBER...] writes bytes [H, W, 3] to OUT and
// prints H and W: MODE is whole, resize HEIGHT WIDTH, crop TOP LEFT HEIGHT WIDTH SIZE, or centre RESIZE SIZE.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <lpw/data/crop.hpp>
#include <lpw/data/resize.hpp>
#include <lpw/io/picture.hpp>

int main(int argc, char** argv) {
  using namespace lpw;
  try {
    require(argc >= 4, "pictures: expected FILE OUT MODE");
    const auto picture = io::read_picture(argv[1]);
    const std::string mode = argv[3];
    const auto number = [&](int i) { return i + 4 < argc ? std::atoll(argv[i + 4]) : 0; };
    data::Box box{0, 0, picture.height, picture.width};
    std::int64_t height = picture.height, width = picture.width;
    if (mode == "resize") height = number(0), width = number(1);
    if (mode == "crop") box = {number(0), number(1), number(2), number(3)}, height = width = number(4);
    data::Box seen{0, 0, height, width};
    if (mode == "centre") {
      const auto crop = data::centre_crop(picture.height, picture.width, number(0), number(1));
      height = crop.height, width = crop.width, seen = crop.seen;
    }
    std::vector<std::uint8_t> pixels(to_size(seen.height * seen.width * 3));
    data::resize(picture, box, height, width, seen, pixels.data());
    io::write_file_atomically(argv[2], std::as_bytes(std::span(pixels)));
    std::printf("%d %d\n", static_cast<int>(seen.height), static_cast<int>(seen.width));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
