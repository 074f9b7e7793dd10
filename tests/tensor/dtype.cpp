#include <lpw/tensor/dtype.hpp>

#include <bit>
#include <cmath>
#include <limits>

#include "catch.hpp"

using lpw::bfloat16;
using lpw::half;

namespace {

float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint16_t rounded(std::uint32_t bits) { return bfloat16(float_of(bits)).bits; }

}  // namespace

TEST_CASE("bfloat16 keeps each of its 65536 patterns through float") {
  int wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = bfloat16::from_bits(bits);
    if (std::isnan(value)) {
      // A signalling NaN becomes quiet; sign and the rest of the payload stay.
      wrong += bfloat16(value).bits != (bits | 0x40);
    } else {
      wrong += bfloat16(value).bits != bits;
    }
    wrong += std::bit_cast<std::uint32_t>(value) >> 16 != bits && !std::isnan(value);
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16 rounds every tie to even, and its neighbours to the nearest") {
  int wrong = 0;
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    const bool finite = (upper & 0x7f80u) != 0x7f80u;
    if (!finite) continue;
    const std::uint32_t exact = upper << 16, even = upper + (upper & 1u);
    wrong += rounded(exact | 0x7fffu) != upper;
    wrong += rounded(exact | 0x8000u) != even;  // past the largest finite value this is infinity
    wrong += rounded(exact | 0x8001u) != upper + 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16 carries infinities, zeros and overflow as float does") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(bfloat16(infinity).bits == 0x7f80);
  CHECK(bfloat16(-infinity).bits == 0xff80);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);  // nearer to the next step, which is infinity
  CHECK(bfloat16(0.f).bits == 0x0000);
  CHECK(bfloat16(-0.f).bits == 0x8000);
  CHECK(bfloat16(std::numeric_limits<float>::denorm_min()).bits == 0x0000);
}

TEST_CASE("bfloat16 keeps NaN a NaN, whatever its payload") {
  for (std::uint32_t bits :
       {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7f80ffffu}) {
    CAPTURE(bits);
    CHECK(std::isnan(static_cast<float>(bfloat16(float_of(bits)))));
    CHECK(rounded(bits) >> 15 == bits >> 31);
  }
}

TEST_CASE("half keeps each of its 65536 patterns through float") {
  int wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = half::from_bits(bits);
    const bool nan = (bits & 0x7fffu) > 0x7c00u;
    wrong += std::isnan(value) != nan || std::signbit(value) != (bits >> 15 != 0);
    wrong += half(value).bits != (nan ? bits | 0x200 : bits);  // a signalling NaN becomes quiet
  }
  CHECK(wrong == 0);
  CHECK(half::from_bits(0x3c00) == 1.f);
  CHECK(half::from_bits(0x3555) == 0x1.554p-2f);
  CHECK(half::from_bits(0x0001) == 0x1p-24f);
  CHECK(half::from_bits(0x03ff) == 0x1.ff8p-15f);
  CHECK(half::from_bits(0x0400) == 0x1p-14f);
  CHECK(half::from_bits(0x7bff) == 65504.f);
  CHECK(half::from_bits(0xfc00) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("half rounds every tie to even, and its neighbours to the nearest") {
  int wrong = 0;
  for (std::uint32_t lower = 0; lower < 0x7c00;
       ++lower) {  // the next value of the last one is infinity, whose place is 65536
    const float below = half::from_bits(static_cast<std::uint16_t>(lower));
    const float above = lower == 0x7bff ? 65536.f : float(half::from_bits(static_cast<std::uint16_t>(lower + 1)));
    const float tie = (below + above) / 2;  // exact
    for (const float sign : {1.f, -1.f}) {
      const std::uint32_t bit = sign < 0 ? 0x8000 : 0;
      wrong += half(sign * std::nextafter(tie, 0.f)).bits != (lower | bit);
      wrong += half(sign * tie).bits != ((lower + (lower & 1u)) | bit);
      wrong += half(sign * std::nextafter(tie, 1e6f)).bits != ((lower + 1) | bit);
    }
  }
  CHECK(wrong == 0);
  CHECK(half(std::numeric_limits<float>::max()).bits == 0x7c00);
  CHECK(half(std::numeric_limits<float>::denorm_min()).bits == 0x0000);
}

TEST_CASE("epsilon is the distance from 1 to the next value") {
  CHECK(lpw::epsilon<float>() == std::numeric_limits<float>::epsilon());
  CHECK(lpw::epsilon<double>() == std::numeric_limits<double>::epsilon());
  const bfloat16 one(1.f);
  CHECK(lpw::epsilon<bfloat16>() == bfloat16::from_bits(static_cast<std::uint16_t>(one.bits + 1)) - one);
  CHECK(lpw::epsilon<half>() == half::from_bits(static_cast<std::uint16_t>(half(1.f).bits + 1)) - half(1.f));
}

TEST_CASE("dtypes have the names of safetensors files and accumulate in float") {
  CHECK(lpw::dtype_name<float>() == "F32");
  CHECK(lpw::dtype_name<double>() == "F64");
  CHECK(lpw::dtype_name<bfloat16>() == "BF16");
  CHECK(lpw::dtype_name<half>() == "F16");
  CHECK(lpw::dtype_name<std::int32_t>() == "I32");
  CHECK(lpw::dtype_name<std::int64_t>() == "I64");
  CHECK(lpw::dtype_name<std::uint8_t>() == "U8");
  STATIC_REQUIRE(std::is_same_v<lpw::Accumulate<bfloat16>, float>);
  STATIC_REQUIRE(std::is_same_v<lpw::Accumulate<half>, float>);
  STATIC_REQUIRE(std::is_same_v<lpw::Accumulate<float>, float>);
  STATIC_REQUIRE(std::is_same_v<lpw::Accumulate<double>, double>);
  STATIC_REQUIRE(lpw::Real<bfloat16>);
  STATIC_REQUIRE_FALSE(lpw::Real<int>);
}
