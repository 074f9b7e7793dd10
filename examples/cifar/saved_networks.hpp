// What checkpoints and files of networks say of the images that a network knows, and what --eval takes from there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <lpw/data/dataset.hpp>
#include <lpw/data/normalization.hpp>
#include <lpw/io/class_names.hpp>
#include <lpw/io/load_options.hpp>
#include <lpw/io/safetensors.hpp>

#include "../shared/fingerprint.hpp"
#include "options.hpp"

namespace cifar {

/// Under which name the file of a network notes the images that were split off.
inline constexpr const char* split_note = "split-images";

/// What a file's metadata say under a name; "" where they say nothing.
[[nodiscard]] inline std::string noted(const std::map<std::string, std::string>& metadata, const std::string& name) {
  const auto found = metadata.find(name);
  return found == metadata.end() ? "" : found->second;
}

/// Images as a text that tells whether they are the same: of files, their classes' folders, names and sizes.
[[nodiscard]] inline std::string fingerprint(const lpw::data::ImageSet& set) {
  if (!set.source)
    return lpw::to_text(example::fingerprint_of(std::span(set.pixels)), " and labels ",
                        example::fingerprint_of(std::span(set.labels)));
  std::string names;
  for (std::int64_t i = 0; i < set.count; ++i) {
    const std::filesystem::path file = set.source->name(i);
    std::error_code unknown;  // a size that cannot be had: reading the file says why
    names += lpw::to_text(file.parent_path().filename().string(), '/', file.filename().string(), ' ',
                          std::filesystem::file_size(file, unknown), '\n');
  }
  return lpw::to_text("files ", example::fingerprint_of(std::span<const char>(names)), " and labels ",
                      example::fingerprint_of(std::span(set.labels)));
}

/// How a run that goes on knows that it has the same images.
[[nodiscard]] inline std::string training_fingerprint(const lpw::data::Dataset& dataset) {
  return "training " + fingerprint(dataset.train);
}
/// What is in some of a set's files, 64 evenly spread: names and sizes say little of pictures that are not compressed.
[[nodiscard]] inline std::string sampled_contents(const lpw::data::ImageSet& set) {
  if (!set.source) return "";
  std::string prints;
  for (std::int64_t i = 0; i < set.count; i += (set.count + 63) / 64)
    prints += example::fingerprint_of_file(set.source->name(i)) + '\n';
  return " with contents of " + example::fingerprint_of(std::span<const char>(prints));
}

/// A data set's two sets of images, as fingerprint has them.
[[nodiscard]] inline std::string fingerprints(const lpw::data::Dataset& dataset) {
  return training_fingerprint(dataset) + "; test " + fingerprint(dataset.test);
}
/// How processes that train together know that they have the same images.
[[nodiscard]] inline std::string fingerprint(const Options&, const lpw::data::Dataset& dataset) {
  return fingerprints(dataset) + sampled_contents(dataset.train) + sampled_contents(dataset.test);
}

[[nodiscard]] inline nlohmann::json describe(const Options& o, const lpw::data::Dataset& dataset) {
  nlohmann::json result{{"dataset", o.images()}};
  if (o.has_own_images()) {
    result["images"] = fingerprints(dataset);
    if (!dataset.class_names.empty()) result["classes"] = lpw::io::describe_class_names(dataset.class_names);
  }
  if (o.images() == "folder") result["resize"] = o.shorter_side();
  if (o.has_templates()) result["collapsed_model"] = o.plain_model();
  return result;
}

/// Takes the data set that a saved network was trained on; the folder of its files remains the caller's to say.
inline void adopt_images(Options& o, const std::string& images) {
  const bool drawn = Options::is_drawn(images);
  lpw::require<lpw::OptionError>(!drawn || Options::is_drawn(o.data), o.eval,
                                 ": was trained on the synthetic data; evaluate it without --data");
  lpw::require<lpw::OptionError>(drawn || (!Options::is_drawn(o.data) && o.is_npy() == (images == "npy")), o.eval,
                                 ": was trained on ", images, "; say with --data ",
                                 images == "npy" ? "IMAGES.npy:LABELS.npy" : "DIR", " where its files are");
  if (drawn) o.data = images;
  if (!drawn && images != "npy") o.dataset = images;
}

template <class Given>
void adopt_data(Options& o, const nlohmann::json& recorded, Given&& given) {
  const auto images = recorded.at("dataset").get<std::string>();
  lpw::require<lpw::OptionError>(!given("dataset") || Options::is_drawn(images) || images == o.dataset, o.eval,
                                 ": was trained on ", images, "; leave out --dataset ", o.dataset);
  adopt_images(o, images);
  if (images == "folder" && !recorded.contains("resize") && !given("resize"))
    o.resize = std::max<std::int64_t>(o.image_size, 256);  // the default of then
  if (!without_split(o) && recorded.contains("images")) {
    const auto trained = recorded.at("images").get<std::string>();
    o.known_training = trained.substr(0, trained.find("; test "));
  }
  if (recorded.contains("classes"))
    o.known_classes = lpw::io::class_names_in({{"classes", recorded.at("classes").get<std::string>()}}, o.eval);
}

/// What the file of a network notes of how its images are made of files: options by their names.
[[nodiscard]] inline std::map<std::string, std::string> image_notes(const Options& o) {
  std::map<std::string, std::string> notes;
  for (const auto& row : own_images())
    if (row.role == example::Role::run && !row.idle_in(o))
      row.visit(o, [&]<class T>(const T& value) {
        if constexpr (std::is_same_v<T, std::string>)
          notes[row.name] = value;
        else
          notes[row.name] = nlohmann::json(value).dump();
      });
  if (const auto resize = notes.find("resize"); resize != notes.end()) resize->second = lpw::to_text(o.shorter_side());
  return notes;
}

/// Whether a file says so.
[[nodiscard]] inline bool has_image_notes(const std::map<std::string, std::string>& metadata) {
  const auto rows = own_images();
  return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return metadata.contains(row.name); });
}

/// A value of a row as a file notes it. Throws FileError for what is none.
template <class T>
[[nodiscard]] T noted_value(const example::Option<Options>& row, std::string text, const std::string& file) {
  const auto complaint = row.check.complaint(text);
  lpw::require<lpw::FileError>(complaint.empty(), file, ": damaged: its ", row.name, ": ", complaint);
  if constexpr (std::is_same_v<T, std::string>) {
    return text;
  } else {
    return example::read_number<T>(text).value();
  }
}

/// Takes how a saved network's images were made of files.
template <class Given>
void adopt_notes(Options& o, const std::map<std::string, std::string>& metadata, Given&& given) {
  for (const auto& row : own_images()) {
    const auto note = metadata.find(row.name);
    if (note == metadata.end() || row.role != example::Role::run) continue;
    row.visit(o, [&]<class T>(T& value) {
      if constexpr (!std::is_same_v<T, bool>) {
        const T trained = noted_value<T>(row, note->second, o.eval);
        lpw::require<lpw::OptionError>(!given(row.name) || value == trained, o.eval, ": was trained with --", row.name,
                                       ' ', trained, "; leave out --", row.name, ' ', value);
        value = trained;
      }
    });
  }
}

/// How many channels a normalization is for: it has a number for each, or a name, or one for as many as there may be.
[[nodiscard]] inline std::int64_t channels_of(const std::string& normalization) {
  const auto means = normalization.substr(0, normalization.find('/'));
  return means == normalization ? 3 : std::count(means.begin(), means.end(), ',') + 1;
}

/// What the images of a network in a file were normalised by, as far as the file says; one number is for all of
/// `channels`. Throws FileError where it says what is no normalization.
[[nodiscard]] inline std::optional<lpw::data::Normalization> normalization_in(
    const std::map<std::string, std::string>& metadata, const std::string& file, std::int64_t channels) {
  if (!metadata.contains("normalization")) return std::nullopt;
  const std::string text = noted(metadata, "normalization");
  try {
    return lpw::data::parse_normalization(text, std::max(channels, channels_of(text)));
  } catch (const lpw::OptionError& error) {
    lpw::fail<lpw::FileError>(file, ": its normalization is none: ", error.what());
  }
}

/// Takes what a saved network's images were normalised by.
template <class Given>
void adopt_normalization(Options& o, const std::map<std::string, std::string>& metadata, Given&& given) {
  const auto trained = normalization_in(metadata, o.eval, given("normalization") ? channels_of(o.normalization) : 1);
  if (!trained) return;
  lpw::require<lpw::OptionError>(
      !given("normalization") ||
          same(*trained, lpw::data::parse_normalization(o.normalization, std::ssize(trained->mean))),
      o.eval, ": was trained on images normalised by ", describe(*trained), "; leave out --normalization ",
      o.normalization);
  o.normalization = describe(*trained);
}

template <class Given>
void adopt_model(Options& o, const lpw::io::Safetensors& content, Given&& given) {
  if (content.metadata.contains("model") && !given("model")) o.model = noted(content.metadata, "model");
  if (content.metadata.contains("dataset") && !given("dataset")) adopt_images(o, noted(content.metadata, "dataset"));
  adopt_normalization(o, content.metadata, given);
  adopt_notes(o, content.metadata, given);
  o.known_classes = lpw::io::class_names_in(content.metadata, o.eval);
  o.knows_split = content.metadata.contains("split");
  o.known_test = noted(content.metadata, split_note);
}

/// Whether a part of images is split off to be scored of which the file of a network does not say whether it was
/// trained on them.
[[nodiscard]] inline bool unknown_split(const Options& o) { return !without_split(o) && !o.knows_split; }
[[nodiscard]] inline std::string warn_of_split(const Options& o, const std::string& file) {
  return lpw::to_text("warning: ", file,
                      " does not say which part of the images it was not trained on; taken is that of ", "--split ",
                      o.split, " --split-seed ", o.split_seed);
}

/// The options that split images as those were of which a run starts from the network, where both are of such images
/// and the run's options are others; else "".
[[nodiscard]] inline std::string other_split(const Options& o, const std::map<std::string, std::string>& metadata) {
  const auto own = image_notes(o);
  const std::string part = noted(metadata, "split"), seed = noted(metadata, "split-seed");
  if (o.init.empty() || without_split(o) || part.empty() || noted(metadata, "dataset") != o.images()) return "";
  if (part == own.at("split") && seed == own.at("split-seed")) return "";
  return lpw::to_text("--split ", part, seed.empty() ? "" : " --split-seed ", seed);
}

/// The classes' names by which networks of the data are told from others: of the published sets, which are known by
/// `dataset`, the files may name them otherwise.
[[nodiscard]] inline std::vector<std::string> class_names(const Options& o, const lpw::data::Dataset& dataset) {
  return o.evaluates_model() && !o.has_own_images() ? std::vector<std::string>() : dataset.class_names;
}

/// What is to be said of a network that was read from a file, to train or to score it: whether it knows other images.
[[nodiscard]] inline std::vector<std::string> remarks_on_model(const Options& o, const std::string& file,
                                                               const lpw::data::Dataset& dataset,
                                                               const lpw::io::LoadReport& report) {
  std::vector<std::string> remarks;
  const auto known = lpw::io::class_names_in(report.metadata, file);
  const auto names = class_names(o, dataset);
  if (!lpw::io::same_class_names(known, names))
    remarks.push_back(lpw::to_text(file, " tells ", lpw::io::list_class_names(known), " apart, and here are ",
                                   lpw::io::list_class_names(names), ": the head is new"));
  const auto trained = normalization_in(report.metadata, file, dataset.train.channels);
  const auto here = describe(dataset.normalization);
  if (!trained) {
    remarks.push_back(lpw::to_text("warning: ", file,
                                   " does not say what its images were normalised by; here they are by ", here,
                                   ", or what --normalization says"));
  } else if (!same(*trained, dataset.normalization)) {
    const auto there = describe(*trained);
    remarks.push_back(lpw::to_text("warning: ", file, " was trained on images normalised by ", there,
                                   ", here they are by ", here, "; --normalization ", there, " is its own"));
  }
  if (o.evaluates_model() && unknown_split(o)) remarks.push_back(warn_of_split(o, file));
  if (const auto other = other_split(o, report.metadata); !other.empty() && lpw::io::same_class_names(known, names))
    remarks.push_back(lpw::to_text("warning: ", file, " was trained on another part of ", o.images(),
                                   " images, maybe on test images of here; ", other, " is its own"));
  return remarks;
}

}  // namespace cifar
