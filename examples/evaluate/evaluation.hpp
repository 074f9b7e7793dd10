// All scores of one evaluation.
#pragma once

#include <string>
#include <vector>

#include <lpw/train/display.hpp>

#include "predictor.hpp"
#include "sources.hpp"

namespace evaluate {

/// The networks that are scored, for the head of the evaluation.
struct Scored {
  std::vector<std::int64_t> members;  // of each source
  std::string machine;
};

/// Checks that there is all that the options ask for beside networks and test images. Throws FileError and OptionError.
void check(const Options& options, const Inputs& inputs);

/// Scores networks on everything that the options ask for, prints tables, and writes the files of --out, of which
/// docs/evaluation.md says what they hold. Throws what is wrong with the images, NonFinite for networks that have
/// diverged, and FileError.
void evaluate(const Options& options, const std::vector<Source>& sources, const Inputs& inputs, const Scored& scored,
              Predictor& predictor, lpw::train::Display& display);

}  // namespace evaluate
