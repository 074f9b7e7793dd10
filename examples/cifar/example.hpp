// What the CIFAR trainer is made of: a network that classifies images.
#pragma once

#include "../shared/trainer_program.hpp"
#include "data.hpp"

namespace cifar {

struct Example {
  using Options = cifar::Options;
  template <class T, class Device>
  using Network = lpw::nn::ImageNetwork<T, Device>;
  template <class Network>
  using Task = lpw::train::ImageClassification<Network>;
};

inline example::Banner banner(const Options& o, const lpw::data::Dataset& dataset) {
  return {o.model,
          lpw::to_text(dataset.name, ": ", dataset.train.count, " training and ", dataset.test.count, " test images")};
}

inline example::Exported exported(const Options& o, const lpw::data::Dataset& dataset) {
  example::Metadata about{{"model", o.plain_model()}, {"dataset", o.images()}};
  about.merge(image_notes(o));
  about.merge(lpw::train::notes_of(dataset));
  if (!o.known_classes.empty()) about.emplace("classes", lpw::io::describe_class_names(o.known_classes));
  if (!o.knows_split)
    for (const char* name : {"split", "split-seed", split_note}) about.erase(name);
  return {std::move(about), {dataset.test.height, dataset.test.width, dataset.test.channels}};
}

}  // namespace cifar
