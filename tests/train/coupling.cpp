// How members of a run start, what they read, and how they pull on each other.
#include <lpw/late_phase/coupling.hpp>

#include <csignal>
#include <functional>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/language_modelling.hpp>
#include <lpw/train/trainer.hpp>

#include "catch.hpp"
#include "data/words.hpp"
#include "support.hpp"
#include "support/compare.hpp"
#include "train/members.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

namespace {

constexpr std::uint64_t seed = 11;

/// Members released at once, with minibatches of 4: five steps an epoch where they are their own, else fifteen.
TrainOptions at_once(const char* late) {
  return {.epochs = 4,
          .members = 3,
          .release_epoch = 0,
          .late = Selectors::parse(late),
          .optimizer = optim::SgdOptions{.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 1e-3},
          .schedule = optim::Cosine{.epochs = 5},
          .late_schedule = optim::Cosine{.epochs = 5},
          .seed = seed};
}
ImageClassificationOptions images_of(data::MemberData data, std::uint64_t order = seed) {
  return {.batch = 4, .augment = {.pad_crop = 1, .flip = true}, .seed = order, .member_data = data};
}

/// How far rows are from the first.
double spread(const Tensor<double, Cpu>& rows) {
  Worst worst;
  for (std::int64_t k = 1; k < rows.dim(0); ++k)
    worst.add(largest_difference(rows.rows(k, 1), rows.rows(0, 1)), to_text("member ", k));
  return worst.size();
}

}  // namespace

TEST_CASE("a deep ensemble of members that are drawn anew is as many separate trainings, bit for bit") {
  TrainOptions o = at_once("all");
  o.release_start = ReleaseStart::redraw;
  const auto together = trained(o, images_of(data::MemberData::whole));
  REQUIRE(together.weights.late.dim(0) == 3);
  CHECK(together.weights.base.size() == 0);
  for (std::int64_t k = 0; k < 3; ++k) {
    CAPTURE(k);
    const std::uint64_t own = data::member_seed(seed, k);
    TrainOptions alone = o;
    alone.members = 1;
    alone.seed = own;
    alone.release_start = ReleaseStart::copy;
    const auto one = trained(alone, images_of(data::MemberData::own, own));
    CHECK(same_bits(one.weights.base, together.weights.late.rows(k, 1)));
    CHECK(same_bits(one.statistics, together.statistics.rows(k, 1)));
  }
}

TEST_CASE("members of all weights that are released again when the run ends are those of one release, bit for bit") {
  TrainOptions once = at_once("all"), again = once;
  once.release_epoch = again.release_epoch = 1;
  again.release_every = 3;
  const auto expected = trained(once, images_of(data::MemberData::own)),
             found = trained(again, images_of(data::MemberData::own));
  CHECK(same_bits(found.weights.late, expected.weights.late));
  CHECK(same_bits(found.statistics, expected.statistics));
  CHECK(found.model == expected.model);
  again.release_every = 1;
  CHECK(trained(again, images_of(data::MemberData::own)).model != expected.model);
}

namespace {

/// A batch norm whose map is the mean of these ones' maps, between the means of their statistics.
void average_maps(const std::vector<nn::BatchNorm<double, Cpu>*>& of, nn::BatchNorm<double, Cpu>& to) {
  const double count = static_cast<double>(of.size());
  for (std::int64_t c = 0; c < to.weight.value().size(); ++c) {
    double slope = 0, offset = 0, mean = 0, variance = 0;
    for (const auto* bn : of) {
      const double m = bn->running_mean.value().data()[c], v = bn->running_var.value().data()[c],
                   a = bn->weight.value().data()[c] / std::sqrt(v + bn->options.epsilon);
      slope += a / count, offset += (bn->bias.value().data()[c] - a * m) / count;
      mean += m / count, variance += v / count;
    }
    to.running_mean.value().data()[c] = mean, to.running_var.value().data()[c] = variance;
    to.weight.value().data()[c] = slope * std::sqrt(variance + to.options.epsilon);
    to.bias.value().data()[c] = offset + slope * mean;
  }
}

/// The network of the copies' mean: batch norms by their maps, all else weight by weight.
ConvNet averaged_copies(std::vector<ConvNet>& copies) {
  ConvNet mean = nn::clone_module(copies.front());
  auto& to = nn::flatten(mean)->value.base;
  fill(to, 0.0);
  for (ConvNet& copy : copies)
    for (std::int64_t i = 0; i < to.size(); ++i)
      to.data()[i] += nn::flatten(copy)->value.base.data()[i] / static_cast<double>(copies.size());
  std::vector<nn::BatchNorm<double, Cpu>*> first, second;
  for (ConvNet& copy : copies) first.push_back(&copy.bn1), second.push_back(&copy.bn2);
  average_maps(first, mean.bn1);
  average_maps(second, mean.bn2);
  return mean;
}

}  // namespace

TEST_CASE("twenty steps of Lookaround are those of networks that are trained alone and averaged after each epoch") {
  constexpr double rate = 0.1;
  TrainOptions o{.epochs = 4, .members = 3, .release_epoch = 0, .late = Selectors::parse("all"), .release_every = 1};
  o.optimizer = optim::SgdOptions{.learning_rate = rate, .momentum = 0, .nesterov = false, .weight_decay = 0};
  o.seed = seed;
  const auto found = trained(o, images_of(data::MemberData::own));
  const auto set = three_classes();
  const auto images = images_of(data::MemberData::own);
  const data::Loader<double> loader(set.train, set.normalization,
                                    {.batch = images.batch, .augment = images.augment, .seed = images.seed});
  ConvNet start{Philox(seed)};
  std::vector<ConvNet> copies;
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    if (epoch > 0) start = averaged_copies(copies);
    copies.clear();
    for (int k = 0; k < 3; ++k) copies.push_back(nn::clone_module(start));
    for (auto& batch : loader.epoch(epoch, 3, 0)) {
      ++steps;
      for (std::int64_t k = 0; k < 3; ++k) {
        ConvNet& copy = copies[to_size(k)];
        auto& flat = *nn::flatten(copy);
        fill(flat.gradient.base, 0.0);
        Tape tape;
        tape.backward(cross_entropy(copy.forward(tape.input(batch.images.rows(k, 1))), batch.labels.rows(k, 1)));
        for (std::int64_t i = 0; i < flat.value.base.size(); ++i)
          flat.value.base.data()[i] -= rate * flat.gradient.base.data()[i];
      }
    }
  }
  CHECK(steps == 20);
  // Some roundings a step, of weights below 1, and of three averages; a wrong term shows as 1e-3.
  for (std::int64_t k = 0; k < 3; ++k)
    CHECK(distance(found.weights.late.rows(k, 1), nn::flatten(copies[to_size(k)])->value.base) < 1e-11);
  o.release_every = 0;
  CHECK(distance(trained(o, images_of(data::MemberData::own)).weights.late, found.weights.late) > 1e-3);
}

TEST_CASE("a language model's member that reads the whole text is a training on the text from its place on") {
  using Network = nn::LanguageModel<double, Cpu>;
  const data::TextParts text{text_of_words(300, 1), text_of_words(50, 2), text_of_words(50, 3)};
  const auto make = [](const Philox& random) { return Network({.hidden = 3, .layers = 1, .embedding = 2}, random); };
  const auto late_and_base = [&](const TrainOptions& o, const data::TextParts& parts, data::MemberData data) {
    const TemporaryFolder folder;
    RecordedDisplay display;
    Network network = make(Philox(o.seed));
    LanguageModelling<Network> task(parts, {.batch = 2, .pre_batch = 2, .window = 20, .member_data = data});
    Trainer<Network, LanguageModelling<Network>> trainer(network, task, o, {{"model", "toy"}}, make);
    Snapshot snapshot;
    trainer.add(std::make_unique<Keep<Network, LanguageModelling<Network>>>(snapshot));
    REQUIRE(trainer.run(RunFolder(folder / "run", false), display.get()) == 0);
    return snapshot.weights;
  };
  TrainOptions o = at_once("all");
  o.epochs = 2;
  o.release_start = ReleaseStart::redraw;
  const auto together = late_and_base(o, text, data::MemberData::whole);
  for (std::int64_t k = 0; k < 3; ++k) {
    data::TextParts turned = text;  // streams of 150 bytes, of which members begin 50 later each
    std::rotate(turned.train.begin(), turned.train.begin() + 50 * k, turned.train.end());
    TrainOptions alone = o;
    alone.members = 1;
    alone.seed = data::member_seed(seed, k);
    alone.release_start = ReleaseStart::copy;
    CHECK(same_bits(late_and_base(alone, turned, data::MemberData::own).base, together.late.rows(k, 1)));
  }
}

TEST_CASE("members that become their mean after every step are one network trained on the mean gradient") {
  TrainOptions o = at_once("all");
  o.coupling = PullToMean{.alpha = 1};
  o.coupling_every = 1;
  const auto run = trained(o, images_of(data::MemberData::own));
  ConvNet network{Philox(seed)};
  optim::Sgd<double, Cpu> optimizer(network, std::get<optim::SgdOptions>(o.optimizer));
  const auto set = three_classes();
  const data::Loader<double> loader(set.train, set.normalization,
                                    {.batch = 4, .augment = images_of(data::MemberData::own).augment, .seed = seed});
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch)
    for (auto& [images, labels] : loader.epoch(epoch, 3)) {
      for (std::int64_t k = 0; k < 3; ++k) {
        Tape tape;
        tape.backward(cross_entropy(network.forward(tape.input(images.rows(k, 1))), labels.rows(k, 1)));
      }
      auto& gradient = nn::flatten(network)->gradient.base;
      for (std::int64_t i = 0; i < gradient.size(); ++i) gradient.data()[i] /= 3;
      optimizer.step(optim::factor(o.schedule, {.epoch = epoch}));
      ++steps;
    }
  CHECK(steps == 20);
  CHECK(spread(run.weights.late) == 0);
  // Sums of three gradients in another order: some roundings of weights below 1, passed on by twenty steps. A wrong
  // term shows as 1e-3.
  CHECK(distance(run.weights.late.rows(0, 1), nn::flatten(network)->value.base) < 1e-12);
}

TEST_CASE("a coupling or a SAM of strength zero leaves the bits of none") {
  const auto images = images_of(data::MemberData::own);
  TrainOptions o = at_once("batchnorm,head");
  o.epochs = 2;
  o.sigma = 0.1;
  const auto plain = trained(o, images);
  const auto same = [&](const TrainOptions& other) {
    const auto found = trained(other, images);
    CHECK(same_bits(found.weights.base, plain.weights.base));
    CHECK(same_bits(found.weights.late, plain.weights.late));
    CHECK(same_bits(found.statistics, plain.statistics));
    CHECK(found.model == plain.model);
  };
  const auto coupled = [&](const CouplingRule& rule) {
    TrainOptions other = o;
    other.coupling = rule;
    other.coupling_every = 1;
    other.elastic_served = ElasticServed::members;
    return other;
  };
  same(coupled(PullToMean{.alpha = 0, .growth = 2}));
  same(coupled(Elastic{.rho = 0}));
  same(coupled(Swap{.share = 0, .states = true}));
  TrainOptions still = o;
  still.sam = {.rho = 0, .adaptive = true};
  same(still);
  CHECK_FALSE(same_bits(trained(coupled(PullToMean{.alpha = 0.1}), images).weights.late, plain.weights.late));
}

TEST_CASE("steps of a coupling count from the release on, and anew from the next") {
  TrainOptions o = at_once("all");
  o.epochs = 6;
  o.schedule = o.late_schedule = optim::Constant{};
  o.release_step = 7;  // fifteen steps an epoch before it: seven in the first, then five in each
  o.release_every = 2;
  o.coupling = PullToMean{.alpha = 1};
  o.coupling_every = 3;
  std::vector<std::int64_t> equal;
  trained(o, images_of(data::MemberData::own), [&](const auto& run) {
    const auto& late = nn::flatten(run.network)->value.late;
    if (late.dim(0) == 3 && spread(late) == 0) equal.push_back(run.progress.step);
  });
  // Released after steps 7, 17 and 27.
  CHECK(equal == std::vector<std::int64_t>{10, 13, 16, 20, 23, 26, 30});
}

TEST_CASE("a growing pull begins anew with a release") {
  TrainOptions o = at_once("all");
  o.sigma = 0.5;
  o.epochs = 4;
  o.release_every = 2;
  o.optimizer = optim::SgdOptions{.learning_rate = 0, .momentum = 0, .nesterov = false, .weight_decay = 0};
  o.coupling = PullToMean{.alpha = 0.125, .growth = 2};
  o.coupling_every = 2;
  std::vector<double> left;
  trained(o, images_of(data::MemberData::own),
          [&](const auto& run) { left.push_back(spread(nn::flatten(run.network)->value.late)); });
  REQUIRE(left.size() == 20);
  for (const std::size_t release : {0u, 10u}) {
    const double* at = left.data() + release;
    const double kept[] = {1 - 0.125, 1 - 0.25, 1 - 0.5, 0};  // of the spread, at steps 2, 4, 6 and 8
    for (int n = 0; n < 4; ++n) {
      // the largest of differences that all shrink alike, each to one rounding
      CHECK(std::abs(at[2 * n + 1] - kept[n] * at[2 * n]) < 1e-14);
      CHECK(at[2 * n + 2] == at[2 * n + 1]);
    }
    CHECK(at[0] > 0.1);
  }
  CHECK(left[10] != left[0]);  // noise of its own
}

TEST_CASE("a run with elastic members ends with their centre, or with the members where that is asked for") {
  TrainOptions o = at_once("last.*");
  o.sigma = 0.1;
  o.coupling = Elastic{};
  o.coupling_every = 2;
  auto centre = trained(o, images_of(data::MemberData::own));
  CHECK(contains(centre.shown, "coupling: the centre of the members; recomputing batch-norm statistics"));
  o.elastic_served = ElasticServed::members;
  auto members = trained(o, images_of(data::MemberData::own));
  CHECK_FALSE(contains(members.shown, "coupling: the centre"));
  CHECK(same_bits(members.centre, centre.centre));
  CHECK(spread(members.weights.late) > 0);
  // the rows of the last layer's weight and bias, in the order of the store
  const auto last = [](const Outcome& run) {
    std::vector<double> values;
    for (const auto* parameter : {&run.network.last.weight.value(), &run.network.last.bias->value()})
      values.insert(values.end(), parameter->data(), parameter->data() + parameter->size());
    return values;
  };
  const auto values = [](const Tensor<double, Cpu>& row) {
    return std::vector<double>(row.data(), row.data() + row.size());
  };
  CHECK(last(centre) == values(centre.centre));
  CHECK(last(members) != values(centre.centre));
  // statistics of every image once by the run's end, not an average that lags behind
  CHECK_FALSE(same_bits(nn::flatten(centre.network)->buffers, nn::flatten(members.network)->buffers));
}

TEST_CASE("every option of members goes on bit for bit where a signal ended it") {
  struct Case {
    const char* what;
    std::int64_t step;  // with which the signal comes; the release is after 15, and members' own data then end after 20
    std::function<void(TrainOptions&)> set;
    data::MemberData data = data::MemberData::own;
  };
  const Case cases[] = {
      {"a growing pull", 17, [](auto& o) { o.coupling = PullToMean{.alpha = 0.1, .growth = 1.5}; }},
      {"elastic", 18, [](auto& o) { o.coupling = Elastic{}; }},
      {"elastic, members served", 20,
       [](auto& o) { o.coupling = Elastic{.rho = 0.1}, o.elastic_served = ElasticServed::members; }},
      {"swaps with states", 17,
       [](auto& o) {
         o.coupling = Swap{.share = 0.3, .states = true};
         o.optimizer = optim::AdamOptions{.learning_rate = 0.01};
       }},
      {"released again, where it is", 20, [](auto& o) { o.coupling = Swap{.share = 0.3}, o.release_every = 1; }},
      {"released again, before it is", 18, [](auto& o) { o.coupling = Elastic{}, o.release_every = 1; }},
      {"late SAM", 22, [](auto& o) { o.sam = {.rho = 0.1, .adaptive = true}, o.sam_start = 2, o.member_chunk = 2; }},
      {"late SAM, before it starts", 17, [](auto& o) { o.sam = {.rho = 0.1}, o.sam_start = 2; }},
      {"the same minibatches", 17, [](auto&) {}, data::MemberData::same},
      {"drawn anew, the whole set", 20,
       [](auto& o) { o.release_start = ReleaseStart::redraw, o.release_momentum = ReleaseMomentum::zero; },
       data::MemberData::whole},
  };
  for (const auto& [what, step, set, data] : cases) {
    CAPTURE(what);
    TrainOptions o = at_once("batchnorm,head");
    o.epochs = 3;
    o.release_epoch = 1;
    o.sigma = 0.1;
    o.coupling_every = 2;
    o.eval_every = 3;
    set(o);
    const auto whole = trained(o, images_of(data));
    const TemporaryFolder folder;
    const auto signal = [at = step](const auto& run) {
      if (run.progress.step == at) raise(SIGTERM);
    };
    REQUIRE(trained(o, images_of(data), signal, folder / "run").signal == SIGTERM);
    const auto rest = trained(o, images_of(data), {}, folder / "run");
    CHECK(rest.model == whole.model);
    CHECK(same_bits(rest.weights.late, whole.weights.late));
  }
}

TEST_CASE("a checkpoint without its coupling's state is refused, or one of a step that was not") {
  TrainOptions o = at_once("head");
  o.coupling = Elastic{};
  const auto refusal = [&](const char* name, const std::function<void(io::NamedTensors&)>& put) {
    const TemporaryFolder folder;
    const auto signal = [](const auto& run) {
      if (run.progress.step == 3) raise(SIGTERM);
    };
    REQUIRE(trained(o, images_of(data::MemberData::own), signal, folder / "run").signal == SIGTERM);
    const auto saved = io::load_checkpoint(folder / "run/checkpoint.lpw");
    io::Checkpoint other{saved.meta, io::NamedTensors("checkpoint")};
    for (const auto& tensor : saved.tensors)
      if (tensor.name != name) other.tensors.add(tensor);
    put(other.tensors);
    io::save_checkpoint(folder / "run/checkpoint.lpw", other);
    return message_of<FileError>([&] { trained(o, images_of(data::MemberData::own), {}, folder / "run"); });
  };
  CHECK(contains(refusal("coupling.centre", [](auto&) {}), "has no tensor 'coupling.centre'"));
  CHECK(
      contains(refusal("coupling.release", [](auto& t) { t.add("coupling.release", full<std::int64_t, Cpu>({1}, 4)); }),
               "damaged: tensor 'coupling.release' says step 4 of 3"));
}

TEST_CASE("an epoch counts what its members read") {
  struct Case {
    data::MemberData data;
    std::int64_t iterations, samples;
    const char* words;
  };
  for (const auto& [data, iterations, samples, words] :
       {Case{data::MemberData::own, 5, 60, "each on minibatches of its own: "},
        Case{data::MemberData::same, 15, 180, "all on the same minibatches: "},
        Case{data::MemberData::whole, 15, 180, "each on the whole training set: "}}) {
    TrainOptions o = at_once("head");
    o.epochs = 2;
    std::vector<std::int64_t> seen;
    const auto run = trained(o, images_of(data), [&](const auto& at) { seen.push_back(at.progress.sums.seen); });
    REQUIRE(std::ssize(seen) == 2 * iterations);
    CHECK(seen.back() == samples);
    CHECK(contains(run.plan.front(), words));
    CHECK(contains(run.plan.front(), to_text("3 x 4 = 12 samples an iteration, ", iterations, " iterations an epoch")));
  }
  TrainOptions many = at_once("head");
  many.members = 61;
  many.epochs = 1;
  CHECK(contains(message_of<OptionError>([&] { trained(many, images_of(data::MemberData::own)); }),
                 "`members` 61: they are more than the 60 training samples"));
}

TEST_CASE("options of members that cannot work are refused at the start") {
  const auto message = [](const std::function<void(TrainOptions&)>& set, const char* late = "batchnorm,head") {
    TrainOptions o = at_once(late);
    set(o);
    return message_of<OptionError>([&] { trained(o, images_of(data::MemberData::own)); });
  };
  const auto redraw = [](TrainOptions& o) { o.release_start = ReleaseStart::redraw; };
  CHECK(contains(message([](auto& o) { o.coupling = PullToMean{.alpha = 1.5}; }),
                 "coupling: alpha 1.5; expected 0 to 1"));
  CHECK(contains(message([](auto& o) { o.coupling = Elastic{.rho = 0.4}; }), "coupling: rho 0.4"));
  CHECK(contains(message([](auto& o) { o.coupling = Swap{}, o.coupling_every = 0; }), "every 0 steps"));
  CHECK(
      contains(message([](auto& o) { o.coupling = Elastic{}, o.average = optim::SwaOptions{}; }), "`elastic_served`"));
  // Four epochs of five steps.
  CHECK(message([](auto& o) { o.coupling = Swap{}, o.coupling_every = 20; }).empty());
  CHECK(
      contains(message([](auto& o) { o.coupling = Swap{}, o.coupling_every = 21; }),
               "`coupling_every` 21: members take 20 steps after their release, so that they would never be coupled"));
  CHECK(contains(message([](auto& o) { o.coupling = Swap{}, o.release_every = 1; }),
                 "`coupling_every` 10: members take 5 steps from a release to the next"));
  CHECK(message([](auto& o) { o.release_every = 4; }).empty());
  CHECK(contains(message([](auto& o) { o.release_every = 5; }),
                 "`release_every` 5: only 4 epochs follow the release, so that there would be no other"));
  CHECK(
      contains(message([](auto& o) { o.release_step = 6, o.release_every = 4; }), "`release_every` 4: only 3 epochs"));
  const auto centre = [](auto&& set) { return [set](TrainOptions& o) { o.coupling = Elastic{}, set(o); }; };
  CHECK(contains(message(centre([](auto& o) { o.serving.served = Served::ensemble; })), "`serve` ensemble: with an"));
  CHECK(contains(message(centre([](auto& o) { o.serving.collapse = Averaging::greedy; })), "`collapse` greedy has no"));
  CHECK(contains(message(centre([](auto& o) { o.serving.collapse = Averaging::fitted; })), "`collapse` fitted has no"));
  CHECK(message(centre([](auto& o) {
          o.elastic_served = ElasticServed::members, o.serving.served = Served::ensemble;
        })).empty());
  const auto never = [](TrainOptions& o) { o.release_epoch = o.epochs; };
  CHECK(contains(message([&](auto& o) { never(o), o.coupling = Swap{}; }), "`coupling`: no members are released"));
  CHECK(contains(message([&](auto& o) { never(o), redraw(o); }), "`release_start` redraw: no members are released"));
  CHECK(contains(message([](auto& o) { o.sam = {.rho = 1, .weights = optim::Ascending::late_phase}, o.members = 1; }),
                 "`sam.weights` late: no members are released"));
  CHECK(contains(message([](auto& o) { o.sam.rho = -1; }), "Sam: rho -1"));
  CHECK(contains(message([](auto& o) { o.sam.rho = 1, o.sam_start = 4; }),
                 "`sam_start` 4; expected from 0 to fewer than the 4 epochs"));
  CHECK(contains(message([](auto& o) { o.sam = {.rho = 1, .weights = optim::Ascending::base}; }, "all"),
                 "`sam.weights` base: all weights are late-phase; let all ascend"));
  CHECK(contains(message([&](auto& o) { redraw(o), o.release_every = 1; }), "`release_every`"));
  CHECK(contains(message([&](auto& o) { redraw(o), o.release_epoch = 1; }), "`release_momentum`"));
  CHECK(contains(message([&](auto& o) { redraw(o), o.release_epoch = 1; }, "all"), "`release_epoch` to 0"));
  const auto averaged = [&](TrainOptions& o) {
    redraw(o);
    o.release_epoch = 2;
    o.release_momentum = ReleaseMomentum::zero;
    o.average = optim::SwaOptions{};
    o.average_plan.start = 1;
  };
  CHECK(contains(message(averaged), "`average_plan.start`"));
  CHECK(contains(message([&](auto& o) { redraw(o); }, "rank1"), "nothing of rank1 can be drawn anew"));
  ConvNet network{Philox(1)};
  const auto set = three_classes();
  Images task(set, {});
  TrainOptions o = at_once("all");
  redraw(o);
  CHECK(contains(message_of<OptionError>([&] { Trainer<ConvNet, Images>(network, task, o, {}); }),
                 "was given no `make`"));
}
