#include "inputs.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include <lpw/tensor/text.hpp>

#include "../cifar/data.hpp"

namespace evaluate {

namespace {

/// Whether a temperature is to be fitted.
[[nodiscard]] bool fits_temperature(const Options& o, const std::vector<Source>& sources) {
  if (o.unseen > 0 || o.held_out >= 0) return o.unseen > 0 || o.held_out > 0;
  return std::any_of(sources.begin(), sources.end(), [](const Source& source) { return source.held_out > 0; });
}

/// The first that records what its run held out; nullptr where none does. Throws OptionError where another records
/// other images, and the options do not say which count.
[[nodiscard]] const Source* common_record(const Options& o, const std::vector<Source>& sources) {
  const Source* record = nullptr;
  for (const Source& source : sources) {
    if (!source.recorded) continue;
    if (record == nullptr) record = &source;
    const auto require_same = [&](const char* option, std::int64_t given, std::int64_t one, std::int64_t other) {
      lpw::require<lpw::OptionError>(given >= 0 || one == other, source.given, ": was trained with --", option, ' ',
                                     one, ", and ", record->given, " with ", other, "; say with --", option,
                                     " what is to count, or --held-out 0 to fit no temperature");
    };
    if (o.unseen == 0) require_same("held-out", o.held_out, source.held_out, record->held_out);
    require_same("train-subset", o.train_subset, source.train_subset, record->train_subset);
  }
  return record;
}

/// How images in files are read: as the options say, or as the networks' own are, as far as one of them says.
[[nodiscard]] cifar::Options image_options(const Options& o, const std::vector<Source>& sources) {
  cifar::Options result = *source_of_images(sources).run;
  for (const Source& source : sources)
    if (result.known_classes.empty()) result.known_classes = source.classes;
  choose_sizes(o, result);
  if (o.damaged == "skip") result.damaged = o.damaged;
  cifar::require_sizes(result);
  return result;
}

/// Throws OptionError for options of images in files where there are none.
void require_files(const Options& o, const std::string& images) {
  std::error_code unreadable;
  bool any = images == "folder" || std::filesystem::is_directory(o.test, unreadable);
  for (const auto& other : Options::parts(o.ood))
    any = any || std::filesystem::is_directory(other.substr(other.find('=') + 1), unreadable);
  const char* idle = o.image_size > 0 ? "image-size" : o.resize > 0 ? "resize" : o.damaged == "skip" ? "damaged" : "";
  lpw::require<lpw::OptionError>(any || *idle == '\0', "--", idle,
                                 " does nothing here: no images are decoded from files; leave it out");
}

/// The data set, whose held-out images are o.unseen ones that follow the first `subset` of the training set where there
/// are to be such: a class-balanced part is contained in every larger one.
[[nodiscard]] lpw::data::Dataset load(const Options& o, cifar::Options data, std::int64_t subset) {
  if (o.unseen == 0) return cifar::load_data(data);
  const auto given = lpw::to_text("--unseen ", o.unseen, ": ");
  lpw::require<lpw::OptionError>(o.held_out <= 0, given, "a temperature is fitted on these or on --held-out ",
                                 o.held_out, "; leave one of them out");
  lpw::require<lpw::OptionError>(subset > 0, given,
                                 "none are left: nothing says that the networks were trained on fewer than all "
                                 "training images (--train-subset)");
  data.train_subset = subset + o.unseen;
  data.held_out = subset;
  try {
    auto dataset = cifar::load_data(data);
    dataset.held_out = std::move(dataset.train);
    return dataset;
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::OptionError>(given, "beside the ", subset, " that the networks were trained on: ", error.what());
  }
}

/// Normalises the images as those of the networks were. Throws OptionError where these differ.
void normalise(Inputs& inputs, const std::vector<Source>& sources) {
  const auto own = inputs.dataset.normalization;
  const auto of = [&](const Source& source) {
    const auto& text = source.run->normalization;
    return text.empty() ? own : lpw::data::parse_normalization(text, inputs.dataset.test.channels);
  };
  const auto first = of(sources.front());
  for (const Source& source : sources)
    lpw::require<lpw::OptionError>(same(of(source), first), source.given, ": was trained on images normalised by ",
                                   describe(of(source)), ", and ", sources.front().given, " by ", describe(first),
                                   "; they cannot be scored together: score them apart");
  inputs.dataset.normalization = first;
  inputs.own_statistics = inputs.images != "folder" && same(first, own);  // a folder's are ImageNet's
}

/// Throws OptionError where images came or went since some network's were split.
void require_same_split(const std::vector<Source>& sources, const lpw::data::Dataset& dataset) {
  for (const Source& source : sources) {
    cifar::Options run = *source.run;
    run.known_training.clear();  // of all of its training images, and here may be a part
    cifar::require_same_split(run, dataset);
  }
}

}  // namespace

const Source& source_of_images(const std::vector<Source>& sources) {
  const auto first = [&](auto&& says) { return std::find_if(sources.begin(), sources.end(), says); };
  auto found = first([](const Source& source) { return source.says_images && source.run->knows_split; });
  if (found == sources.end()) found = first([](const Source& source) { return source.says_images; });
  return found == sources.end() ? sources.front() : *found;
}

Inputs read_inputs(const Options& o, const std::vector<Source>& sources) {
  Inputs inputs{.images = sources.front().images};
  require_files(o, inputs.images);
  const Source* record = fits_temperature(o, sources) ? common_record(o, sources) : nullptr;
  inputs.train_subset = o.train_subset >= 0 ? subset_of(inputs.images, o.train_subset)
                        : record != nullptr ? record->train_subset
                                            : 0;
  inputs.held_out = o.held_out >= 0 ? o.held_out : record != nullptr ? record->held_out : 0;
  cifar::Options data = image_options(o, sources);
  data.train_subset = inputs.train_subset;
  data.held_out = inputs.held_out;
  if (data.held_out == 0 && cifar::Options::is_drawn(data.images())) data.train_subset = 1;  // none need be drawn
  data.test_subset = o.test.empty() ? o.test_subset : 0;
  data.normalization.clear();
  data.known_test.clear(), data.known_training.clear();
  inputs.unseen = o.unseen > 0;
  inputs.dataset = load(o, data, inputs.train_subset);
  if (o.test.empty()) require_same_split(sources, inputs.dataset);
  normalise(inputs, sources);
  inputs.files = {.size = data.image_size, .resize = data.shorter_side(), .skip = o.damaged == "skip"};
  if (!o.test.empty())
    inputs.dataset.test = read_images("test", o.test, inputs.dataset, inputs.files, o.test_subset, true);
  inputs.dataset.train = {};
  return inputs;
}

}  // namespace evaluate
