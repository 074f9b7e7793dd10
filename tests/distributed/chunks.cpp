// Sums over processes: of gradients in chunks while backward runs, and by themselves.
#include "distributed/runs.hpp"

#include "support/errors.hpp"

using namespace lpw::test;

namespace {

/// Mpi, with a note of what is called: 's' a sum that starts, '.' an operation's step, and 'f' the end of sums.
struct Noting : lpw::distributed::SingleProcess {
  [[nodiscard]] int rank() const { return mpi().rank(); }
  [[nodiscard]] int size() const { return mpi().size(); }
  template <class W>
  void sum(std::span<W> values) const {
    mpi().sum(values);
  }
  template <class W>
  void start_sum(std::span<W> values, const lpw::distributed::Owner& owner) {
    notes += 's';
    mpi().start_sum(values, owner);
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const { mpi().gather(own, all); }
  void progress() {
    notes += '.';
    mpi().progress();
  }
  void finish_sums() {
    notes += 'f';
    mpi().finish_sums();
  }
  std::string notes = {};
};

/// A pass over two samples here.
template <class M>
void backward(M& network, const lpw::TapeOptions& pass) {
  const Minibatches<double> two(1, 2, static_cast<std::uint32_t>(mpi().rank()));
  lpw::Tape tape(pass);
  tape.backward(lpw::cross_entropy(network.forward(tape.input(two.images)), two.labels));
}

}  // namespace

TEST_CASE("gradients are summed while backward runs, and to the same bits as after it") {
  if (mpi().size() == 1) return;
  for (const bool released : {false, true}) {
    std::vector<std::vector<double>> gradients;
    for (const std::int64_t chunk : {0, 1000, 20000}) {
      CAPTURE(mpi().rank(), mpi().size(), released, chunk);
      Noting noting;
      Members members(noting, {.chunk = chunk});
      auto network = wide_resnet<float>();
      lpw::optim::Sgd optimizer(network, sgd());
      if (released) Members(mpi()).release(network, optimizer, {.members = 5, .late = Group::batch_norm});
      const Minibatches<float> all(released ? 5 : 1, 7, 3);
      const auto here = members.of(network);
      const auto images = read(all.images, here);
      auto pass = members.pass(network, images);
      members.overlap(network, pass);
      lpw::Tape tape(pass);
      tape.backward(lpw::cross_entropy(network.forward(tape.input(images)), read(all.labels, here)));
      const std::string during = std::exchange(noting.notes, "");
      members.sum_gradients(network);
      gradients.push_back(values_of(lpw::nn::flatten(network)->gradient.base));
      CHECK(gradients.back() == gradients.front());
      if (chunk == 0) {
        CHECK((during.empty() && noting.notes.empty()));
        continue;
      }
      // The last chunk begins with the head's gradient, and all have begun when backward ends: with more than one, some
      // long before.
      const auto weights = lpw::nn::flatten(network)->gradient.base.size();
      CHECK(std::count(during.begin(), during.end(), 's') == (weights + chunk - 1) / chunk);
      const auto steps = std::count(during.begin(), during.end(), '.');
      CHECK(std::count(during.begin(), during.begin() + std::ssize(during) / 2, 's') > 0);
      CHECK(during.find('s') < lpw::to_size(steps) / 3);
      CHECK(noting.notes == "f");
    }
  }

  SmallNet<double> network;
  Members members(mpi());
  auto pass = members.pass(network, Minibatches<double>(1, 2, 3).images);
  members.overlap(network, pass);
  backward(network, pass);
  CHECK(contains(message_of<lpw::Error>([&] { backward(network, pass); }),
                 "a second backward pass after the one during which"));
  CHECK(contains(message_of<lpw::Error>([&] { members.overlap(network, pass); }),
                 "still being summed since its last backward pass"));
  members.sum_gradients(network);
  Members unlike(mpi(), {.chunk = mpi().rank() == 1 ? 0 : 100});
  CHECK(message_of<lpw::Error>([&] { unlike.overlap(network, pass); }) ==
        "members: chunk is 100 in process 0 and 0 in process 1; all processes must sum alike");
  CHECK(message_of<lpw::OptionError>([&] { (void)Members(mpi(), {.chunk = -1}); }) ==
        "members: chunk -1; expected from 0 to 2^28 numbers");
}

TEST_CASE("gradients of two networks are summed while their backward passes run, each to its own") {
  if (mpi().size() == 1) return;
  const auto gradients = [](std::int64_t chunk) {
    SmallNet<double> one, other(true, lpw::nn::Initializer(Philox(2)));
    const auto of_one = lpw::nn::flatten(one), of_other = lpw::nn::flatten(other);
    Members members(mpi(), {.chunk = chunk});
    const Minibatches<double> two(1, 2, 3);
    auto pass = members.pass(one, two.images), unused = pass, next = members.pass(other, two.images);
    members.overlap(one, unused);  // a pass that does not come
    members.overlap(one, pass);
    backward(one, pass);
    members.overlap(other, next);
    backward(other, next);
    members.sum_gradients(one);
    members.sum_gradients(other);
    return std::pair(values_of(of_one->gradient.base), values_of(of_other->gradient.base));
  };
  CHECK(gradients(50) == gradients(0));
}

namespace {

/// A network with a layer that no pass reads.
struct WithSpare : SmallNet<double> {
  lpw::nn::Initializer init{Philox(4)};
  lpw::nn::Linear<double, Cpu> spare{{3, 4}, init};
  template <class F>
  void visit(F&& f) {
    f("spare", spare);
    SmallNet<double>::visit(f);
  }
};

/// Holds steps whose gradients are summed in chunks to the bits of those whose are summed after backward.
void check_chunks(const auto& make, const Release& release, const std::vector<std::int64_t>& chunks,
                  std::int64_t members_at_once = 0, const std::vector<lpw::optim::ParameterGroup>& groups = {}) {
  auto options = sgd(0.5);
  options.groups = groups;
  const auto run = [&](std::int64_t chunk) {
    auto network = make();
    lpw::optim::Sgd optimizer(network, options);
    lpw::optim::WeightAverage average(network);
    Members members(mpi(), {.chunk = chunk});
    train_loop(members, network, optimizer, average, release, 0, 3, members_at_once);
    members.gather(network, lpw::Followers(optimizer, average));
    return state_of(network);
  };
  const auto expected = run(0);
  for (const std::int64_t chunk : chunks) {
    CAPTURE(mpi().rank(), mpi().size(), chunk);
    CHECK(run(chunk) == expected);
  }
}

}  // namespace

TEST_CASE("weights that are tied, unused, frozen or made of templates are in chunks whose gradients are finished") {
  if (mpi().size() == 1) return;
  const auto plain = Release{{}, 3};
  const auto small = [] { return SmallNet<double>(); };
  for (const auto tie : {Tie::dense_weight, Tie::parameter})
    check_chunks([&] { return TiedTable(tie, false); }, plain, {1, 10});
  check_chunks([] { return WithSpare(); }, plain, {1, 37});
  check_chunks(small, plain, {1, 37}, 0, {{.names = {"hidden.*", "conv.*"}, .frozen = true}});
  auto released = late("batchnorm,head");
  released.members = 5, released.at = 0;
  check_chunks(small, released, {1, 37}, 1);
  auto templates = late("templates");
  templates.members = 3, templates.at = 1;
  check_chunks([] { return hyper_resnet<double>(); }, templates, {1000});
}

TEST_CASE("gradients stay where they are summed when an error ends their network") {
  if (mpi().size() == 1) return;
  std::weak_ptr<void> store;
  {
    SmallNet<double> network;
    Members members(mpi(), {.chunk = 50});
    auto pass = members.pass(network, Minibatches<double>(1, 2, 3).images);
    members.overlap(network, pass);
    backward(network, pass);
    store = lpw::nn::flatten(network);
  }
  CHECK_FALSE(store.expired());
  mpi().finish_sums();
  CHECK(store.expired());
}

TEST_CASE("processes sum in one order, and give each other what they have") {
  const int rank = mpi().rank(), size = mpi().size();
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1'200'003}}) {
    std::vector<double> doubles(length);
    std::vector<float> floats(length);
    const auto value = [](std::size_t i, int of) { return 1.0 / double(i % 1000 + 3) + of; };
    for (std::size_t i = 0; i < length; ++i)
      doubles[i] = value(i, rank), floats[i] = static_cast<float>(value(i, rank));
    mpi().sum(std::span(doubles));
    mpi().sum(std::span(floats));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < length; ++i) {
      double sum = 0, of_floats = 0;
      for (int process = 0; process < size; ++process)
        sum += value(i, process), of_floats += static_cast<double>(static_cast<float>(value(i, process)));
      if (!(doubles[i] == sum) || !(floats[i] == static_cast<float>(of_floats))) ++wrong;
    }
    CHECK(wrong == 0);
  }

  std::vector<std::int32_t> own(lpw::to_size(rank), rank), all(lpw::to_size(size * (size - 1) / 2)), expected;
  for (int process = 0; process < size; ++process)
    expected.insert(expected.end(), lpw::to_size(process), process);  // process 0 has nothing
  mpi().gather(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  CHECK(all == expected);
  CHECK(contains(message_of<lpw::ShapeError>([&] {
                   std::vector<std::byte> room(all.size() * 4 + 1);
                   mpi().gather(std::as_bytes(std::span(own)), room);
                 }),
                 "bytes together, expected"));

  std::array<float, 1> few{};
  CHECK(message_of<lpw::OptionError>([&] { mpi().start_sum(std::span(few.data(), (std::size_t{1} << 28) + 1)); }) ==
        "start_sum: 268435457 numbers; expected at most 2^28 at a time");

  double last = rank;
  mpi().broadcast(std::as_writable_bytes(std::span(&last, 1)), size - 1);
  CHECK(last == size - 1);
  CHECK(contains(message_of<lpw::OptionError>([&] { mpi().broadcast({}, size); }), "broadcast: from process"));
  mpi().barrier();
}
