// Images that are not held in memory: each is made, from its file say, whenever a minibatch wants it. An ImageSet
// whose images come from such a source has labels and no pixels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/crop.hpp>
#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// Which random crop of a sample is wanted: draw_crop's arguments.
struct CropDraw {
  const ResizedCrop& crop;  // how large and of which shape
  const Philox& random;     // of the sample's member in this epoch
  std::int64_t index;       // of the sample, from 0
};

/// Makes images of one size. Threads read at the same time.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  /// Writes the pixels [H, W, C] of image i to `out`: a random crop of it, or without `draw` as it is scored. Throws
  /// FileError, naming its file, where there is no such image.
  virtual void read(std::int64_t i, const CropDraw* draw, std::uint8_t* out) const = 0;
  /// How image i is called in messages.
  [[nodiscard]] virtual std::string name(std::int64_t i) const = 0;
};

/// The images of a source that a list names, in its order.
class ChosenImages final : public ImageSource {
 public:
  /// The image i is the source's chosen[i].
  ChosenImages(std::shared_ptr<const ImageSource> source, std::vector<std::int64_t> chosen)
      : source_(std::move(source)), chosen_(std::move(chosen)) {}
  void read(std::int64_t i, const CropDraw* draw, std::uint8_t* out) const override {
    source_->read(chosen_[to_size(i)], draw, out);
  }
  [[nodiscard]] std::string name(std::int64_t i) const override { return source_->name(chosen_[to_size(i)]); }

 private:
  std::shared_ptr<const ImageSource> source_;
  std::vector<std::int64_t> chosen_;
};

}  // namespace lpw::inline LPW_ABI::data
