// Steps inside SAM in the trainer, against loops of two passes that are written out with a plain network.
#include <lpw/optim/sam.hpp>

#include <cmath>

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

constexpr double rate = 0.1, rho = 0.2;

/// Plain gradient descent.
optim::SgdOptions descent() { return {.learning_rate = rate, .momentum = 0, .nesterov = false, .weight_decay = 0}; }

/// w <- w - rate g(w + rho g(w) / |g(w)|), or without rho; `pass` adds the gradient. Running statistics are those of
/// the first pass.
template <class Network, class Pass>
void written_out_step(Network& network, bool ascends, Pass&& pass) {
  auto& flat = *nn::flatten(network);
  auto &weight = flat.value.base, &gradient = flat.gradient.base;
  const auto before = clone(weight);
  fill(gradient, 0.0);
  pass(true);
  const auto statistics = clone(flat.buffers);
  if (ascends) {
    double square = 0;
    for (std::int64_t i = 0; i < gradient.size(); ++i) square += gradient.data()[i] * gradient.data()[i];
    for (std::int64_t i = 0; i < weight.size(); ++i) weight.data()[i] += rho * gradient.data()[i] / std::sqrt(square);
    fill(gradient, 0.0);
    pass(false);
  }
  for (std::int64_t i = 0; i < weight.size(); ++i) weight.data()[i] = before.data()[i] - rate * gradient.data()[i];
  copy(statistics, flat.buffers);
}

// Twenty steps of norms summed in another order: some roundings each, of weights below 1. A wrong term shows as 1e-3.
constexpr double tolerance = 1e-11;

}  // namespace

TEST_CASE("the trainer's steps inside SAM are two passes, of which the first is reported") {
  TrainOptions o{.epochs = 2, .members = 1, .optimizer = descent(), .seed = 3};
  o.sam = {.rho = rho};
  const ImageClassificationOptions images{.batch = 6, .augment = {.pad_crop = 1, .flip = true}, .seed = 3};
  const auto run = trained(o, images);
  o.sam_start = 1;
  const auto later = trained(o, images);
  const auto set = three_classes();
  const data::Loader<double> loader(set.train, set.normalization, {.batch = 6, .augment = images.augment, .seed = 3});
  for (const auto& [found, first] : {std::pair(&run, 0), std::pair(&later, 10)}) {
    CAPTURE(first);
    ConvNet network{Philox(3)};
    std::int64_t step = 0;
    for (std::size_t epoch = 0; epoch < 2; ++epoch) {
      double loss = 0;
      for (auto& [images_of, labels] : loader.epoch(static_cast<std::int64_t>(epoch))) {
        written_out_step(network, step++ >= first, [&, &inputs = images_of, &targets = labels](bool is_first) {
          Tape tape;
          const auto losses = cross_entropy(network.forward(tape.input(inputs)), targets);
          if (is_first) loss += losses.value().data()[0] / 10;
          tape.backward(losses);
        });
      }
      CHECK(std::abs(found->losses[epoch] - loss) < tolerance);
    }
    CHECK(step == 20);
    CHECK(distance(found->weights.base, nn::flatten(network)->value.base) < tolerance);
    CHECK(distance(found->statistics, nn::flatten(network)->buffers) < tolerance);
  }
  CHECK(distance(run.weights.base, later.weights.base) > 1e-3);
  // Interrupted before SAM starts, and after it.
  for (const std::int64_t at : {7, 13}) {
    const TemporaryFolder folder;
    const auto signal = [at](const auto& now) {
      if (now.progress.step == at) raise(SIGTERM);
    };
    REQUIRE(trained(o, images, signal, folder / "run").signal == SIGTERM);
    const auto rest = trained(o, images, {}, folder / "run");
    CHECK(rest.model == later.model);
    CHECK(same_bits(rest.weights.base, later.weights.base));
  }
}

TEST_CASE("members that share nothing are networks with a SAM each, and chunks of members are the same steps") {
  TrainOptions o{.epochs = 2, .members = 2, .release_epoch = 0, .late = Selectors::parse("all"), .seed = 5};
  o.optimizer = descent();
  o.sam = {.rho = rho};
  o.release_start = ReleaseStart::redraw;
  const ImageClassificationOptions images{.batch = 6, .seed = 5, .member_data = data::MemberData::whole};
  const auto together = trained(o, images);
  for (std::int64_t k = 0; k < 2; ++k) {
    TrainOptions alone = o;
    alone.members = 1;
    alone.release_start = ReleaseStart::copy;
    alone.seed = data::member_seed(5, k);
    const auto one = trained(alone, {.batch = 6, .seed = alone.seed});
    // norms are summed by stores: as above
    CHECK(distance(one.weights.base, together.weights.late.rows(k, 1)) < tolerance);
  }
  for (const auto weights : {optim::Ascending::all, optim::Ascending::late_phase, optim::Ascending::base}) {
    TrainOptions shared = o;
    shared.members = 3;
    shared.late = Selectors::parse("batchnorm,head");
    shared.sigma = 0.1;
    shared.release_start = ReleaseStart::copy;
    shared.sam.weights = weights;
    const ImageClassificationOptions own{.batch = 4, .seed = 5};
    const auto whole = trained(shared, own);
    shared.member_chunk = 2;
    const auto chunks = trained(shared, own);
    CHECK(distance(whole.weights.base, chunks.weights.base) < tolerance);
    CHECK(distance(whole.weights.late, chunks.weights.late) < tolerance);
    CHECK(distance(whole.statistics, chunks.statistics) < tolerance);
    CHECK(std::abs(whole.losses.back() - chunks.losses.back()) < tolerance);
  }
}

TEST_CASE("a language model's two passes begin with the same states and dropout, and the first carries on") {
  using Network = nn::LanguageModel<double, Cpu>;
  using Task = LanguageModelling<Network>;
  const nn::LanguageModelOptions shape{.hidden = 4, .layers = 2, .embedding = 3, .dropout = 0.2};
  const data::TextParts text{text_of_words(400, 1), text_of_words(50, 2), text_of_words(50, 3)};
  constexpr std::int64_t streams = 2, window = 20;  // 199 predictions: ten windows an epoch
  TrainOptions o{.epochs = 2, .members = 1, .optimizer = descent(), .seed = 7};
  o.sam = {.rho = rho};
  const TemporaryFolder folder;
  RecordedDisplay display;
  Network network(shape, Philox(7)), loop(shape, Philox(7));
  Task task(text, {.pre_batch = streams, .window = window});
  Trainer<Network, Task> trainer(network, task, o, {{"model", "toy"}});
  REQUIRE(trainer.run(RunFolder(folder / "run", false), display.get()) == 0);

  data::TextLoader<Cpu> loader(text.train, window);
  std::uint32_t step = 0;
  for (std::size_t epoch = 0; epoch < 2; ++epoch) {
    auto states = loop.start(1, streams);
    double loss = 0;
    for (const auto& windows : loader.epoch(1, streams)) {
      auto next = states;
      written_out_step(loop, true, [&](bool is_first) {
        Tape tape({.random = Philox(7, Stream::dropout, step)});
        const auto after = loop.forward(tape.input(windows.inputs), states);
        const Shape flat{1, windows.targets.size()};
        const auto losses = cross_entropy(after.logits, windows.targets.reshaped(flat));
        if (is_first) next = after.states, loss += losses.value().data()[0] * static_cast<double>(flat.size()) / 398;
        tape.backward(losses);
      });
      states = next;
      ++step;
    }
    CHECK(std::abs(trainer.progress().history[epoch].train_loss - loss) < tolerance);
  }
  CHECK(step == 20);
  CHECK(distance(nn::flatten(network)->value.base, nn::flatten(loop)->value.base) < tolerance);
}
