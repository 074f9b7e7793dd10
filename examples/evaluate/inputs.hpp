// The images that an evaluation reads in any case.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lpw/data/dataset.hpp>

#include "images.hpp"
#include "sources.hpp"

namespace evaluate {

/// What is scored in any case, and what a temperature is fitted on.
struct Inputs {
  std::string images;                           // that all networks were trained on
  std::int64_t train_subset = 0, held_out = 0;  // of those: by the options, or what the runs record
  bool unseen = false;                          // dataset.held_out are beside the train_subset, not in it
  lpw::data::Dataset dataset = {};              // without its training images, normalised as the networks' were
  bool own_statistics = true;                   // of the training set normalise its images
  FileImages files = {};                        // how images in files are read
};

/// Gives a run the sizes of images that the options say, if they do.
template <class Run>
void choose_sizes(const Options& o, Run& run) {
  if (o.image_size > 0) run.image_size = o.image_size, run.resize = 0;
  if (o.resize > 0) run.resize = o.resize;
}

/// The network whose images say how those that are scored are read: the first that knows its split, or else any images.
[[nodiscard]] const Source& source_of_images(const std::vector<Source>& sources);

/// Reads the training set's statistics, the test images, and those that are held out. Throws FileError and OptionError.
[[nodiscard]] Inputs read_inputs(const Options& options, const std::vector<Source>& sources);

}  // namespace evaluate
