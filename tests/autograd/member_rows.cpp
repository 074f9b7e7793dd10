// Every operation with K rows of each of its parameters, which is what makes any weight a late-phase weight.
#include "support/member_rows.hpp"

#include <set>

#include "support/engines.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("an operation with K rows of a parameter is K operations with one", "[members]", float, double,
                   bfloat16) {
  with_each_engine([] {
    for (const auto algorithm : {Convolution::winograd, Convolution::direct}) {
      INFO("convolutions " << (algorithm == Convolution::winograd ? "by Winograd's algorithm" : "direct"));
      const ConvolutionScope scope(algorithm);
      check_table_of_member_rows<TestType, Cpu>();
    }
  });
}

TEST_CASE("the table of operations with K rows has a convolution by each algorithm", "[members]") {
  std::set<ConvolutionAlgorithm> chosen;
  with_each_engine([&] {
    for (const auto& [channels, kernel, options] : table_convolutions) {
      const Conv2dGeometry g = conv2d_geometry({1, 2, 12, 12, channels}, {1, 16, kernel, kernel, channels}, options);
      chosen.insert(choose_convolution<float>(g, 2));
    }
  });
  CHECK(chosen.contains(ConvolutionAlgorithm::winograd));
  CHECK(chosen.contains(ConvolutionAlgorithm::direct));
  CHECK(chosen.contains(ConvolutionAlgorithm::products) == (LPW_WITH_ONEDNN != 0));
}
