// What the enwik8 trainer is made of: an LSTM that predicts the next byte.
#pragma once

#include "../shared/trainer_program.hpp"
#include "options.hpp"
#include "sample.hpp"

namespace enwik8 {

struct Example {
  using Options = enwik8::Options;
  template <class T, class Device>
  using Network = lpw::nn::LanguageModel<T, Device>;
  template <class Network>
  using Task = lpw::train::LanguageModelling<Network>;
};

inline example::Banner banner(const Options& o, const Data& data) {
  return {lpw::to_text("LSTM ", o.layers, " x ", o.hidden),
          lpw::to_text(data.name, ": ", data.train.size(), " training, ", data.valid.size(), " validation and ",
                       data.test.size(), " test bytes")};
}

inline example::Exported exported(const Options& o, const Data& data) {
  return {{{"model", lpw::to_text("lstm-", o.layers, "x", o.hidden)}, {"dataset", data.name}}, {}};
}

/// Prints --sample bytes that the collapsed network makes up.
template <class Network>
void conclude(const Options& o, Network& network, lpw::train::Display& display) {
  if (o.sample > 0) display.line(lpw::to_text("\n", sample(network, o.sample, o.temperature, lpw::Philox(o.seed))));
}

}  // namespace enwik8
