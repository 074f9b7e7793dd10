// A steady step of the trainer never waits until the GPU has nothing left to do.
#include <lpw/train/trainer.hpp>

#include <lpw/train/image_classification.hpp>

#include "cuda/support.hpp"
#include "support/files.hpp"
#include "train/support.hpp"
#include "train/toy.hpp"

#include <lpw/data/device_loader.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

using Task = train::ImageClassification<Toy<Cuda>>;

/// Notes how often the host waited in each step but the first of an epoch, and how many have been read after each.
struct CountWaits final : train::Part<Toy<Cuda>, Task> {
  using Run = train::TrainingRun<Toy<Cuda>, Task>;
  explicit CountWaits(std::vector<std::uint64_t>& waits) : waits(waits) {}
  void after_step(Run& run) override {
    const auto now = emulator::StandIn::instance().synchronisations;
    if (run.progress.iteration > 1) waits.push_back(now - before);
    before = now;
  }
  std::vector<std::uint64_t>& waits;
  std::uint64_t before = 0;
};

}  // namespace

TEST_CASE("a steady step of the trainer waits for nothing") {
  for (const std::int64_t chunk : {0, 2}) {
    std::vector<std::uint64_t> waits;
    Toy<Cuda> network;
    Task task(dataset(), {.batch = 5});
    RecordedDisplay display;
    const TemporaryFolder folder;
    train::Trainer<Toy<Cuda>, Task> trainer(
        network, task,
        {.epochs = 4, .members = 3, .release_epoch = 2, .optimizer = optim::SgdOptions{}, .member_chunk = chunk},
        {{"model", "toy"}});
    trainer.add(std::make_unique<CountWaits>(waits));
    REQUIRE(trainer.run(train::RunFolder(folder / "run", false), display.get()) == 0);
    REQUIRE(waits.size() == 11 + 11 + 3 + 3);  // steps of four epochs but the first of each
    // The second epoch before release and the second after: all is replayed, and nothing new is asked for.
    CHECK(std::vector(waits.begin() + 11, waits.begin() + 22) == std::vector<std::uint64_t>(11));
    CHECK(std::vector(waits.end() - 3, waits.end()) == std::vector<std::uint64_t>(3));
  }
}

TEST_CASE("what is copied to page-locked memory is there after the event, and not before") {
  HostCopy<Cuda, float, std::int32_t> copies;
  auto values = full<float, Cuda>({3}, 2.f);
  const auto numbers = full<std::int32_t, Cuda>({2}, 5);
  const auto waits = emulator::StandIn::instance().synchronisations;
  copies.send(values, numbers);
  fill(values, 3.f);  // other work, after the copy
  const auto [first, second] = copies.received();
  CHECK(std::vector<float>(first.begin(), first.end()) == std::vector<float>(3, 2.f));
  CHECK(std::vector<int>(second.begin(), second.end()) == std::vector<int>(2, 5));
  CHECK(emulator::StandIn::instance().synchronisations == waits);
  copies.send(values, numbers);
  static_cast<void>(copies.received());  // of the last work, which is a wait for all of it
  CHECK(emulator::StandIn::instance().synchronisations == waits + 1);
}
