// The options of the enwik8 trainer, and what they mean for the library.
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <lpw/io/file.hpp>
#include <lpw/io/safetensors.hpp>
#include <lpw/train/language_modelling.hpp>

#include "../shared/fingerprint.hpp"
#include "../shared/numbers.hpp"
#include "../shared/option_table.hpp"
#include "../shared/run_option_table.hpp"
#include "../shared/run_options.hpp"
#include "headers.hpp"

namespace enwik8 {

struct Options : example::RunOptions {
  static constexpr const char* program = "enwik8";
  static constexpr const char* purpose =
      "Trains a byte-level LSTM with late-phase weights on a text and collapses its members into one plain network.";
  static constexpr const char* batch_help = "streams per member, each through a part of the text of its own";
  static constexpr const char* dropout_help = "dropout rate of the embedding's and of every LSTM layer's output";
  static constexpr const char* late_help =
      "late-phase weights, joined by commas: rank1, head, all, or names of parameters, where * stands for any part; "
      "additive or additive:NAMES, deviations beside the shared weights; none. (batchnorm, layernorm, groupnorm and "
      "own:NUMBER are of networks of one's own)";

  Options()
      : RunOptions{.epochs = 20,
                   .batch = 20,
                   .release_epoch = 12,
                   .late = "rank1",
                   .optimizer = "adam",
                   .lr = 2e-3,
                   .clip = 1} {}

  std::string data = {}, split = "90,5,5", valid = {}, test = {};
  std::int64_t hidden = 500, layers = 1, embedding = 128, bptt = 100;
  std::int64_t held_out = 0;
  bool embedding_factors = false;
  std::string pre_batch = "members";
  std::int64_t sample = 0;
  double temperature = 1;

  [[nodiscard]] static example::OptionTable<Options> own();
};

inline example::OptionTable<Options> Options::own() {
  using namespace example;
  constexpr auto network = Section::network, texts = Section::data, training = Section::training, run = Section::run;
  return {
      {.name = "data",
       .member = &Options::data,
       .help = "text to split into training, validation and test (scripts/download_data.sh); default: the headers of "
               "lpw itself",
       .check = path_name(),
       .role = Role::data,
       .section = texts},
      {.name = "split",
       .member = &Options::split,
       .help = "per cents of --data for training, validation and test, in this order",
       .role = Role::data,
       .section = texts,
       .list = true,
       .field = "shares",
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.valid.empty() || o.test.empty()) return std::nullopt;
         return Idle{"valid", "beside --valid and --test all of --data is trained on", "test"};
       }},
      {.name = "valid",
       .member = &Options::valid,
       .help = "validation text; its share of --data is trained on",
       .check = path_name(),
       .role = Role::data,
       .section = texts},
      {.name = "test",
       .member = &Options::test,
       .help = "test text; its share of --data is trained on",
       .check = path_name(),
       .role = Role::data,
       .section = texts},
      {.name = "held-out",
       .member = &Options::held_out,
       .help =
           "so many bytes of the training text's end are not trained on, and are what --best, --patience, --collapse "
           "greedy and fitted, and --line-search choose and score by",
       .check = at_least<std::int64_t>(0),
       .role = Role::training,
       .section = texts,
       .later = true},
      {.name = "hidden",
       .member = &Options::hidden,
       .help = "units of an LSTM layer",
       .check = range<std::int64_t>(1, 100'000),
       .section = network},
      {.name = "layers",
       .member = &Options::layers,
       .help = "LSTM layers",
       .check = range<std::int64_t>(1, 1000),
       .section = network},
      {.name = "embedding",
       .member = &Options::embedding,
       .help = "features of a byte's embedding",
       .check = range<std::int64_t>(1, 100'000),
       .section = network},
      {.name = "embedding-factors",
       .member = &Options::embedding_factors,
       .help = "rank-1 late-phase weights are factors of the embedding's table too, not of the LSTM and the head alone",
       .role = Role::training,
       .section = network,
       .idle = detail::without_factors<Options>,
       .later = true},
      {.name = "bptt",
       .member = &Options::bptt,
       .help = "bytes of a window, the length of back-propagation through time",
       .check = range<std::int64_t>(1, 1'000'000),
       .section = training,
       .field = "window"},
      {.name = "pre-batch",
       .member = &Options::pre_batch,
       .help = "streams of the network before release: members (those that members read later: --members times "
               "--batch, or with --member-data same or whole --batch), batch, or a number",
       .section = training},
      {.name = "sample",
       .member = &Options::sample,
       .help = "print so many bytes of text made by the collapsed network at last",
       .check = range<std::int64_t>(0, 1'000'000'000),
       .role = Role::program,
       .section = run},
      {.name = "temperature",
       .member = &Options::temperature,
       .help = "of --sample: below 1 sticks to what is likely; 0: the most likely byte always",
       .check = at_least(0.0),
       .role = Role::program,
       .section = run,
       .idle = [](const Options& o) -> std::optional<Idle> {
         if (o.sample != 0) return std::nullopt;
         return Idle{"sample", "nothing is sampled"};
       }},
  };
}

/// "90,5,5" with the shares of the parts that have a file of their own given to the training text.
inline lpw::data::TextShares parse_split(const Options& o) {
  std::array<double, 3> shares{};
  const auto parts = lpw::split_text(o.split, ',');
  bool valid = parts.size() == shares.size();
  for (std::size_t i = 0; valid && i < shares.size(); ++i) {
    const auto share = example::read_number<double>(parts[i]);
    valid = share && *share >= 0 && *share <= 100;
    shares[i] = share.value_or(0);
  }
  lpw::require<lpw::OptionError>(
      valid && std::abs(shares[0] + shares[1] + shares[2] - 100) < 1e-9, "--split ", o.split,
      ": expected per cents for training, validation and test that sum to 100, such as 90,5,5");
  if (!o.valid.empty()) shares[0] += std::exchange(shares[1], 0);
  if (!o.test.empty()) shares[0] += std::exchange(shares[2], 0);
  return {shares[0], shares[1], shares[2]};
}

/// Streams of the network before release.
inline std::int64_t pre_batch(const Options& o) {
  if (o.pre_batch == "members" && o.member_data == "own") {
    lpw::require<lpw::OptionError>(o.batch <= std::numeric_limits<std::int64_t>::max() / o.members, "--members ",
                                   o.members, " times --batch ", o.batch,
                                   ": there are no texts for so many streams; take less of either");
    return o.members * o.batch;
  }
  if (o.pre_batch == "batch" || o.pre_batch == "members") return o.batch;
  constexpr std::int64_t most = 1'000'000'000'000;
  const auto streams = example::read_number<std::int64_t>(o.pre_batch);
  lpw::require<lpw::OptionError>(streams && *streams >= 1 && *streams <= most, "--pre-batch ", o.pre_batch,
                                 ": expected members, batch, or a number of streams from 1 to ", most);
  return *streams;
}

inline void complete(Options& o) {
  static_cast<void>(parse_split(o)), static_cast<void>(pre_batch(o));
  for (std::string* file : {&o.data, &o.valid, &o.test})
    if (!file->empty()) *file = example::absolute_path(*file);
}

/// What the text is called where none is given.
inline constexpr const char* own_text = "the headers of lpw";

/// Texts and what they are called.
struct Data : lpw::data::TextParts {
  std::string name;
};

inline lpw::data::Text read_text(const std::string& path) {
  auto text = lpw::io::read_file<std::uint8_t>(path);
  lpw::require<lpw::FileError>(!text.empty(), path, ": is empty; expected a text");
  return text;
}

/// The library's own headers, one after another.
inline lpw::data::Text library_text() {
  lpw::data::Text text;
  for (const std::string_view header : library_headers()) text.insert(text.end(), header.begin(), header.end());
  return text;
}

/// How a checkpoint knows a text again.
inline std::string fingerprint(const lpw::data::Text& text) { return example::fingerprint_of(std::span(text)); }
inline std::string fingerprint(const Options&, const Data& data) {
  return lpw::to_text("training ", fingerprint(data.train), "; validation ", fingerprint(data.valid), "; test ",
                      fingerprint(data.test));
}

[[nodiscard]] inline nlohmann::json describe(const Options&, const Data& data) {
  return {{"model", "byte LSTM"},
          {"dataset", data.name},
          {"training text", fingerprint(data.train)},
          {"validation text", fingerprint(data.valid)},
          {"test text", fingerprint(data.test)}};
}

/// Whether a checkpoint is evaluated on other texts than its run was.
inline bool other_data(const Options& o, const Data& data) {
  return o.recorded.at("validation text") != fingerprint(data.valid) ||
         o.recorded.at("test text") != fingerprint(data.test);
}

/// Throws OptionError where a checkpoint's candidates or members would be chosen by other held-out bytes than the
/// run's.
inline void require_held_out_meant(const Options& o, const Data& data) {
  const auto chooser = example::serving_options(o).needs_held_out();
  lpw::require<lpw::OptionError>(
      chooser.empty() || o.held_out == 0 || o.recorded.at("training text") == fingerprint(data.train), o.eval, ": ",
      chooser, " chooses by the last ", o.held_out,
      " bytes of the training text, and this is another one than the run's: ", fingerprint(data.train),
      " before them instead of ", o.recorded.at("training text").get<std::string>(),
      "; give --data and --split as then, or beside --valid and --test a file of that training text alone as --data");
}

/// Throws OptionError, for --eval of a checkpoint, unless its run was scored on the same texts or both are given
/// expressly; and unless what chooses does so by the run's held-out bytes.
inline void require_meant(const Options& o, const Data& data) {
  if (o.recorded.is_null()) return;
  require_held_out_meant(o, data);
  if (!o.valid.empty() && !o.test.empty()) return;
  lpw::require<lpw::OptionError>(
      !other_data(o, data), o.eval, ": was trained on ", o.recorded.at("dataset").get<std::string>(),
      "; say where its texts are with --data, --split, --valid and --test as then, or give other texts with "
      "both --valid and --test");
}

inline Data load_data(const Options& o) {
  const auto file_name = [](const std::string& path) { return std::filesystem::path(path).filename().string(); };
  Data data{lpw::data::split_text(o.data.empty() ? library_text() : read_text(o.data), parse_split(o)),
            o.data.empty() ? own_text : file_name(o.data)};
  if (!o.valid.empty()) data.valid = read_text(o.valid);
  if (!o.test.empty()) data.test = read_text(o.test);
  lpw::data::hold_out(data, o.held_out);
  require_meant(o, data);
  return data;
}

/// Only says whether the record is of this trainer: the texts are known by what is in them.
template <class Given>
void adopt_data(Options&, const nlohmann::json& recorded, Given&&) {
  for (const char* name : {"dataset", "training text", "validation text", "test text"})
    static_cast<void>(recorded.at(name).get<std::string>());
}

/// Throws OptionError for a network that was trained on a file, unless a text is given: it would be scored on another
/// by mistake.
template <class Given>
void require_text(const Options& o, const lpw::io::Safetensors& content, Given&& given) {
  const auto dataset = content.metadata.find("dataset");
  if (dataset == content.metadata.end() || dataset->second == own_text || given("data") ||
      (given("valid") && given("test")))
    return;
  lpw::fail<lpw::OptionError>(o.eval, ": was trained on ", dataset->second,
                              "; say with --data where that is, or another text to score");
}

/// Takes the sizes of a saved network from its tensors.
template <class Given>
void adopt_model(Options& o, const lpw::io::Safetensors& content, Given&& given) {
  require_text(o, content, given);
  const auto columns = [&](const std::string& name, std::int64_t& value) {
    const auto& shape = content.tensors.at(name).shape;
    lpw::require<lpw::FileError>(shape.rank() == 2, o.eval, ": tensor '", name, "' is ", shape, ", not a matrix");
    value = shape[1];
  };
  if (!given("embedding")) columns("embedding.weight", o.embedding);
  if (!given("hidden")) columns("lstm.weight_hh_l0", o.hidden);
  if (given("layers")) return;
  for (o.layers = 1; content.tensors.contains(lpw::to_text("lstm.weight_hh_l", o.layers));) ++o.layers;
}

inline lpw::nn::LanguageModelOptions network_options(const Options& o) {
  return {.hidden = o.hidden,
          .layers = o.layers,
          .embedding = o.embedding,
          .dropout = o.dropout,
          .embedding_factors = o.embedding_factors};
}

inline lpw::train::LanguageModellingOptions task_options(const Options& o) {
  return {.batch = o.batch, .pre_batch = pre_batch(o), .window = o.bptt, .member_data = example::member_data(o)};
}

}  // namespace enwik8
