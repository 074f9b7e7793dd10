#include "sources.hpp"

#include <system_error>
#include <utility>

#include <lpw/data/cifar.hpp>
#include <lpw/data/synthetic.hpp>
#include <lpw/io/checkpoint.hpp>
#include <lpw/io/safetensors.hpp>

#include "../cifar/data.hpp"
#include "../shared/record.hpp"

namespace evaluate {

namespace {

namespace fs = std::filesystem;

[[nodiscard]] bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

/// What the command line says of a run.
[[nodiscard]] cifar::Options asked(const Options& o, const fs::path& file) {
  cifar::Options run;
  run.eval = file.string();
  run.data = o.data;
  run.dataset = o.dataset;
  run.convert = o.convert;
  if (!o.model.empty()) run.model = o.model;
  return run;
}

/// Takes the run's options from its checkpoint.
[[nodiscard]] cifar::Options read_checkpoint(Source& source, const fs::path& file, const Options& o) {
  const std::string name = file.string();
  const auto meta = lpw::io::load_checkpoint(file).meta;
  lpw::require<lpw::FileError>(
      meta.is_object() && meta.contains("options") && meta.contains("progress") && meta["progress"].is_object(), name,
      ": is not the checkpoint of a training run");
  auto run = asked(o, file);
  example::adopt(run, meta["options"], [](const std::string&) { return false; });
  const auto step = meta["progress"].find("step");
  lpw::require<lpw::FileError>(step != meta["progress"].end() && step->is_number_integer(), name,
                               ": damaged: its step is not a whole number");
  source.steps = step->get<std::int64_t>();
  source.recorded = true;
  source.train_subset = subset_of(run.images(), run.train_subset);
  source.held_out = run.held_out;
  source.initialised = !run.init.empty();
  source.served = run.serve;
  source.says_images = true;
  return run;
}

/// A plain network in a file. What its run held out stands in a checkpoint, if there is one.
[[nodiscard]] cifar::Options read_model(Source& source, const fs::path& checkpoint, const Options& o) {
  const auto content = lpw::io::load_safetensors(source.file);
  const auto model = content.metadata.find("model");
  lpw::require<lpw::OptionError>(!o.model.empty() || (model != content.metadata.end() && !model->second.empty()),
                                 source.file.string(), ": does not say which network it is; say it with --model");
  source.says_normalization = content.metadata.contains("normalization");
  auto run = asked(o, source.file);
  cifar::adopt_model(run, content, [&](const std::string& name) { return name == "model" && !o.model.empty(); });
  const bool says_images = cifar::has_image_notes(content.metadata);
  source.says_images = says_images;
  if (checkpoint.empty() || !is_there(checkpoint)) return run;
  const auto trained = read_checkpoint(source, checkpoint, o);  // which older files leave it to
  run.image_size = trained.image_size, run.resize = trained.resize;
  run.split = trained.split, run.split_seed = trained.split_seed, run.damaged = trained.damaged;
  run.knows_split = run.knows_split || !says_images;
  if (run.known_classes.empty()) run.known_classes = trained.known_classes;
  return run;
}

/// The file of a run folder that --take asks for.
[[nodiscard]] fs::path file_in(const fs::path& folder, const std::string& take) {
  const auto file = folder / (take == "model" ? "model.safetensors" : "checkpoint.lpw");
  lpw::require<lpw::FileError>(
      is_there(file), folder.string(), ": is no run folder with ", file.filename().string(),
      take == "model" && is_there(folder / "checkpoint.lpw")
          ? ": its run has not ended; continue it with the trainer's --resume, or take its members with --take members"
          : "; name one, or a model.safetensors or checkpoint.lpw");
  return file;
}

[[nodiscard]] Source find_source(const std::string& given, const Options& o) {
  using Kind = Source::Kind;
  std::error_code unreadable;
  Source source{.given = given, .file = given};
  lpw::require<lpw::FileError>(is_there(given), given, ": no such file or folder, which --network names");
  const bool folder = fs::is_directory(given, unreadable);
  if (folder) {
    source.kind = o.take == "model" ? Kind::model : o.take == "members" ? Kind::members : Kind::snapshots;
    source.file = file_in(given, o.take);
  } else if (!given.ends_with(".safetensors")) {
    source.kind = Kind::members;
  }
  auto run = source.kind == Kind::model
                 ? read_model(source, folder ? fs::path(given) / "checkpoint.lpw" : fs::path(), o)
                 : read_checkpoint(source, source.file, o);
  lpw::require<lpw::OptionError>(source.kind == Kind::model || o.model.empty() || o.model == run.model,
                                 source.file.string(), ": is of --model ", run.model, "; leave out --model ", o.model);
  if (!o.test.empty()) run.known_test.clear(), run.known_training.clear();  // none of those is scored
  cifar::complete(run);
  source.model = source.kind == Kind::snapshots ? run.plain_model() : run.model;
  source.images = run.images();
  if (run.has_own_images()) source.classes = run.known_classes;
  if (source.says_images) source.notes = cifar::image_notes(run);
  if (!run.knows_split) source.notes.erase("split"), source.notes.erase("split-seed");
  source.run = std::make_shared<const cifar::Options>(std::move(run));
  return source;
}

/// Throws OptionError where two networks know other images, of which no ensemble can be scored.
void require_same_images(const Source& first, const Source& other, const Options& o) {
  lpw::require<lpw::OptionError>(other.images == first.images, other.given, ": was trained on ", other.images, ", and ",
                                 first.given, " on ", first.images, "; they are no ensemble: score them apart");
  lpw::require<lpw::OptionError>(lpw::io::same_class_names(first.classes, other.classes), other.given, ": tells ",
                                 lpw::io::list_class_names(other.classes), " apart, and ", first.given, ' ',
                                 lpw::io::list_class_names(first.classes), "; they are no ensemble: score them apart");
  for (const auto& [name, value] : other.notes) {
    if (name == "damaged") continue;  // a run that refuses them has had none
    const auto found = first.notes.find(name);
    const bool size = name == "image-size" || name == "resize",
               chosen = size && (o.image_size > 0 || (name == "resize" && o.resize > 0));
    lpw::require<lpw::OptionError>(
        chosen || found == first.notes.end() || found->second == value, other.given, ": was trained with --", name, ' ',
        value, ", and ", first.given, " with ", found == first.notes.end() ? "" : found->second,
        size ? "; say with --" + name + " which is to count" : std::string("; they are no ensemble: score them apart"));
  }
}

}  // namespace

std::int64_t subset_of(const std::string& images, std::int64_t size) {
  if (images == "folder" || images == "npy") return size;
  const auto layout = images == "cifar100" ? lpw::data::cifar100_layout() : lpw::data::cifar10_layout();
  const std::int64_t all = cifar::Options::is_drawn(images) ? cifar::synthetic_options(images).train
                                                            : std::ssize(layout.train_files) * layout.train_records;
  return size == all ? 0 : size;
}

std::vector<Source> find_sources(const Options& o) {
  const auto given = Options::parts(o.networks);
  lpw::require<lpw::OptionError>(!given.empty(),
                                 "--network is missing: name a run folder, a model.safetensors or a checkpoint.lpw "
                                 "(see --help)");
  std::vector<Source> sources;
  for (const auto& name : given) {
    const auto source = find_source(name, o);
    for (const Source& other : sources) require_same_images(other, source, o);
    sources.push_back(source);
  }
  return sources;
}

}  // namespace evaluate
