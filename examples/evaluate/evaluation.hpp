// All scores of one evaluation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <lpw/data/dataset.hpp>

#include "predictor.hpp"
#include "sources.hpp"

namespace evaluate {

/// The networks that are scored, for the head of the evaluation.
struct Scored {
  std::vector<std::int64_t> members;  // of each source
  std::string machine;
};

class Evaluation {
 public:
  /// Reads the images, and checks that there is all that the options ask for beside the networks, which are kept by
  /// reference. Throws FileError and OptionError.
  Evaluation(const Options& options, const std::vector<Source>& sources);
  ~Evaluation();
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

  /// The test images, and what the networks' inputs are normalised with.
  [[nodiscard]] const lpw::data::Dataset& dataset() const;

  /// Scores networks on everything that the options ask for, prints tables, and writes the files of --out, of which
  /// docs/evaluation.md says what they hold. Throws what is wrong with the images, NonFinite for networks that have
  /// diverged, and FileError.
  void run(const Scored& scored, Predictor& predictor) const;

 private:
  struct Data;
  std::unique_ptr<const Data> data_;
};

}  // namespace evaluate
