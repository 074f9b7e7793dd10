// Scores on corrupted images: the published ones, or our own.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lpw/data/corruptions.hpp>
#include <lpw/io/checksum.hpp>
#include <lpw/io/cifar_c.hpp>
#include <lpw/io/file.hpp>
#include <lpw/metrics/corruption_error.hpp>
#include <lpw/train/display.hpp>
#include <lpw/train/printable.hpp>

#include "inputs.hpp"
#include "predictions.hpp"
#include "scoring.hpp"

namespace evaluate {

namespace detail {

namespace data = lpw::data;
namespace metrics = lpw::metrics;

/// A set of corrupted images, whoever made it.
struct Corrupted {
  std::string name;
  std::vector<std::string> kinds;  // the benchmark's first
  std::size_t benchmark;           // so many of them count for the means
  std::int64_t severities;
  bool labels_compared;  // with those of the test set
  std::function<data::ImageSet(std::size_t kind, std::int64_t severity)> read;
};

/// Those of the test images that are corrupted.
[[nodiscard]] inline data::ImageSet corrupted_part(const Options& o, const Inputs& inputs) {
  const data::ImageSet& test = inputs.dataset.test;
  lpw::require<lpw::OptionError>(o.corrupted <= test.count, "--corrupted ", o.corrupted, ": there are ", test.count,
                                 " test images");
  return o.corrupted == 0 ? test : data::balanced_subset(test, o.corrupted);
}

[[nodiscard]] inline Corrupted own(const Options& o, const Inputs& inputs) {
  lpw::require<lpw::OptionError>(
      inputs.dataset.test.source == nullptr,
      "--corruptions own: is for images in memory, and these are decoded from files; corrupt "
      "the files and score them with --test");
  std::vector<std::string> kinds;
  for (const auto kind : data::corruptions) kinds.push_back(data::name_of(kind));
  const auto count = kinds.size();
  return {lpw::to_text("own (computed by lpw; not CIFAR-10-C), seed ", o.seed),
          std::move(kinds),
          count,
          data::corruption_severities,
          true,
          [images = corrupted_part(o, inputs), seed = o.seed](std::size_t kind, std::int64_t severity) {
            return data::corrupted(images, data::corruptions[kind], severity, seed);
          }};
}

[[nodiscard]] inline Corrupted published(const Options& o, const Inputs& inputs) {
  const data::ImageSet test = corrupted_part(o, inputs);
  const lpw::io::CifarC files = [&] {
    const bool fewer = o.corrupted > 0;
    const std::int64_t size = fewer ? o.corrupted : o.test_subset;
    try {
      return lpw::io::CifarC(o.corruptions, test.classes, size);
    } catch (const lpw::OptionError& error) {
      lpw::fail<lpw::OptionError>(fewer ? "--corrupted " : "--test-subset ", size, ": ", error.what());
    }
  }();
  const bool compared = o.test.empty();  // which may name other images of the same classes
  lpw::require<lpw::OptionError>(!compared || files.labels() == test.labels, "--corruptions ", o.corruptions,
                                 ": its labels are not those of the test set of ", inputs.images,
                                 ", so these are other images; name the corruptions of that set, or own");
  const auto& layout = files.layout();
  return {test.classes == 100 ? "CIFAR-100-C" : "CIFAR-10-C",
          layout.all(),
          layout.kinds.size(),
          layout.severities,
          compared,
          [files, kinds = layout.all()](std::size_t kind, std::int64_t severity) {
            return files.read(kinds[kind], severity);
          }};
}

[[nodiscard]] inline Corrupted find_corrupted(const Options& o, const Inputs& inputs) {
  return o.corruptions == "own" ? own(o, inputs) : published(o, inputs);
}

[[nodiscard]] inline std::vector<double> errors_of(const Json& kind) {
  std::vector<double> errors;
  for (const Json& at : kind.at("severities")) errors.push_back(at.at("error").get<double>());
  return errors;
}

/// What tells images and their labels from others: of corrupted ones, those of the first kind at severity 1.
[[nodiscard]] inline std::string fingerprint(const data::ImageSet& images) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "CRC-32C %08x, %08x",
                static_cast<unsigned>(lpw::io::crc32c(std::as_bytes(std::span(images.pixels)))),
                static_cast<unsigned>(lpw::io::crc32c(std::as_bytes(std::span(images.labels)))));
  return digits;
}

/// The errors of a reference under each kind. `first`: fingerprint's images.
[[nodiscard]] inline std::vector<std::vector<double>> reference_errors(const Options& o, const Json& reference,
                                                                       const Inputs& inputs, const Corrupted& set,
                                                                       const data::ImageSet& first) {
  const auto require_same = [&](bool same, const std::string& what, const std::string& expected) {
    lpw::require<lpw::FileError>(
        same, o.reference, ": is of ", lpw::train::one_line(what), ", expected ", expected,
        "; evaluate the reference with the same --data, --test, --corruptions, --corrupted, --test-subset and "
        "--seed");
  };
  try {
    const Json& found = reference.at("corruptions");
    const auto name = found.at("set").get<std::string>();
    require_same(name == set.name, name, set.name);
    const auto count = found.at("images").get<std::int64_t>();
    require_same(count == first.count, lpw::to_text(count, " images"), lpw::to_text(first.count));
    const auto trained_on = reference.at("data").at("trained_on").get<std::string>();
    require_same(trained_on == inputs.images, "a network trained on " + trained_on, inputs.images);
    require_same(found.at("fingerprint") == fingerprint(first),
                 "other images (" + found.at("fingerprint").get<std::string>() + ")", fingerprint(first));
    require_same(found.at("kinds").size() == set.kinds.size(), "other kinds", "the same");
    std::vector<std::vector<double>> result;
    for (std::size_t i = 0; i < set.kinds.size(); ++i) {
      const Json& kind = found.at("kinds")[i];
      require_same(kind.at("name") == set.kinds[i], kind.at("name").get<std::string>(), set.kinds[i]);
      result.push_back(errors_of(kind));
      (void)metrics::corruption_error(result.back(), result.back());  // that they are errors, and not all 0
      require_same(std::ssize(result.back()) == set.severities, "other severities", "the same");
    }
    return result;
  } catch (const nlohmann::json::exception&) {
    lpw::fail<lpw::FileError>(o.reference, ": damaged: its \"corruptions\" are not what this program writes");
  } catch (const lpw::FileError&) {
    throw;
  } catch (const lpw::Error& error) {
    lpw::fail<lpw::FileError>(o.reference, ": ", error.what());
  }
}

[[nodiscard]] inline Json score_images(Predictor& predictor, const data::ImageSet& images, std::int64_t severity) {
  Scoring scoring;
  predict(predictor, images, [&](const Predictions& batch) { scoring.add(batch.ensemble, batch.labels); });
  const Json scores = scoring.scores();
  return {{"severity", severity},
          {"error", 1 - scores.at("accuracy").get<double>()},
          {"nll", scores.at("nll")},
          {"ece", scores.at("ece")}};
}

/// Adds the means over the benchmark's kinds, and mCE where there is a reference.
inline void add_means(Json& result, const Options& o, std::size_t benchmark,
                      const std::vector<std::vector<double>>& reference) {
  std::vector<double> means, relative;
  for (std::size_t i = 0; i < result["kinds"].size(); ++i) {
    Json& kind = result["kinds"][i];
    const auto errors = errors_of(kind);
    kind["mean_error"] = metrics::mean_of(errors);
    if (i < benchmark) means.push_back(metrics::mean_of(errors));
    if (reference.empty()) continue;
    kind["ce"] = metrics::corruption_error(errors, reference[i]);
    if (i < benchmark) relative.push_back(kind["ce"].get<double>());
  }
  result["mean_error"] = metrics::mean_of(means);
  result["mce"] = relative.empty() ? Json() : Json(metrics::mean_of(relative));
  result["reference"] = o.reference.empty() ? Json() : Json(lpw::train::one_line(o.reference));
}

}  // namespace detail

/// The evaluation.json that --reference names, of the same corruptions. Throws FileError for one that is not.
[[nodiscard]] inline Json read_reference(const std::string& path) {
  const auto bytes = lpw::io::read_file(path);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  Json reference = Json::parse(text, text + bytes.size(), nullptr, false);
  lpw::require<lpw::FileError>(
      reference.is_object() && reference.contains("corruptions") && reference["corruptions"].is_object(), path,
      ": is no evaluation.json with scores under corruptions; write one with "
      "--corruptions and --out");
  return reference;
}

/// Checks that there is what --corruptions asks for, and that the reference (null: none) is of the same. Throws
/// FileError and OptionError.
inline void check_corruptions(const Options& o, const Inputs& inputs, const Json& reference) {
  const auto set = detail::find_corrupted(o, inputs);
  if (reference.is_object()) (void)detail::reference_errors(o, reference, inputs, set, set.read(0, 1));
}

/// The field "corruptions".
[[nodiscard]] inline Json score_corruptions(const Options& o, const Inputs& inputs, const Json& reference,
                                            Predictor& predictor, lpw::train::Display& display) {
  const auto set = detail::find_corrupted(o, inputs);
  const auto first = set.read(0, 1);
  Json result{{"set", set.name},
              {"images", first.count},
              {"fingerprint", detail::fingerprint(first)},
              {"labels_compared", set.labels_compared},
              {"kinds", Json::array()}};
  for (std::size_t i = 0; i < set.kinds.size(); ++i) {
    Json kind{{"name", set.kinds[i]}, {"in_benchmark", i < set.benchmark}, {"severities", Json::array()}};
    for (std::int64_t severity = 1; severity <= set.severities; ++severity) {
      display.progress([&] { return lpw::to_text("scoring ", set.kinds[i], " at severity ", severity); });
      kind["severities"].push_back(detail::score_images(predictor, set.read(i, severity), severity));
    }
    result["kinds"].push_back(std::move(kind));
  }
  std::vector<std::vector<double>> reference_by_kind;
  if (reference.is_object()) reference_by_kind = detail::reference_errors(o, reference, inputs, set, first);
  detail::add_means(result, o, set.benchmark, reference_by_kind);
  return result;
}

}  // namespace evaluate
