// What processes compare before they train together, what they tell each other, and how they share processors.
#include <lpw/distributed/agreement.hpp>

#include <array>
#include <cstdlib>
#include <span>
#include <string>

#include <lpw/distributed/gpus.hpp>
#include <lpw/distributed/launcher.hpp>
#include <lpw/distributed/processors.hpp>
#include <lpw/train/turns.hpp>

#include "catch.hpp"
#include "distributed/world.hpp"
#include "support/errors.hpp"

using namespace lpw::test;

namespace {

lpw::distributed::AnyCommunicator& all() {
  static lpw::distributed::AnyCommunicatorOf<lpw::distributed::Mpi> communicator(mpi());
  return communicator;
}

/// A mask of the first `count` processors from number `first` on.
lpw::distributed::ProcessorMask mask(const char* host, int first, int count) {
  lpw::distributed::ProcessorMask result;
  std::copy_n(host, std::char_traits<char>::length(host), result.host.begin());
  for (int bit = first; bit < first + count; ++bit) result.bits[lpw::to_size(bit / 64)] |= 1ul << (bit % 64);
  return result;
}

}  // namespace

TEST_CASE("processes tell each other texts, and what they do not have in common") {
  const int rank = mpi().rank(), size = mpi().size();
  CHECK(lpw::distributed::broadcast_text(all(), rank == 0 ? "run/1" : "") == "run/1");
  const auto texts = lpw::distributed::gather_texts(all(), std::string(lpw::to_size(rank), 'x'));
  REQUIRE(std::ssize(texts) == size);
  for (int process = 0; process < size; ++process)
    CHECK(texts[lpw::to_size(process)] == std::string(lpw::to_size(process), 'x'));

  lpw::distributed::Named own{{"--epochs", "4"}, {"--out", ""}, {"--seed", "1"}};
  CHECK_NOTHROW(lpw::distributed::require_same(all(), own));
  const bool last = rank == size - 1;
  if (last) own["--out"] = "elsewhere";
  const auto complaint = [&] { lpw::distributed::require_same(all(), own); };
  const std::string end = lpw::to_text(" in process ", size - 1, "; all processes must be started alike");
  if (size > 1) CHECK(message_of<lpw::Error>(complaint) == "--out is empty in process 0 and elsewhere" + end);
  own["--out"] = "";
  if (last) own.erase("--seed");
  if (size > 1) CHECK(message_of<lpw::Error>(complaint) == "--seed is 1 in process 0 and not given" + end);
  if (size == 1) CHECK_NOTHROW(complaint());
}

TEST_CASE("processes predict in turns what one predicts") {
  std::vector<double> found, expected;
  lpw::train::Turns turns(all(), [&](const auto& probabilities, const auto& labels) {
    REQUIRE(probabilities.shape() == lpw::Shape{2, labels.size(), 3});
    found.insert(found.end(), probabilities.data(), probabilities.data() + probabilities.size());
  });
  int calls = 0;
  for (const std::int64_t samples : {4, 4, 4, 4, 1}) {  // of 2 to 4 processes, the last round is of one or two
    lpw::Tensor<double, lpw::Cpu> value({2, samples, 3});
    for (std::int64_t i = 0; i < value.size(); ++i) value.data()[i] = static_cast<double>(expected.size()) + 0.5;
    expected.insert(expected.end(), value.data(), value.data() + value.size());
    turns.take(lpw::Tensor<std::int32_t, lpw::Cpu>({samples}), [&] { return ++calls, value; });
  }
  turns.finish();
  CHECK(found == expected);
  CHECK(calls <= 5 / mpi().size() + 1);
}

TEST_CASE("processes on one host share its processors") {
  using lpw::distributed::fair_share;
  const std::vector alike(3, mask("one", 0, 8));
  CHECK(fair_share(alike, 0) == 2);  // of 8 / 3
  CHECK(fair_share({mask("one", 0, 8), mask("two", 0, 8)}, 1) == 8);
  CHECK(fair_share({mask("one", 0, 4), mask("one", 4, 4)}, 0) == 4);  // bound apart by mpirun
  CHECK(fair_share({mask("one", 0, 4), mask("one", 2, 2)}, 1) == 1);
  CHECK(fair_share(std::vector(5, mask("one", 70, 2)), 4) == 1);
  CHECK(lpw::distributed::threads_of_process(all()) >= 1);
}

TEST_CASE("processes of one machine have a GPU each") {
  using lpw::distributed::gpu_of;
  CHECK(gpu_of(nullptr, 3) == "3");
  CHECK(gpu_of("4,MIG-a,7", 0) == "4");
  CHECK(gpu_of("4,MIG-a,7", 1) == "MIG-a");
  CHECK(gpu_of("4,MIG-a,7", 2) == "7");
  CHECK(gpu_of("5", 2) == "5");  // by whoever started the process
  CHECK(message_of<lpw::OptionError>([] { (void)gpu_of("0,1", 2); }) ==
        "CUDA_VISIBLE_DEVICES 0,1: no GPU is left for process number 3 of this machine; start as many as there are "
        "GPUs");
  const char* const before = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string restored = before ? before : "";
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  lpw::distributed::take_gpu(all());
  CHECK(std::getenv("CUDA_VISIBLE_DEVICES") == std::to_string(mpi().rank()));
  before ? ::setenv("CUDA_VISIBLE_DEVICES", restored.c_str(), 1) : ::unsetenv("CUDA_VISIBLE_DEVICES");
  std::array<float, 1> none{};
  CHECK_FALSE(all().sums_on_device());
  CHECK(contains(message_of<lpw::Error>([&] { all().sum_on_device(std::span<float>(none)); }), "sums on the host"));
}

TEST_CASE("a launcher is known by the environment of the processes that it starts") {
  if (mpi().size() > 1) return;
  for (const char* variable :
       {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"})
    ::unsetenv(variable);
  CHECK_FALSE(lpw::distributed::launched());
  ::setenv("SLURM_PROCID", "0", 1);  // as in a batch script
  CHECK_FALSE(lpw::distributed::launched());
  ::setenv("SLURM_STEP_NUM_TASKS", "4", 1), ::setenv("SLURM_PROCID", "3", 1);
  CHECK(lpw::distributed::launched()->processes == 4);
  CHECK(lpw::distributed::launched()->rank == 3);
  CHECK(contains(message_of<lpw::Error>([] { lpw::distributed::Mpi again; }), "4 processes"));
  ::unsetenv("SLURM_STEP_NUM_TASKS"), ::unsetenv("SLURM_PROCID");
}
