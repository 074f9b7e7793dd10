// Matrix products of the shapes that occur, by lpw's own loops, by oneDNN and by Eigen, each as a share of what the
// processor multiplies and adds in registers alone, which is measured in turn with them. All are cut for the threads as
// in training; of matrices that many products take, as an LSTM's steps do, the packing is not timed.
//   products --threads 1,2 --only lstm
// peers/products.py times the same in PyTorch.
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <lpw/cpu/gemm.hpp>
#include <lpw/cpu/winograd/products.hpp>

#include "measure.hpp"

namespace {

using namespace benchmarks;
using lpw::Cpu, lpw::MatrixView, lpw::Tensor;

/// c [rows, columns] = a b over `depth`. nt: b's columns are contiguous, a weight as forward reads it; nn: its rows
/// are, as for the gradient of data; tn: a's columns are, as for the gradient of a weight. packed: b is prepared once
/// for many products.
enum class Kind { nt, nn, tn, packed };

struct Case {
  const char* name;
  Kind kind;
  std::int64_t rows, columns, depth;
};

constexpr Case cases[] = {
    {"lstm step", Kind::packed, 200, 2000, 500},
    {"lstm step, one member", Kind::packed, 20, 2000, 500},
    {"lstm step, gradient", Kind::packed, 200, 500, 2000},
    {"lstm step, one product", Kind::nt, 200, 2000, 500},
    {"lstm recurrent weight's gradient", Kind::tn, 2000, 500, 2000},
    {"lstm input", Kind::nt, 20000, 2000, 128},
    {"lstm input, gradient", Kind::nn, 20000, 128, 2000},
    {"lstm input weight's gradient", Kind::tn, 2000, 128, 2000},
    {"lstm head", Kind::nt, 20000, 256, 500},
    {"lstm head, gradient", Kind::nn, 20000, 500, 256},
    {"lstm head weight's gradient", Kind::tn, 256, 500, 20000},
    {"linear 128 to 10", Kind::nt, 1280, 10, 128},
    {"linear 128 to 10, gradient", Kind::nn, 1280, 128, 10},
    {"linear 128 to 10, weight's gradient", Kind::tn, 10, 128, 1280},
    {"linear 1000 to 2000, 200 rows", Kind::nt, 200, 2000, 1000},
    {"linear 1024 to 1024, 64 rows", Kind::nt, 64, 1024, 1024},
    {"linear 1024 to 1024, gradient", Kind::nn, 64, 1024, 1024},
    {"linear 1024 to 1024, weight's gradient", Kind::tn, 1024, 1024, 64},
    {"1x1 64 to 256, 56x56", Kind::nt, 25088, 256, 64},
    {"1x1 64 to 256, gradient", Kind::nn, 25088, 64, 256},
    {"1x1 64 to 256, weight's gradient", Kind::tn, 256, 64, 25088},
    {"1x1 512 to 128, 28x28", Kind::nt, 6272, 128, 512},
    {"1x1 512 to 128, gradient", Kind::nn, 6272, 512, 128},
    {"1x1 512 to 128, weight's gradient", Kind::tn, 128, 512, 6272},
    {"1x1 1024 to 256, 14x14", Kind::nt, 1568, 256, 1024},
    {"1x1 512 to 2048, 7x7", Kind::nt, 392, 2048, 512},
    {"1x1 512 to 2048, weight's gradient", Kind::tn, 2048, 512, 392},
    {"templates", Kind::nn, 20, 230400, 14},
    {"templates' gradient", Kind::tn, 14, 230400, 20},
    {"coefficients' gradient", Kind::nt, 20, 14, 230400},
};

/// The multiply-adds of 12 x 2 accumulators, `runs` times on every thread, as GFLOP/s.
[[nodiscard]] double ceiling(std::int64_t runs) {
  using lpw::simd::Lanes;
  constexpr int rows = lpw::panels::block_rows, vectors = 2;
  const std::int64_t threads = lpw::max_threads(), parts = 8 * threads;
  std::vector<float> sums(static_cast<std::size_t>(parts));
  const double time = seconds([&] {
    lpw::parallel_for(parts, std::int64_t{1} << 20, [&](std::int64_t part) {
      Lanes sum[rows * vectors];
      float start = 0;  // of each another, else those that are equal are one to a compiler
      for (auto& s : sum) s = lpw::simd::zeros() + (start += 1);
      Lanes a = lpw::simd::zeros() + 0.5f, b = a;
      for (std::int64_t i = 0; i < runs; ++i) {
#if defined(__x86_64__)
        asm volatile("" : "+v"(a), "+v"(b));  // nothing is known of them: the product is not taken out of the loop
#elif defined(__aarch64__)
        asm volatile("" : "+w"(a), "+w"(b));
#endif
#pragma GCC unroll 24
        for (auto& s : sum) s = s * a + b;  // a product of each: one that they shared would leave but additions
      }
      Lanes all = lpw::simd::zeros();
      for (const auto& s : sum) all += s;
      sums[static_cast<std::size_t>(part)] = all[0];
    });
  });
  volatile float keep = sums[0];
  (void)keep;
  return 2.0 * static_cast<double>(parts * runs * rows * vectors * lpw::simd::lanes) / time * 1e-9;
}

/// Operands of a case, and the ways to multiply them.
class Product {
 public:
  explicit Product(const Case& c)
      : case_(c),
        a_(random_tensor<float>({c.rows, c.depth})),
        b_(random_tensor<float>({c.depth, c.columns}, 1)),
        c_({c.rows, c.columns}) {
    if (c.kind != Kind::packed) return;
    own_.emplace(b(), c.rows);
    lpw::cpu_engine() = lpw::CpuEngine::onednn;
    library_.emplace(b(), c.rows);
  }
  [[nodiscard]] double operations() const {
    return 2.0 * static_cast<double>(case_.rows * case_.columns) * static_cast<double>(case_.depth);
  }
  void own() {
    if (own_) return own_->multiply(a(), to());
    lpw::panels::multiply(a(), b(), to(), false);
  }
  void library() {
    if (library_) return library_->multiply(a(), to());
#if LPW_WITH_ONEDNN
    if (lpw::onednn::matmul(a(), b(), to(), false)) return;
#endif
    eigen();
  }
  void eigen() {
    lpw::detail::multiply_in_parts(a(), b(), to(), false,
                                   [](auto... operands) { lpw::detail::gemm_on_thread<float>(operands...); });
  }

 private:
  [[nodiscard]] MatrixView<const float> a() const {
    if (case_.kind == Kind::tn) return lpw::matrix(std::as_const(a_).data(), case_.depth, case_.rows).transposed();
    return lpw::matrix(std::as_const(a_).data(), case_.rows, case_.depth);
  }
  [[nodiscard]] MatrixView<const float> b() const {
    const float* data = std::as_const(b_).data();
    if (case_.kind == Kind::nt || case_.kind == Kind::packed)
      return lpw::matrix(data, case_.columns, case_.depth).transposed();
    return lpw::matrix(data, case_.depth, case_.columns);
  }
  [[nodiscard]] MatrixView<float> to() { return lpw::matrix(c_.data(), case_.rows, case_.columns); }

  Case case_;
  Tensor<float, Cpu> a_, b_, c_;
  std::optional<lpw::panels::PackedRight> own_;
  std::optional<lpw::RightMatrix<float>> library_;
};

/// Winograd's products of blocks of tiles for one number of channels, in and out: 36 points from a thread's scratch
/// memory and the transformed kernel.
class WinogradProducts {
 public:
  WinogradProducts(std::int64_t channels, std::int64_t tiles)
      : channels_(channels),
        tiles_(tiles),
        u_(random_tensor<float>({points, channels * channels})),
        scratch_(random_tensor<float>({lpw::max_threads(), 2 * points, tiles * channels})) {}
  [[nodiscard]] double operations() const {
    return 2.0 * points * static_cast<double>(blocks * tiles_ * channels_ * channels_);
  }
  void own() {
    lpw::parallel_for(blocks, lpw::products_cost(points * tiles_ * channels_ * channels_), [&](std::int64_t) {
      float* const v = scratch_.row(lpw::thread_number());
      for (std::int64_t p = 0; p < points; ++p)
        lpw::winograd::multiply(lpw::winograd::LeftMatrix{v + p * tiles_ * channels_, channels_, 1}, tiles_,
                                std::as_const(u_).row(p), channels_, v + (points + p) * tiles_ * channels_, channels_,
                                false);
    });
  }

 private:
  static constexpr std::int64_t points = 36, blocks = 64;
  std::int64_t channels_, tiles_;
  Tensor<float, Cpu> u_, scratch_;
};

struct Contender {
  const char* name;
  std::function<void()> run;
};

/// Rates of the contenders in turn, each repeated for some milliseconds, and of registers alone; prints their medians.
void compare(const std::string& name, double operations, const std::vector<Contender>& contenders, int rounds) {
  std::vector<double> registers;
  std::vector<std::vector<double>> rates(contenders.size());
  std::vector<int> repeats;
  for (const Contender& c : contenders) {
    c.run();
    repeats.push_back(static_cast<int>(std::clamp(0.004 / seconds(c.run), 1.0, 1000.0)));
  }
  for (int round = 0; round < rounds; ++round) {
    registers.push_back(ceiling(40000));
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const double time = seconds([&] {
        for (int r = 0; r < repeats[i]; ++r) contenders[i].run();
      });
      rates[i].push_back(repeats[i] * operations / time * 1e-9);
    }
  }
  std::printf("| %s | %d | %.0f |", name.c_str(), lpw::max_threads(), median(registers));
  for (const auto& rate : rates) std::printf(" %.0f (%.2f) |", median(rate), median(rate) / median(registers));
  std::printf("\n");
  std::fflush(stdout);
}

/// A line of JSON for each case, for peers/products.py.
void print_cases() {
  constexpr const char* kinds[] = {"nt", "nn", "tn", "nt"};
  for (const Case& c : cases)
    std::printf(R"({"name": "%s", "kind": "%s", "rows": %lld, "columns": %lld, "depth": %lld})"
                "\n",
                c.name, kinds[static_cast<int>(c.kind)], static_cast<long long>(c.rows),
                static_cast<long long>(c.columns), static_cast<long long>(c.depth));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> threads{lpw::max_threads()};
  std::string only;
  int rounds = 7;
  CLI::App app("Times matrix products of the shapes that occur, in GFLOP/s and as shares of the registers' rate.");
  app.add_option("--threads", threads, "numbers of threads")->delimiter(',');
  app.add_option("--only", only, "shapes whose names hold this");
  app.add_option("--rounds", rounds, "measurements of each, of which the median counts")->capture_default_str();
  bool only_cases = false;
  app.add_flag("--cases", only_cases, "only print the shapes, a line of JSON each");
  CLI11_PARSE(app, argc, argv);
  if (only_cases) {
    print_cases();
    return 0;
  }
  std::printf(
      "| product, c [rows, columns] over depth | threads | registers | own | oneDNN | Eigen |\n"
      "|---|---|---|---|---|---|\n");
  const auto asked = [&](const std::string& name) { return name.find(only) != std::string::npos; };
  for (const int count : threads) {
    lpw::set_max_threads(count);
    for (const Case& c : cases) {
      if (!asked(c.name)) continue;
      Product product(c);
      compare(lpw::to_text(c.name, " [", c.rows, ", ", c.columns, "] over ", c.depth), product.operations(),
              {{"own", [&] { product.own(); }},
               {"oneDNN", [&] { product.library(); }},
               {"Eigen", [&] { product.eigen(); }}},
              rounds);
    }
    for (const std::int64_t channels : {32, 64, 128, 256}) {
      if (!asked("winograd")) continue;
      WinogradProducts products(channels, channels < 128 ? 36 : 24);
      compare(lpw::to_text("winograd, ", channels, " channels"), products.operations(),
              {{"own", [&] { products.own(); }}}, rounds);
    }
  }
}
