// The command line of the enwik8 trainer.
#pragma once

#include "command_line.hpp"
#include "enwik8_options.hpp"

namespace enwik8 {

template <class Add>
void declare_own_options(Options& o, Add&& add) {
  using namespace example;
  add("--data", o.data, "text to split into training, validation and test (scripts/download_data.sh); default: the headers of lpw itself")
      ->check(path_name());
  add("--split", o.split, "per cents of --data for training, validation and test, in this order");
  add("--valid", o.valid, "validation text; its share of --data is trained on")->check(path_name());
  add("--test", o.test, "test text; its share of --data is trained on")->check(path_name());
  add("--hidden", o.hidden, "units of an LSTM layer")->transform(range<std::int64_t>(1, 100'000));
  add("--layers", o.layers, "LSTM layers")->transform(range<std::int64_t>(1, 1000));
  add("--embedding", o.embedding, "features of a byte's embedding")->transform(range<std::int64_t>(1, 100'000));
  add("--bptt", o.bptt, "bytes of a window, the length of back-propagation through time")->transform(range<std::int64_t>(1, 1'000'000));
  add("--pre-batch", o.pre_batch,
      "streams of the network before release: members (--members times --batch: those that members read later), batch, or a number");
  add("--sample", o.sample, "print so many bytes of text made by the collapsed network at last")
      ->transform(range<std::int64_t>(0, 1'000'000'000));
  add("--temperature", o.temperature, "of --sample: below 1 sticks to what is likely; 0: the most likely byte always")
      ->transform(at_least(0.0));
}

}  // namespace enwik8
