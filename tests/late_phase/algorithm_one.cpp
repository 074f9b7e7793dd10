// The batched pass against Algorithm 1 as it is written in the paper: K visits of one plain network, one after another,
// with an optimizer of its own, written out here in double.
#include <set>

#include <lpw/autograd/reshape.hpp>
#include <lpw/nn/lstm.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

using Vector = std::vector<double>;

/// Two layers of an LSTM, for which the images of a minibatch are the steps of a window and an image's lines its
/// streams, and a last layer that reads all streams of a step.
template <class T>
struct RecurrentNet {
  using value_type = T;
  using device_type = Cpu;
  static constexpr std::int64_t lines = 8, units = 3;

  explicit RecurrentNet(lpw::nn::Initializer init = lpw::nn::Initializer(Philox(9)))
      : lstm({.in_features = 24, .hidden_features = units, .layers = 2}, init),
        last({.in_features = lines * units, .out_features = 3, .head = true}, init) {}

  lpw::Variable<T, Cpu> forward(const lpw::Variable<T, Cpu>& x) {
    const std::int64_t count = x.shape()[0], steps = x.shape()[1];
    const auto y = lstm.forward(lpw::reshape(x, {count, steps, lines, 24}));
    return last.forward(lpw::reshape(y, {count, steps, lines * units}));
  }
  template <class F>
  void visit(F&& f) {
    f("lstm", lstm);
    f("last", last);
  }

  lpw::nn::Lstm<T, Cpu> lstm;
  lpw::nn::Linear<T, Cpu> last;
};

constexpr std::int64_t members = 3, batch = 4;
constexpr double base_rate = 0.05, late_rate = 0.02, momentum = 0.9, base_decay = 5e-4, late_decay = 5e-3;

// The batched pass adds up the same products in another order. Sums of up to 1e3 terms differ by 1e3 eps = 2e-13 at the
// very worst, and batch norm and five steps pass the differences on; below 1e-13 was measured for the whole run. A
// wrong term would show as 1e-3 or more.
constexpr double sequential_tolerance = 1e-11, chunk_tolerance = 1e-12;
// eps of float32 through ten convolutions and batch norms, there and back; one pass, because ReLUs near zero make
// longer runs diverge.
constexpr double float_tolerance = 1e-4;

/// A weight and its velocity under Nesterov momentum as PyTorch has it: g += decay w; v = mu v + g; w -= rate (g + mu
/// v).
struct Momentum {
  Vector weight, velocity;

  explicit Momentum(Vector start) : weight(std::move(start)), velocity(weight.size(), 0.0) {}
  void step(const Vector& gradient, double rate, double decay) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const double g = gradient[i] + decay * weight[i];
      velocity[i] = momentum * velocity[i] + g;
      weight[i] -= rate * (g + momentum * velocity[i]);
    }
  }
};

/// Algorithm 1 around one plain network of one member, which is never flattened, released or stepped by the library.
template <class M>
class Sequential {
 public:
  explicit Sequential(M network) : network_(std::move(network)) {
    lpw::nn::for_each_parameter(network_, [&](const std::string& name, auto& p) {
      theta_.emplace(name, Momentum(values(p.value())));
      if (p.group() == Group::templates) coefficients_.insert(name);
    });
    late_.resize(1);
    statistics_.resize(1);
    lpw::nn::for_each_buffer(network_,
                             [&](const std::string& name, auto& b) { statistics_[0][name] = values(b.value()); });
  }

  /// From now on the selected weights are late-phase. Member k starts from row k of `released` with the momentum
  /// gathered so far; deviations have gathered none.
  template <class State>
  void release(const Selectors& selectors, const State& released) {
    if (contains(selectors.groups, Group::rank_one))
      lpw::nn::for_each_dense_weight(network_, [&](const std::string& name, auto& weight) {
        if (weight.takes_factors() && !selectors.selects(name, weight) && !selectors.adds_to(name))
          weight.attach(lpw::nn::RankOne<double, Cpu>(weight.shape()));
      });
    late_.assign(members, {});
    coefficients_.clear();
    statistics_.assign(members, statistics_[0]);
    lpw::nn::for_each_parameter(network_, [&](const std::string& name, auto& p) {
      const bool selected = selectors.selects(name, p);
      if (!selected && !selectors.adds_to(name)) return;
      const std::string late_name = selected ? name : name + ".additive";
      for (std::int64_t k = 0; k < members; ++k) {
        Momentum start(released.at(late_name).row(k));
        if (selected && theta_.contains(name)) start.velocity = theta_.at(name).velocity;
        late_[k].emplace(late_name, std::move(start));
      }
      if (selected) theta_.erase(name);
    });
  }

  /// One iteration: member k's gradient on its own minibatch, phi_k stepped at once, theta once after all visits.
  void iterate(const Minibatches<double>& batches, double gamma_theta) {
    std::map<std::string, Vector> sum;
    for (std::size_t k = 0; k < late_.size(); ++k) {
      load(k);
      const lpw::MemberRange minibatch{static_cast<std::int64_t>(k), 1};
      lpw::Tape tape;
      const auto loss =
          lpw::cross_entropy(network_.forward(tape.input(batches.images_of(minibatch))), batches.labels_of(minibatch));
      tape.backward(loss);
      lpw::nn::for_each_parameter(network_, [&](const std::string& name, auto& p) {
        const Vector gradient = values(p.gradient());
        if (const auto late = late_[k].find(name); late != late_[k].end())
          return late->second.step(gradient, late_rate, late_decay);
        if (const auto phi = late_[k].find(name + ".additive"); phi != late_[k].end())
          phi->second.step(gradient, late_rate, late_decay);  // d (theta + phi_k) is that of both
        Vector& total = sum.try_emplace(name, gradient.size(), 0.0).first->second;
        for (std::size_t i = 0; i < gradient.size(); ++i) total[i] += gamma_theta * gradient[i];
      });
      lpw::nn::for_each_buffer(network_,
                               [&](const std::string& name, auto& b) { statistics_[k][name] = values(b.value()); });
    }
    for (auto& [name, weight] : theta_) {
      const bool late = coefficients_.contains(name);  // of templates: have the rates of late-phase weights already
      weight.step(sum.at(name), late ? late_rate : base_rate, late ? late_decay : base_decay);
    }
  }

  /// Row k of what the library should hold under this name.
  const Vector& expected(const std::string& name, std::int64_t k) const {
    if (const auto base = theta_.find(name); base != theta_.end()) return base->second.weight;
    if (const auto late = late_[k].find(name); late != late_[k].end()) return late->second.weight;
    return statistics_[k].at(name);
  }

 private:
  static Vector values(const lpw::Tensor<double, Cpu>& tensor) {
    return {tensor.data(), tensor.data() + tensor.size()};
  }

  void load(std::size_t k) {
    lpw::nn::for_each_parameter(network_, [&](const std::string& name, auto& p) {
      const auto late = late_[k].find(name);
      Vector weight = late == late_[k].end() ? theta_.at(name).weight : late->second.weight;
      if (const auto phi = late_[k].find(name + ".additive"); phi != late_[k].end())
        for (std::size_t i = 0; i < weight.size(); ++i) weight[i] += phi->second.weight[i];
      std::copy(weight.begin(), weight.end(), p.value().data());
      fill(p.gradient(), 0.0);
    });
    lpw::nn::for_each_buffer(network_, [&](const std::string& name, auto& b) {
      const Vector& statistic = statistics_[k].at(name);
      std::copy(statistic.begin(), statistic.end(), b.value().data());
    });
  }

  M network_;
  std::map<std::string, Momentum> theta_;
  std::set<std::string> coefficients_;  // before release
  std::vector<std::map<std::string, Momentum>> late_;
  std::vector<std::map<std::string, Vector>> statistics_;
};

lpw::optim::SgdOptions sgd(lpw::optim::BaseGradient base_gradient) {
  return {.learning_rate = base_rate,
          .momentum = momentum,
          .weight_decay = base_decay,
          .late = lpw::optim::Rates{late_rate, late_decay},
          .base_gradient = base_gradient};
}

/// Two iterations as a plain network, release with noise, five iterations as three members. Returns the library's
/// states after release and at the end.
template <class M>
auto run_library(M& network, const Selectors& late, std::int64_t chunk, lpw::optim::BaseGradient base_gradient,
                 const lpw::RankOneStart& start = {}) {
  using W = lpw::nn::WeightOf<M>;
  lpw::optim::Sgd optimizer(network, sgd(base_gradient));
  const auto iterate = [&](std::int64_t k, std::uint32_t draw) {
    (void)accumulate_gradient(network, Minibatches<W>(k, batch, draw), chunk, Philox(3, lpw::Stream::dropout, draw));
    optimizer.step();
  };
  iterate(1, 100);
  iterate(1, 101);
  lpw::release(network, optimizer, {.members = members, .late = late, .sigma = 0.2, .rank_one_start = start});
  auto released = state_of(network);
  for (std::uint32_t draw = 0; draw < 5; ++draw) iterate(members, draw);
  return std::pair(std::move(released), state_of(network));
}

template <class State>
Worst worst_difference(const State& a, const State& b) {
  Worst worst;
  for (const auto& [name, rows] : a) worst.add(relative_difference(rows.values, b.at(name).values), name);
  return worst;
}

/// The oracle's run of the same seven iterations; phi_k after release is the library's, noise included.
template <class M, class State>
Sequential<M> run_sequential(M network, const Selectors& late, const State& released, double gamma_theta) {
  Sequential<M> oracle(std::move(network));
  oracle.iterate(Minibatches<double>(1, batch, 100), 1);
  oracle.iterate(Minibatches<double>(1, batch, 101), 1);
  oracle.release(late, released);
  for (std::uint32_t draw = 0; draw < 5; ++draw) oracle.iterate(Minibatches<double>(members, batch, draw), gamma_theta);
  return oracle;
}

template <class Make>
void check_algorithm_one(Make make, const Selectors& late, const lpw::RankOneStart& start = {}) {
  using lpw::optim::BaseGradient;
  for (const auto base_gradient : {BaseGradient::sum, BaseGradient::mean}) {
    auto network = make();
    const auto [released, end] = run_library(network, late, 0, base_gradient, start);
    const auto oracle =
        run_sequential(make(), late, released, base_gradient == BaseGradient::sum ? 1.0 : 1.0 / members);
    for (const auto& [name, rows] : end) {
      CAPTURE(name);
      for (std::int64_t k = 0; k < rows.shape[0]; ++k)
        CHECK(relative_difference(rows.row(k), oracle.expected(name, k)) < sequential_tolerance);
    }
    for (const std::int64_t chunk : {1, 2, 3}) {
      CAPTURE(chunk);
      auto other = make();
      const auto chunked = run_library(other, late, chunk, base_gradient, start).second;
      if (chunk == members) CHECK(chunked == end);  // one chunk of all members is the same pass
      CHECK(worst_difference(chunked, end) < chunk_tolerance);
    }
  }
}

}  // namespace

TEST_CASE("algorithm 1: one batched pass is a sequential run of a wide residual network", "[late_phase]") {
  const auto make = [] { return wide_resnet<double>(); };
  SECTION("batch norm and head") { check_algorithm_one(make, Group::batch_norm | Group::head); }
  SECTION("rank-1") { check_algorithm_one(make, Group::rank_one); }
  SECTION("rank-1 and batch norm") { check_algorithm_one(make, Group::rank_one | Group::batch_norm); }
  SECTION("head") { check_algorithm_one(make, Group::head); }
  SECTION("additive") { check_algorithm_one(make, Selectors::parse("additive")); }
  SECTION("additive and batch norm") { check_algorithm_one(make, Selectors::parse("batchnorm,additive")); }
  SECTION("all") { check_algorithm_one(make, Selectors::parse("all")); }
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of a network of one's own", "[late_phase]") {
  const auto make = [] { return SmallNet<double>(); };
  SECTION("batch norm and head") { check_algorithm_one(make, Group::batch_norm | Group::head); }
  SECTION("rank-1") { check_algorithm_one(make, Group::rank_one); }
  SECTION("rank-1 and batch norm") { check_algorithm_one(make, Group::rank_one | Group::batch_norm); }
  SECTION("rank-1 from random signs") { check_algorithm_one(make, Group::rank_one, {lpw::RankOneStart::Kind::signs}); }
  SECTION("head") { check_algorithm_one(make, Group::head); }
  SECTION("additive") { check_algorithm_one(make, Selectors::parse("additive")); }
  SECTION("additive on some, rank-1 on others") {
    check_algorithm_one(make, Selectors::parse("rank1,additive:conv.*,additive:*.bias"));
  }
  SECTION("additive and batch norm") { check_algorithm_one(make, Selectors::parse("batchnorm,additive")); }
  SECTION("all") { check_algorithm_one(make, Selectors::parse("all")); }
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of a network made of templates", "[late_phase]") {
  const auto make = [] { return hyper_resnet<double>(); };
  SECTION("coefficients") { check_algorithm_one(make, Group::templates); }
  SECTION("coefficients and batch norm") { check_algorithm_one(make, Group::templates | Group::batch_norm); }
  SECTION("batch norm, and coefficients that are shared") { check_algorithm_one(make, Group::batch_norm); }
  SECTION("coefficients, and additive on batch norm and banks") {
    check_algorithm_one(make, Selectors::parse("templates,additive"));
  }
  SECTION("coefficients and batch norm, and additive on banks") {
    check_algorithm_one(make, Selectors::parse("templates,batchnorm,additive"));
  }
  SECTION("additive") { check_algorithm_one(make, Selectors::parse("additive")); }
  SECTION("all: K rows of templates and of coefficients") { check_algorithm_one(make, Selectors::parse("all")); }
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of layers with templates and others with rank-1 factors",
          "[late_phase]") {
  const auto make = [] {
    SmallNet<double> network;
    lpw::nn::Initializer init(Philox(8));
    lpw::nn::share_templates<double, Cpu>({&network.conv.weight}, {.templates = 4, .inputs = 1}, init);
    return network;
  };
  check_algorithm_one(make, Group::templates | Group::rank_one);
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of a network over symbols", "[late_phase]") {
  const auto without = [] { return SymbolNet<double>(false); };
  const auto with_factors = [] { return SymbolNet<double>(true); };
  const auto of_templates = [] {
    SymbolNet<double> network(false);
    lpw::nn::Initializer init(Philox(8));
    lpw::nn::share_templates<double, Cpu>({&network.embedding.weight}, {.templates = 4, .inputs = 3}, init);
    return network;
  };
  SECTION("rank-1 on others") { check_algorithm_one(without, Group::rank_one); }
  SECTION("rank-1, on the embedding too") { check_algorithm_one(with_factors, Group::rank_one); }
  SECTION("rank-1 from random signs, on the embedding too, and head") {
    check_algorithm_one(with_factors, Group::rank_one | Group::head, {lpw::RankOneStart::Kind::signs});
  }
  SECTION("additive") { check_algorithm_one(without, Selectors::parse("additive")); }
  SECTION("an additive embedding, rank-1 on others") {
    check_algorithm_one(with_factors, Selectors::parse("rank1,additive:embedding.*"));
  }
  SECTION("all") { check_algorithm_one(without, Selectors::parse("all")); }
  SECTION("templates") { check_algorithm_one(of_templates, Group::templates); }
  SECTION("templates, rank-1 on others") { check_algorithm_one(of_templates, Group::templates | Group::rank_one); }
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of a network whose layers share a table", "[late_phase]") {
  const auto make = [] { return TiedTable(Tie::parameter, true); };
  const auto of_templates = [&] {
    auto network = make();
    lpw::nn::Initializer init(Philox(8));
    lpw::nn::share_templates<double, Cpu>({&network.table.weight}, {.templates = 4, .deviation = 1}, init);
    return network;
  };
  SECTION("rank-1") { check_algorithm_one(make, Group::rank_one); }
  SECTION("templates") { check_algorithm_one(of_templates, Group::templates); }
}

TEST_CASE("algorithm 1: one batched pass is a sequential run of an LSTM", "[late_phase]") {
  const auto make = [] { return RecurrentNet<double>(); };
  const auto of_templates = [] {
    RecurrentNet<double> network;
    lpw::nn::Initializer init(Philox(8));
    auto &first = network.lstm.layers[0], &second = network.lstm.layers[1];
    lpw::nn::share_templates<double, Cpu>({&first.hh.weight, &second.ih.weight, &second.hh.weight}, {.templates = 3},
                                          init);
    return network;
  };
  SECTION("rank-1") { check_algorithm_one(make, Group::rank_one); }
  SECTION("rank-1 from random signs, and head") {
    check_algorithm_one(make, Group::rank_one | Group::head, {lpw::RankOneStart::Kind::signs});
  }
  SECTION("templates, rank-1 on others") { check_algorithm_one(of_templates, Group::templates | Group::rank_one); }
  SECTION("additive") { check_algorithm_one(make, Selectors::parse("additive")); }
  SECTION("additive on some matrices, rank-1 on others") {
    check_algorithm_one(make, Selectors::parse("rank1,additive:*hh*"));
  }
  SECTION("all") { check_algorithm_one(make, Selectors::parse("all")); }
}

TEST_CASE("algorithm 1: members in chunks are the same bits where no gradient is one product over all of them",
          "[late_phase]") {
  if (lpw::cpu_engine() != lpw::CpuEngine::onednn) {
    WARN("SKIPPED: oneDNN is not compiled in, and Eigen's small products depend on where their rows lie");
    return;
  }
  const auto check = [](auto make, const char* text) {
    CAPTURE(text);
    const auto late = Selectors::parse(text);
    const auto run = [&](std::int64_t chunk) {
      auto network = make();
      return run_library(network, late, chunk, lpw::optim::BaseGradient::sum).second;
    };
    const auto whole = run(0);
    CHECK(run(1) == whole);
    CHECK(run(2) == whole);
  };
  for (const char* late : {"all", "additive", "rank1,head"}) {  // a head with factors is one product for all members
    check([] { return wide_resnet<float>(); }, late);
    check([] { return RecurrentNet<float>(); }, late);
  }
}

TEST_CASE("algorithm 1: with dropout the chunks of members do not matter either", "[late_phase]") {
  const auto late = GENERATE(Selectors(Group::batch_norm | Group::head), Selectors(Group::rank_one),
                             Selectors(Group::templates), Selectors::parse("additive"));
  const bool hyper = late.groups == Group::templates;
  const auto run = [&](double dropout, std::int64_t chunk) {
    auto network = hyper ? hyper_resnet<double>(dropout) : wide_resnet<double>(dropout);
    return run_library(network, late, chunk, lpw::optim::BaseGradient::sum).second;
  };
  const auto whole = run(0.3, 0);
  CHECK(worst_difference(run(0.3, 1), whole) < chunk_tolerance);
  CHECK(worst_difference(run(0.3, 2), whole) < chunk_tolerance);
  CHECK(worst_difference(run(0.0, 0), whole) > 1e-3);  // dropout did something
}

TEST_CASE("algorithm 1: the gradients of float32 are those of double", "[late_phase]") {
  const auto late = GENERATE(Selectors(Group::batch_norm | Group::head), Selectors(Group::rank_one),
                             Selectors(Group::templates), Selectors::parse("additive"));
  const bool hyper = late.groups == Group::templates;
  auto single = hyper ? hyper_resnet<float>() : wide_resnet<float>();
  auto exact = hyper ? hyper_resnet<double>() : wide_resnet<double>();
  lpw::release(single, {.members = members, .late = late});
  lpw::release(exact, {.members = members, .late = late});
  const auto losses = accumulate_gradient(single, Minibatches<float>(members, batch, 0));
  CHECK(relative_difference(losses, accumulate_gradient(exact, Minibatches<double>(members, batch, 0))) <
        float_tolerance);
  // Whole stores are compared: some single parameters' gradients are zero but for rounding.
  const auto& a = lpw::nn::flatten(single)->gradient;
  const auto& b = lpw::nn::flatten(exact)->gradient;
  CHECK(relative_difference(rows_of(a.base).values, rows_of(b.base).values) < float_tolerance);
  CHECK(relative_difference(rows_of(a.late).values, rows_of(b.late).values) < float_tolerance);
}

TEST_CASE("twenty steps of members on the same minibatches, from signs as BatchEnsemble too, are those of a loop",
          "[late_phase]") {
  const auto check = [](const Selectors& late, double sigma, const lpw::RankOneStart& start) {
    SmallNet<double> network;
    lpw::optim::Sgd optimizer(network, sgd(lpw::optim::BaseGradient::mean));
    lpw::release(network, optimizer, {.members = members, .late = late, .sigma = sigma, .rank_one_start = start});
    Sequential<SmallNet<double>> loop{SmallNet<double>()};
    loop.release(late, state_of(network));
    for (std::uint32_t draw = 0; draw < 20; ++draw) {
      Minibatches<double> batches(members, batch, draw);
      for (std::int64_t k = 1; k < members; ++k) {
        std::copy_n(batches.images.data(), batches.images.size() / members, batches.images.row(k));
        std::copy_n(batches.labels.data(), batches.labels.size() / members, batches.labels.row(k));
      }
      (void)accumulate_gradient(network, batches);
      optimizer.step();
      loop.iterate(batches, 1.0 / members);
    }
    Worst between;
    for (const auto& [name, rows] : state_of(network)) {
      CAPTURE(name);
      for (std::int64_t k = 0; k < rows.shape[0]; ++k)
        CHECK(relative_difference(rows.row(k), loop.expected(name, k)) < sequential_tolerance);
      if (rows.shape[0] > 1) between.add(relative_difference(rows.row(1), rows.row(0)), name);
    }
    CHECK(between > 1e-3);  // members differ all the same
  };
  SECTION("rank-1 from signs") { check(Group::rank_one, 0, {lpw::RankOneStart::Kind::signs}); }
  SECTION("batch norm and head") { check(Group::batch_norm | Group::head, 0.2, {}); }
}
