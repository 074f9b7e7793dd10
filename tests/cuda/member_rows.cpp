#include "cuda/support.hpp"

#include "support/member_rows.hpp"

using namespace lpw;
using namespace lpw::test;

TEMPLATE_TEST_CASE("an operation on the GPU with K rows of a parameter is K operations with one", "[gpu]", float,
                   bfloat16) {
  check_table_of_member_rows<TestType, Cuda>();
}
