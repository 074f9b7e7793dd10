// One member that is released: what the parametrisation of late-phase weights does by itself, as the trainer has it.
#include "catch.hpp"
#include "toy_run.hpp"

using namespace lpw;
using namespace lpw::train;
using test::file_of_run;
using test::ToyRun;

namespace {

const TrainOptions one_released{
    .epochs = 3,
    .members = 1,
    .release_epoch = 1,
    .release_one = true,
    .late = Group::batch_norm | Group::head,
    .optimizer = optim::SgdOptions{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 1e-3}};

std::string model_of_member(const TrainOptions& options, std::string* shown = nullptr) {
  const TemporaryFolder folder;
  const ToyRun run(folder / "run", options);
  REQUIRE(run.signal == 0);
  if (shown) *shown = run.shown;
  return file_of_run(folder / "run", "model.safetensors");
}

}  // namespace

TEST_CASE("one member is released where release_one says so, and never beside others") {
  CHECK(one_released.releases());
  CHECK(TrainOptions{.members = 1, .release_step = 3, .release_one = true}.due(0, 3));
  CHECK_FALSE(TrainOptions{.members = 1, .release_one = true, .late = Group::none}.releases());
  const auto refusal = [](auto&& change) {
    TrainOptions options = one_released;
    change(options);
    return message_of<OptionError>([&] { validate(options); });
  };
  CHECK(contains(refusal([](auto& o) { o.members = 3; }), "`release_one`: 3 members are released in any case"));
  CHECK(contains(refusal([](auto& o) { o.coupling = PullToMean{}; }), "no members are released that could pull"));
  CHECK(contains(refusal([](auto& o) { o.serving.served = Served::ensemble; }),
                 "`serve` ensemble: fewer than two members"));
  CHECK(contains(refusal([](auto& o) { o.serving.collapse = Averaging::greedy; }),
                 "fewer than two members are released, of which"));
}

TEST_CASE("one released member of batch norm and head, or of all, trains the plain network, bit for bit") {
  // It reads the same minibatches; each weight is stepped as ever, in another store.
  TrainOptions plain = one_released;
  plain.release_one = false;
  plain.average = optim::SwaOptions();
  plain.average_plan = {.start = 1};
  const std::string expected = model_of_member(plain);
  for (const std::int64_t epoch : {0, 1, 2}) {
    TrainOptions released = plain;
    released.release_one = true;
    released.release_epoch = epoch;
    std::string shown;
    CHECK(model_of_member(released, &shown) == expected);
    CHECK(contains(shown, to_text("release after ", epoch, " epochs, ", 12 * epoch,
                                  " iterations: one member, 42 late-phase weights beside 32 shared ones")));
    CHECK(contains(shown, "collapse: the member folded into one plain network of 74 parameters"));
    released.late = Selectors::parse("all");
    CHECK(model_of_member(released, &shown) == expected);
    CHECK(contains(shown, "one member, 74 late-phase weights beside 0 shared ones"));
  }
}

TEST_CASE("one released member with weights of another parametrisation goes on bit for bit, and is a control") {
  TrainOptions plain = one_released;
  plain.release_one = false;
  const std::string without = model_of_member(plain);
  for (const char* late : {"rank1", "additive", "rank1,batchnorm,additive:head.bias"}) {
    CAPTURE(late);
    TrainOptions o = one_released;
    o.late = Selectors::parse(late);
    o.sigma = 0.1;
    if (o.late.groups != Group::none) o.optimizer = optim::AdamOptions{.learning_rate = 0.01};
    o.release_every = o.late.groups == Group::rank_one ? 1 : 0;
    const TemporaryFolder folder, whole;
    ToyRun undisturbed(whole / "run", o);
    const auto flat = io::load_checkpoint(whole / "run/checkpoint.lpw");
    CHECK(flat.tensors.at("weights.late").shape[0] == 1);
    CHECK(flat.tensors.at("weights.late").shape[1] > 0);
    REQUIRE(ToyRun(folder / "run", o, 19).signal == SIGINT);  // within the first epoch of the released member
    ToyRun rest(folder / "run", o);
    const std::string model = file_of_run(folder / "run", "model.safetensors");
    CHECK(model == file_of_run(whole / "run", "model.safetensors"));
    CHECK(model != without);
    CHECK(rest.progress.history.front().phase == "base");
    CHECK(rest.progress.history.back().phase == "late");
    test::Toy<Cpu> saved;
    io::load_safetensors(folder / "run/model.safetensors", saved);  // a plain network's names and shapes
    CHECK(rest.task.evaluate(saved) == rest.task.evaluate(undisturbed.network));
  }
}
